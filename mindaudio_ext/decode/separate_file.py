"""A recording on disk separated into wavs on disk, in memory that does not grow with its length."""

import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from tqdm import tqdm

from mindaudio_ext.decode.chunking import Chunking
from mindaudio_ext.decode.long_form import Join
from mindaudio_ext.decode.recording import BLOCK, Recording, of_length, resampled, write_wavs
from mindaudio_ext.decode.separate import LARGEST, Levels, Separator
from mindaudio_ext.decode.streaming import Stream, stream_blocks

_IN_MEMORY = 1 << 25  # bytes of estimates; more wait on disk, beside the outputs
_SHOWN = 10  # places that a line names


@dataclasses.dataclass(frozen=True)
class Separated:
    """What was done with a recording: its length in seconds, the time it took, and how its chunks were joined.

    Attributes:
        audio_seconds: the recording's length.
        seconds: the time by the clock, the model's compilation included.
        joins: of its chunks; none when it was separated whole.
        sample_rate: of the model, in which joins are counted.
        changes: how the recording became the model's input.
    """

    audio_seconds: float
    seconds: float
    joins: tuple[Join, ...]
    sample_rate: int
    changes: str

    @property
    def summary(self) -> str:
        """A line for the log."""
        rtf = self.seconds / self.audio_seconds
        text = f"{self.changes}{self.audio_seconds:.1f} s in {self.seconds:.1f} s, RTF {rtf:.3f}"
        if not self.joins:
            return text
        unsure = [f"{join.sample / self.sample_rate:.1f}" for join in self.joins if not join.certain]
        text += f", {len(self.joins) + 1} chunks, {len(self.joins) - len(unsure)} of {len(self.joins)} joins certain"
        if unsure:
            text += f"; the others keep the order before them, at {', '.join(unsure[:_SHOWN])} s"
            text += f" and {len(unsure) - _SHOWN} more" if len(unsure) > _SHOWN else ""
        return text


def separate_file(
    separator: Separator,
    recording: Recording,
    outputs: Sequence[Path],
    *,
    chunking: Chunking,
    stream_ms: float | None = None,
) -> Separated:
    """Writes a recording's estimates as 16-bit wavs of its rate and length, at its level, with peaks of at most 1.

    Args:
        separator: the model.
        recording: of any rate and length.
        outputs: C files; replaced, each whole.
        chunking: how a long recording is cut.
        stream_ms: stream the recording through a causal model in blocks of so many milliseconds instead.

    Raises:
        InputError: the recording cannot be read or separated.
        OSError: the outputs cannot be written.
    """
    started = time.monotonic()
    num_spks = separator.config.num_spks
    joins: list[Join] = []
    stream, levels = None if stream_ms is None else Stream(separator), Levels(num_spks)
    outputs[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=outputs[0].parent, prefix=".tmp.") as spool:
        blocks = resampled(_shown(recording), recording.sample_rate, separator.config.sample_rate)
        if stream is None:
            parts = separator.separate_blocks(blocks, chunking=chunking, name=recording.name, joins=joins)
        else:
            n_samples = max(1, round(stream_ms / 1000 * separator.config.sample_rate))
            parts = _watched(stream_blocks(stream, blocks, n_samples), levels)
        for estimates in parts:
            spool.write(np.ascontiguousarray(estimates.T, np.float32).tobytes())
        # Chunks come at their level; the level of a stream is known at its end.
        gains = np.ones(num_spks, np.float32) if stream is None else levels.gains().astype(np.float32)

        def estimates_at_rate() -> Iterator[np.ndarray]:
            read = (block * gains for block in _read_back(spool, num_spks))
            return of_length(resampled(read, separator.config.sample_rate, recording.sample_rate), recording.n_samples)

        peak = max(float(np.abs(block).max(initial=0)) for block in estimates_at_rate())
        gain = np.float32(min(1.0, LARGEST / peak)) if peak > 0 else np.float32(1)
        scaled = (gain * block for block in estimates_at_rate())
        write_wavs(outputs, scaled, sample_rate=recording.sample_rate, n_samples=recording.n_samples)
    length = recording.n_samples / recording.sample_rate
    changes = _changes(recording, separator.config.sample_rate)
    if stream is not None:
        changes += f"streamed in blocks of {stream_ms:g} ms, latency {1000 * stream.latency:g} ms and a block, "
    return Separated(length, time.monotonic() - started, tuple(joins), separator.config.sample_rate, changes)


def _watched(parts: Iterable[tuple[np.ndarray, np.ndarray]], levels: Levels) -> Iterator[np.ndarray]:
    """Passes estimates on and adds them and their mixture to the levels."""
    for estimates, mixture in parts:
        levels.add(estimates=estimates, mixture=mixture)
        yield estimates


def _shown(recording: Recording) -> Iterator[np.ndarray]:
    """Passes a recording's blocks on and shows on a terminal how far it is."""
    with tqdm(total=recording.n_samples, unit=" samples", unit_scale=True, desc=recording.name, disable=None) as bar:
        for block in recording.blocks():
            yield block
            bar.update(len(block))


def _read_back(spool: IO[bytes], num_spks: int) -> Iterator[np.ndarray]:
    """Yields float32 [n, C]."""
    spool.seek(0)
    while data := spool.read(4 * num_spks * BLOCK):
        yield np.frombuffer(data, np.float32).reshape(-1, num_spks)


def _changes(recording: Recording, sample_rate: int) -> str:
    text = ""
    if recording.n_channels > 1:
        text = f"channel {recording.channel}" if recording.channel else "the mean"
        text += f" of {recording.n_channels} channels, "
    if recording.sample_rate != sample_rate:
        text += f"{recording.sample_rate} Hz separated at {sample_rate} Hz, "
    return text
