"""Containers of sound by their own structure: what is in a file, and whether it was cut."""

import re
from typing import Literal

from mindaudio_ext.data.mpeg import mpeg_parts
from mindaudio_ext.data.parts import TRUNCATED, Part, Source
from mindaudio_ext.errors import InputError

_Order = Literal["little", "big"]

_UNKNOWN_SIZES = (0x7FFFF000, 0xFFFFF000)  # a pipe's writer cannot know the length: it puts up to 4095 more than these
_MP3_IN_WAV = 0x55  # the format tag
_OGG_PAGE = re.compile(rb"OggS")


def wav_parts(source: Source, start: int) -> list[Part]:
    """Lists the parts of RIFF, RIFX and RF64 wav, one or several in a row.

    Raises:
        InputError: one of them was cut, or is no wav.
    """
    parts, place = [], start
    while place >= 0:
        found, place = _one_wav(source, place)
        parts += found
    return parts


def _one_wav(source: Source, start: int) -> tuple[list[Part], int]:
    """Returns the parts of one wav, and where the next one begins; -1 when there is none."""
    magic = source.at(start, 4)
    _require_form(source, start, (b"WAVE",))
    order: _Order = "big" if magic == b"RIFX" else "little"
    place, tag, align = start + 12, 0, 1
    while len(chunk := source.at(place, 8)) == 8:
        length = int.from_bytes(chunk[4:], order)
        place += 8
        if chunk[:4] == b"data":
            break
        if chunk[:4] == b"fmt ":
            tag, align = (int.from_bytes(source.at(place + offset, 2), order) for offset in (0, 12))
        place += length + length % 2
    else:
        raise InputError(TRUNCATED)
    if magic == b"RF64":
        length = int.from_bytes(source.at(start + 28, 8), order)
    rest = source.size - place
    if _is_unknown(length) or (length == 0 and rest and not _are_chunks(source, place, order)):
        length = _whole_frames(rest, align)
        head = _wav_head(source, start, place, length, order)
        return _wav_or_mp3(source, start, place, length, tag, head=head), -1
    if length > rest:
        raise InputError(TRUNCATED)
    end, another = _end_of_wav(source, place + length + length % 2, order)
    told = int.from_bytes(source.at(start + 4, 4), order) + 8
    head = b""
    if another or (magic != b"RF64" and told < place + length - start):  # libsndfile stops at the end that is told
        head = _wav_head(source, start, place, length, order)
    return _wav_or_mp3(source, start, place, length, tag, head=head, stop=end), end if another else -1


def _require_form(source: Source, start: int, forms: tuple[bytes, ...]) -> None:
    """Raises InputError when RIFF or IFF holds something else than sound: AVI and WebP are RIFF too."""
    form = source.at(start + 8, 4)
    if len(form) == 4 and form not in forms:
        kind = source.at(start, 4).decode()
        raise InputError(f"is no sound; it is {kind} of the form {form.decode('latin-1')!r}, not {forms[0].decode()!r}")


def _wav_or_mp3(
    source: Source, start: int, place: int, length: int, tag: int, *, head: bytes, stop: int | None = None
) -> list[Part]:
    """Returns a wav as a part; of MP3 in a wav, the parts of the MP3, whose length the wav's header only estimates."""
    parts = mpeg_parts(source, place, place + length) if tag == _MP3_IN_WAV else []
    return parts or [Part(start, source.size if stop is None else stop, head)]


def _wav_head(source: Source, start: int, place: int, length: int, order: _Order) -> bytes:
    """Returns all before the samples, with the lengths that are right."""
    head = bytearray(source.at(start, place - start))
    whole = len(head) + length + length % 2 - 8
    if head[:4] == b"RF64":
        head[20:28], head[28:36] = whole.to_bytes(8, order), length.to_bytes(8, order)
    elif whole < _UNKNOWN_SIZES[1]:
        head[4:8], head[-4:] = whole.to_bytes(4, order), length.to_bytes(4, order)
    return bytes(head)


def _end_of_wav(source: Source, place: int, order: _Order) -> tuple[int, bool]:
    """Returns where a wav ends, after the chunks behind its samples, and whether another one follows at once."""
    while len(chunk := source.at(place, 8)) == 8:
        if chunk[:4] in (b"RIFF", b"RIFX", b"RF64") and source.at(place + 8, 4) == b"WAVE":
            return place, True
        length = int.from_bytes(chunk[4:], order)
        place += 8 + length + length % 2
    return source.size, False


def _are_chunks(source: Source, place: int, order: _Order) -> bool:
    """Tells whether what follows to the file's end are chunks and no sound."""
    while len(chunk := source.at(place, 8)) == 8:
        if not all(0x20 <= byte < 0x7F for byte in chunk[:4]):
            return False
        length = int.from_bytes(chunk[4:], order)
        place += 8 + length + length % 2
    return place == source.size


def _whole_frames(length: int, align: int) -> int:
    """Returns the length of sound whose header tells none; behind it there may be a pad to an even length."""
    over = length % align if align else 0
    if over and (length % 2 or (length - 1) % align):
        raise InputError("is truncated; it ends within a sample")
    return length - over


def w64_parts(source: Source, start: int) -> list[Part]:
    """Lists the part of a W64 file; none when libsndfile reads it rightly. Raises InputError when it was cut."""
    place = start + 40
    while len(chunk := source.at(place, 24)) == 24:
        length = int.from_bytes(chunk[16:], "little")
        if chunk[:4] == b"data":
            rest = source.size - place
            if length <= 24 < rest or length >> 62:  # the chunk's own head counts
                head = bytearray(source.at(start, place + 24 - start))
                head[16:24], head[-8:] = (source.size - start).to_bytes(8, "little"), rest.to_bytes(8, "little")
                return [Part(start, source.size, bytes(head))]
            if length > rest:
                raise InputError(TRUNCATED)
            break
        place += max(24, (length + 7) & ~7)
    return []


def aiff_parts(source: Source, start: int) -> list[Part]:
    """Returns no part: libsndfile reads AIFF rightly. Raises InputError when it was cut, or is no sound."""
    _require_form(source, start, (b"AIFF", b"AIFC", b"8SVX", b"16SV"))
    length = int.from_bytes(source.at(start + 4, 4), "big")
    if not _is_unknown(length) and start + 8 + length > source.size:
        raise InputError(TRUNCATED)
    return []


def au_parts(source: Source, start: int) -> list[Part]:
    """Lists the part of an AU file; none when libsndfile reads it rightly. Raises InputError when it was cut."""
    header = source.at(start, 12)
    offset, length = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:], "big")
    if length == 0 and start + offset < source.size:
        return [Part(start, source.size, header[:8] + b"\xff" * 4)]
    if not _is_unknown(length) and start + offset + length > source.size:
        raise InputError(TRUNCATED)
    return []


def caf_parts(source: Source, start: int) -> list[Part]:
    """Lists the part of a CAF file; none when libsndfile reads it rightly. Raises InputError when it was cut."""
    place = start + 8
    while len(chunk := source.at(place, 12)) == 12:
        length, rest = int.from_bytes(chunk[4:], "big", signed=True), source.size - place - 12
        if chunk[:4] == b"data" and length < 0:
            head = source.at(start, place + 4 - start) + rest.to_bytes(8, "big")
            return [Part(start, source.size, head)]
        if length < 0 or length > rest:
            raise InputError(TRUNCATED)
        place += 12 + length
    return []


def ogg_parts(source: Source, start: int) -> list[Part]:
    """Cuts a chain of Ogg files where, after pages of sound, a page begins a stream (RFC 3533).

    Raises:
        InputError: it ends within a page. Behind a whole page it may end, even if that is not marked as the last: so
            do writers that were stopped leave it, and RFC 7845 (section 4) has decoders read it.
    """
    parts, place, has_sound = [], start, False
    while header := source.at(place, 27):
        if header[:4] != b"OggS"[: len(header)]:
            place = source.find(_OGG_PAGE, place)  # what is no page is passed over, as decoders do
            if place < 0:
                break
            continue
        table = source.at(place + 27, header[26]) if len(header) == 27 else b""
        end = place + 27 + len(table) + sum(table)
        if len(header) < 27 or len(table) < header[26] or end > source.size:
            raise InputError("is truncated; its last page is not whole")
        begins = header[5] & 2
        if begins and has_sound:
            parts.append(Part(start, place))
            start = place
        has_sound = not begins
        place = end
    return [*parts, Part(start, source.size)]


def _is_unknown(length: int) -> bool:
    return any(unknown <= length < unknown + 4096 for unknown in _UNKNOWN_SIZES) or length >= 1 << 62
