"""FLAC as it is stored (RFC 9639): the sounds in a file, and how many samples each has by its last frame."""

import re
from functools import cache

from mindaudio_ext.data.parts import TRUNCATED, Part, Source
from mindaudio_ext.errors import InputError

_STREAMINFO = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # what every FLAC file begins with
_TOTAL = 21  # where, in a file, the byte is whose lower half begins the 36 bits of the number of samples
_TAILS = (1 << 15, 1 << 22)  # bytes at the end in which the last frame is looked for
_ID3V1 = 128  # bytes of a tag that some programs append


def flac_parts(source: Source, start: int) -> list[Part]:
    """Lists the FLAC files that a file is a chain of, each with the number of samples that its frames tell.

    Raises:
        InputError: one of them ends before its last frame does, or before the number of samples it promises.
    """
    starts, place = [start], start
    while (place := source.find(_STREAMINFO, place + 1)) >= 0:
        starts.append(place)
    stops = [*starts[1:], source.size]
    return [_part(source, *place) for place in zip(starts, stops)]


def _part(source: Source, start: int, stop: int) -> Part:
    head = bytearray(source.at(start, _TOTAL + 21))
    if len(head) < _TOTAL + 21:
        raise InputError(TRUNCATED)
    told = int.from_bytes(head[_TOTAL : _TOTAL + 5], "big") & (1 << 36) - 1
    found = _samples_by_last_frame(source, start, stop, int.from_bytes(head[10:12], "big"))
    if found is None and told == 0:
        raise InputError("is truncated; its last frame is not whole")
    if found is None or found == told:  # what libsndfile decodes is counted
        return Part(start, stop)
    if found < told:
        raise InputError(TRUNCATED)
    head[_TOTAL : _TOTAL + 5] = ((head[_TOTAL] & 0xF0) << 32 | found).to_bytes(5, "big")
    return Part(start, stop, bytes(head))


def _samples_by_last_frame(source: Source, start: int, stop: int, block_size: int) -> int | None:
    """Returns the number of the sample after the last one; None when no whole frame ends where the sound does."""
    stops = [stop]
    if stop - _ID3V1 > start and source.at(stop - _ID3V1, 3) == b"TAG":
        stops.append(stop - _ID3V1)
    for end in stops:
        for length in _TAILS:
            tail = source.at(max(start, end - length), min(length, end - start))
            for match in reversed(list(re.finditer(rb"\xff[\xf8\xf9]", tail))):
                samples = _samples_by_header(tail[match.start() : match.start() + 16], block_size)
                # Over a frame with its own checksum at the end, the checksum is 0.
                if samples is not None and _crc(tail[match.start() :], 0x8005, 16) == 0:
                    return samples
            if length >= end - start:
                break
    return None


def _samples_by_header(header: bytes, block_size: int) -> int | None:
    """Returns the number of the sample after a frame's last by the frame's header; None when it is no header."""
    if len(header) < 6 or header[3] & 1:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    if size_code == 0 or rate_code == 15:  # reserved
        return None
    place, number = 5, header[4]  # the number is coded as in UTF-8
    n_more = 0 if number < 0x80 else 7 - (number ^ 0xFF).bit_length()
    if number >= 0x80:
        number &= (1 << (6 - n_more)) - 1 if n_more < 6 else 0
        for byte in header[5 : 5 + n_more]:
            number = number << 6 | byte & 63
        place += n_more
    n_size = {6: 1, 7: 2}.get(size_code, 0)
    size = int.from_bytes(header[place : place + n_size], "big") + 1
    if not n_size:
        size = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    place += n_size + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(header) <= place or _crc(header[: place + 1], 0x07, 8) != 0:
        return None
    return (number if header[1] & 1 else number * block_size) + size


def _crc(data: bytes, polynomial: int, width: int) -> int:
    table, mask, crc = _table(polynomial, width), (1 << width) - 1, 0
    for byte in data:
        crc = crc << 8 & mask ^ table[crc >> width - 8 ^ byte]
    return crc


@cache
def _table(polynomial: int, width: int) -> tuple[int, ...]:
    """Returns the remainder of each byte."""
    remainders = []
    for byte in range(256):
        crc = byte << width - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial | 1 << width if crc >> width - 1 else 0)
        remainders.append(crc)
    return tuple(remainders)
