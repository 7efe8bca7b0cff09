"""A file of sound in parts, each of which libsndfile is shown as a file of its own.

libsndfile reads as many samples as the header promises, of the first sound in the file. A header that was written to a
pipe promises nothing, one of MP3 is often an estimate, and a chain of Ogg, FLAC or MP3 files has several headers. So a
file is looked through first (`containers`, `flac`, `mpeg`), and libsndfile gets parts with headers that tell the truth.
"""

import io
import os
import re
from dataclasses import dataclass
from typing import BinaryIO

TRUNCATED = "is truncated; its header promises more samples than it has"

_BLOCK = 1 << 16  # bytes read at once
_LONGEST = 8  # bytes of what is searched


@dataclass(frozen=True)
class Part:
    """One sound in a file, as libsndfile is to see it.

    Attributes:
        start: its first byte in the file.
        stop: the byte after its last.
        head: what stands in place of its first bytes.
        size: the bytes it claims to have when that is more than it has: MP3 without a length is estimated from them.
        n_samples: of each channel; None when libsndfile tells them rightly.
        tag: what stands before its first byte.
    """

    start: int
    stop: int
    head: bytes = b""
    size: int = 0
    n_samples: int | None = None
    tag: bytes = b""


class Source:
    """A file from which short pieces are taken at many places.

    Attributes:
        size: bytes of the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._place, self._block = 0, b""

    def at(self, place: int, n_bytes: int) -> bytes:
        """Returns bytes from a place on, fewer when the file ends."""
        if place >= self.size:
            return b""
        if not self._place <= place <= place + n_bytes <= self._place + len(self._block):
            self._file.seek(place)
            self._place, self._block = place, self._file.read(max(n_bytes, _BLOCK))
        return self._block[place - self._place : place - self._place + n_bytes]

    def find(self, pattern: re.Pattern[bytes], place: int) -> int:
        """Returns where a pattern of at most `_LONGEST` bytes comes next, from a place on; -1 when it does not."""
        while place < self.size:
            self.at(place, min(_LONGEST, self.size - place))  # so that the block at hand holds the place
            if found := pattern.search(self._block, place - self._place):
                return self._place + found.start()
            end = self._place + len(self._block)
            if end >= self.size:
                break
            place = max(place + 1, end - _LONGEST + 1)
        return -1


class View(io.RawIOBase):
    """A part as a file of its own, for libsndfile."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._part, self._place = file, part, 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a place and returns it."""
        size = len(self._part.tag) + max(self._part.size, self._part.stop - self._part.start)
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: size}[whence]
        return self._place

    def tell(self) -> int:
        """Returns the place."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the stub takes what never comes
        """Fills the buffer as far as there are bytes; returns how many."""
        part, wanted = self._part, len(buffer)
        place, length = self._place - len(part.tag), part.stop - part.start
        if place < 0:
            read = part.tag[self._place : self._place + wanted]
        elif place < len(part.head):
            read = part.head[place : place + wanted]
        elif place <= length:
            self._file.seek(part.start + place)
            read = self._file.read(min(wanted, length - place))
        else:  # libsndfile looks for a tag where the bytes that are only claimed would end
            read = bytes(max(0, min(wanted, part.size - place)))
        buffer[: len(read)] = read
        self._place += len(read)
        return len(read)
