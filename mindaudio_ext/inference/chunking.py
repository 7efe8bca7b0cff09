"""How a long recording is cut; without NumPy, as the command's --help shows the defaults."""

import dataclasses

from mindaudio_ext.errors import InputError

LONGEST = 3600  # seconds; what is separated at once is in memory several times
MOST_CHUNKS = 64


@dataclasses.dataclass(frozen=True)
class Chunking:
    """How a long recording is cut.

    Attributes:
        longest_whole: what is longer is cut, seconds. A shorter recording is separated whole.
        chunk: length of a chunk, seconds.
        overlap: of two chunks, seconds; the last two may share more.
        batch: chunks that are separated at once. It changes memory and speed only.

    Raises:
        InputError: they do not go together.
    """

    longest_whole: float = 30.0
    chunk: float = 24.0
    overlap: float = 4.0
    batch: int = 1

    def __post_init__(self) -> None:
        lengths = {"longest_whole": self.longest_whole, "chunk": self.chunk, "overlap": self.overlap}
        for name, seconds in lengths.items():
            if not seconds <= LONGEST:  # also when it is no number
                raise InputError(f"{name}: must be at most {LONGEST} s, got {seconds:g}")
        if not 0 < self.overlap < self.chunk:
            raise InputError(f"the overlap must be above 0 s and below the chunk of {self.chunk:g} s: {self.overlap:g}")
        if self.longest_whole < self.chunk:
            raise InputError(
                f"a chunk of {self.chunk:g} s is longer than what is separated whole ({self.longest_whole:g} s)"
            )
        if not 1 <= self.batch <= MOST_CHUNKS:
            raise InputError(f"chunks at once: must be at least 1 and at most {MOST_CHUNKS}, got {self.batch}")
