"""MPEG audio (MP3, and layers I and II): its frames walked from the first to the last.

libsndfile takes the length from a Xing frame (a silent first frame with the number of frames that follow, also named
Info) and without one guesses it from the first frame and the bytes of the file; it never reads beyond.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mindaudio_ext.data.parts import TRUNCATED, Part, Source
from mindaudio_ext.errors import InputError

_V1, _V2 = 3, 2  # the versions' codes; 0 is version 2.5
_LAYER_1, _LAYER_2, _LAYER_3 = 3, 2, 1
_KBITS = {
    (True, _LAYER_1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER_3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)  # of version 1; half of them of version 2, a quarter of version 2.5
_CUT = "is truncated; its last frame is not whole"
# A tag of ten bytes. Without one, libsndfile asks whether it has Sound Designer II before it thinks of MPEG, and takes
# a file "._" or a folder ".AppleDouble" in the current folder for a yes.
_TAG = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
_SEARCHED = 1 << 17  # bytes that are searched for the first frame
# The first bytes of a header that `_frame_at` takes: sync, version and layer, then bit rate and sampling rate.
_HEADER = re.compile(
    rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\x1b\x20-\x2b\x30-\x3b\x40-\x4b\x50-\x5b\x60-\x6b\x70-\x7b"
    rb"\x80-\x8b\x90-\x9b\xa0-\xab\xb0-\xbb\xc0-\xcb\xd0-\xdb\xe0-\xeb]"
)


@dataclass(frozen=True)
class _Frame:
    """A frame: where it is, its bytes and samples, and what all frames of one file have in common.

    Attributes:
        place: its first byte.
        length: bytes, with the header.
        samples: of each channel.
        kind: version, layer, rate, and whether it is mono.
        told: of a Xing frame, the number of frames it promises, 0 when it does not say; None of a frame of sound.
    """

    place: int
    length: int
    samples: int
    kind: tuple[int, int, int, bool]
    told: int | None = None

    @property
    def end(self) -> int:
        """The byte after the last."""
        return self.place + self.length


def mpeg_parts(source: Source, start: int, stop: int) -> list[Part]:
    """Lists the MPEG files that some bytes of a file are a chain of; none when they are no MPEG audio.

    Raises:
        InputError: the bytes end within a frame, or before as many frames as a Xing frame promises.
    """
    groups: list[list[_Frame]] = []
    for frame, follows in _frames(source, start, stop):
        group = groups[-1] if groups else []
        if not group or not follows or frame.kind != group[0].kind or frame.told is not None or _is_full(group):
            groups.append([])
        groups[-1].append(frame)
    for index in range(len(groups) - 1, 0, -1):
        if len(groups[index]) == 1:  # no file: the one before tells one frame too few
            groups[index - 1 : index + 1] = [groups[index - 1] + groups[index]]
    return [_part(group) for group in groups]


def begins_like_mpeg(source: Source, place: int) -> bool:
    """Tells whether the bytes at a place can be the header of a frame."""
    return _HEADER.match(source.at(place, 4)) is not None


def skip_tags(source: Source, place: int, stop: int) -> int:
    """Returns where the tags end that begin at a place: ID3 of both versions, and APE."""
    while place < stop:
        head = source.at(place, 32)
        if head[:3] == b"ID3" and len(head) > 10:
            size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
            place += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG" and place + 128 >= stop:
            place += 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            place += 32 + int.from_bytes(head[12:16], "little")
        else:
            return place
    return min(place, stop)


def _is_full(group: list[_Frame]) -> bool:
    told = group[0].told
    return told is not None and 0 < told < len(group)


def _part(group: list[_Frame]) -> Part:
    """Returns frames as libsndfile is to see them: with the Xing frame if it tells the truth, else without."""
    first, sound = group[0], [frame for frame in group if frame.told is None]
    if first.told and len(sound) < first.told - 1:  # some writers count the Xing frame itself
        raise InputError(TRUNCATED)
    if first.told == len(sound):
        return Part(first.place, group[-1].end, tag=_TAG)
    if not sound:
        return Part(first.place, first.end, tag=_TAG)
    claimed = 2 * (len(sound) + 100) * (sound[0].length + 1)  # the guess comes out too high; then the sound just ends
    n_samples = sum(frame.samples for frame in sound)
    return Part(sound[0].place, sound[-1].end, size=claimed, n_samples=n_samples, tag=_TAG)


def _frames(source: Source, start: int, stop: int) -> Iterator[tuple[_Frame, bool]]:
    """Yields the frames, and whether each belongs to the file of the one before it."""
    place, kind = start, None
    while place < stop:
        tagless = skip_tags(source, place, stop)
        frame, follows = _frame_at(source, tagless), tagless == place
        if frame is None and kind and stop - tagless < 4 and source.at(tagless, 1) == b"\xff":
            raise InputError(_CUT)
        if frame is None or (kind is None and not _has_successor(source, frame, stop)):
            frame = _search(source, tagless + 1, stop, kind)
        if frame is None:
            return
        if frame.end > stop:
            if kind == frame.kind:
                raise InputError(_CUT)
            return
        kind, place = frame.kind, frame.end
        yield frame, follows


def _search(source: Source, place: int, stop: int, kind: tuple | None) -> _Frame | None:
    """Finds the next frame behind what is none: one that another or the end follows."""
    last = stop if kind else min(stop, place + _SEARCHED)
    while 0 <= (place := source.find(_HEADER, place)) < last:
        frame = _frame_at(source, place)
        if frame and kind in (None, frame.kind) and _has_successor(source, frame, stop):
            return frame
        place += 1
    return None


def _has_successor(source: Source, frame: _Frame, stop: int) -> bool:
    if frame.end >= stop:
        return frame.end == stop
    after = _frame_at(source, skip_tags(source, frame.end, stop))
    return after.kind == frame.kind if after else False


def _frame_at(source: Source, place: int) -> _Frame | None:
    """Reads a frame's header; None when it is none, or one of a bit rate that only its decoder can tell."""
    header = source.at(place, 4)
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bits, rate, pad = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or bits in (0, 15) or rate == 3:
        return None
    hertz = _RATES[rate] // {_V1: 1, _V2: 2, 0: 4}[version]
    kbits, is_mono = _KBITS[version == _V1, layer][bits], header[3] >> 6 == 3
    if layer == _LAYER_1:
        length, samples = (12_000 * kbits // hertz + pad) * 4, 384
    else:
        samples = 1152 if version == _V1 or layer == _LAYER_2 else 576
        length = samples // 8 * 1000 * kbits // hertz + pad
    told = _told_by_xing(source, place, version, is_mono, header) if layer == _LAYER_3 else None
    return _Frame(place, length, samples, (version, layer, rate, is_mono), told)


def _told_by_xing(source: Source, place: int, version: int, is_mono: bool, header: bytes) -> int | None:
    """Returns the number of frames that a Xing frame tells, 0 when it does not; None when it is none."""
    side = (17 if is_mono else 32) if version == _V1 else (9 if is_mono else 17)
    tag = source.at(place + 4 + side + (0 if header[1] & 1 else 2), 12)
    if tag[:4] not in (b"Xing", b"Info"):
        return None
    return int.from_bytes(tag[8:], "big") if len(tag) == 12 and tag[7] & 1 else 0
