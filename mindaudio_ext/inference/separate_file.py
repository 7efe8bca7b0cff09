"""A recording on disk separated into wavs on disk, in memory that does not grow with its length."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from tqdm import tqdm

from mindaudio_ext.data.rttm import rttm_lines
from mindaudio_ext.data.sound import BLOCK
from mindaudio_ext.files import atomic_path
from mindaudio_ext.inference.activity import Powers, Speech, find_turns, silenced
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.chunks import Join
from mindaudio_ext.inference.level import LARGEST, Levels, loudest
from mindaudio_ext.inference.recording import Recording, of_length, resampled, write_wavs
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.inference.stream import Stream, stream_blocks
from mindaudio_ext.inference.written import note, refuse_others, remove_written

_IN_MEMORY = 1 << 25  # bytes of estimates; more wait on disk, beside the outputs
_SHOWN = 10  # places that a line names


@dataclasses.dataclass(frozen=True)
class Separation:
    """What was done with a recording: its length in seconds, the time it took, and how its chunks were joined.

    Attributes:
        audio_seconds: the recording's length.
        seconds: the time by the clock, the model's compilation included.
        joins: of its chunks; none when it was separated whole.
        sample_rate: of the model, in which joins are counted.
        changes: how the recording became the model's input.
        outputs: the files that were written.
        speech: who speaks when; None when that was not told.
    """

    audio_seconds: float
    seconds: float
    joins: tuple[Join, ...]
    sample_rate: int
    changes: str
    outputs: tuple[Path, ...] = ()
    speech: Speech | None = None

    @property
    def summary(self) -> str:
        """A line for the log."""
        rtf = self.seconds / self.audio_seconds
        text = f"{self.changes}{self.audio_seconds:.1f} s in {self.seconds:.1f} s, RTF {rtf:.3f}"
        if self.speech is not None:
            text += f", {self.speech.summary}"
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
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
    rttm: Path | None = None,
    keep_residual: bool = False,
    keep_silent: bool = False,
) -> Separation:
    """Writes a recording's estimates as 16-bit wavs of its rate and length, at its level, with peaks of at most 1.

    Args:
        separator: the model.
        recording: of any rate and length.
        outputs: a file for each output of the model, or fewer, for the loudest of them; what was written there before
            is replaced, each whole.
        chunking: how a long recording is cut.
        stream_ms: stream the recording through a causal model in blocks of so many milliseconds instead.
        overwrite: replace files that were not written there, or were changed since, too.
        progress: called between blocks with the part of the recording that was read, 0 to 1; what it raises ends the
            separation. None shows a bar on a terminal.
        rttm: a file for who speaks when, of a model for conversations. With it, a track is silenced outside of its
            turns, and one in which nobody speaks is not written, unless nobody speaks in any; what was written before
            under its name is removed.
        keep_residual: silence nothing.
        keep_silent: write all outputs.

    Raises:
        InputError: the recording cannot be read or separated, or such a file is there.
        OSError: the outputs cannot be written.
    """
    started = time.monotonic()
    if not overwrite:
        refuse_others([*outputs, *([rttm] if rttm else [])], recording.name)
    rate, num_spks = separator.config.sample_rate, separator.config.num_spks
    joins: list[Join] = []
    stream, levels = None if stream_ms is None else Stream(separator), Levels(num_spks)
    shown = _shown(recording) if progress is None else _told(recording, progress)
    blocks = resampled(shown, recording.sample_rate, rate)
    if stream is None or stream_ms is None:
        outputs[0].parent.mkdir(parents=True, exist_ok=True)
        scratch = str(outputs[0].parent)
        parts = separator.separate_blocks(blocks, chunking=chunking, name=recording.name, joins=joins, scratch=scratch)
    else:
        parts = _watched(stream_blocks(stream, blocks, max(1, round(stream_ms / 1000 * rate))), levels)
    parts = resampled((part.T for part in parts), rate, recording.sample_rate)
    # Chunks come at their level; the level of a stream is known at its end, unless the model knows it.
    at_level = stream is None or separator.config.has_levels
    gains_of = (lambda: np.ones(num_spks)) if at_level else levels.gains
    written, speech = _write_scaled(
        outputs,
        parts,
        recording,
        gains_of,
        num_spks=num_spks,
        tell=rttm is not None,
        residual=keep_residual,
        all_of_them=keep_silent,
    )
    if rttm is not None and speech is not None:
        _write_turns(rttm, recording, speech)
        remove_written(path for path in outputs if path not in written)
    length = recording.n_samples / recording.sample_rate
    changes = _changes(recording, rate)
    if stream is not None:
        changes += f"streamed in blocks of {stream_ms:g} ms, latency {1000 * stream.latency:g} ms and a block, "
    return Separation(length, time.monotonic() - started, tuple(joins), rate, changes, tuple(written), speech)


def _write_turns(path: Path, recording: Recording, speech: Speech) -> None:
    """Writes who speaks when, whole or not at all, and notes that it is ours."""
    key = path.name.removesuffix(".rttm")
    with atomic_path(path) as temporary:
        lines = rttm_lines(key, speech.as_rttm())
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        note([path], [temporary])


def _write_scaled(
    outputs: Sequence[Path],
    parts: Iterable[np.ndarray],
    recording: Recording,
    gains_of: Callable[[], np.ndarray],
    *,
    num_spks: int,
    tell: bool,
    residual: bool,
    all_of_them: bool,
) -> tuple[Sequence[Path], Speech | None]:
    """Writes estimates as wavs of a recording's rate and length, all with one factor if a peak would be above 1.

    Args:
        outputs: C files, or fewer, for the loudest.
        parts: [n, C].
        recording: what they are of.
        gains_of: gives a factor for each source, [C], once all parts are taken.
        num_spks: C.
        tell: find out who speaks when.
        residual: do not silence tracks where their speaker is silent.
        all_of_them: write those, too, in which nobody speaks.

    Returns:
        The files that were written, and who speaks when in these.
    """
    outputs[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(outputs[0].parent), prefix=".tmp.") as file:
        spool, powers = _Spool(file, num_spks), Powers(num_spks, recording.sample_rate)
        for block in of_length(parts, recording.n_samples):
            spool.write(block)
            if tell:
                powers.add(block.T)
        gains, speech = gains_of(), None
        kept = loudest(gains**2 * spool.energies, len(outputs))
        if tell:
            turns = find_turns(powers.all() * gains[:, None] ** 2, powers.seconds_a_frame)
            kept = kept if all_of_them else [track for track in kept if turns[track]] or kept
            speech = Speech(recording.n_samples / recording.sample_rate, tuple(tuple(turns[track]) for track in kept))
            outputs = outputs[: len(kept)]
        peak = float(np.abs(gains * spool.peaks)[kept].max())
        gains = (gains * min(1.0, LARGEST / peak) if peak > 0 else gains).astype(np.float32)
        scaled: Iterator[np.ndarray] = ((gains * block)[:, kept] for block in spool.blocks())
        if speech is not None and not residual:
            scaled = silenced(scaled, speech.turns, recording.sample_rate)
        write_wavs(outputs, scaled, sample_rate=recording.sample_rate, n_samples=recording.n_samples)
        return outputs, speech


class _Spool:
    """Estimates that wait in a file until their peaks are known.

    Args:
        file: where they wait.
        num_spks: sources, C.

    Attributes:
        peaks: largest absolute value of each source so far, [C].
        energies: sum of the squares of each source so far, [C].
    """

    def __init__(self, file: IO[bytes], num_spks: int) -> None:
        self.peaks, self.energies = np.zeros(num_spks), np.zeros(num_spks)
        self._file = file

    def write(self, block: np.ndarray) -> None:
        """Takes the next estimates, [n, C]."""
        self.peaks = np.maximum(self.peaks, np.abs(block).max(axis=0, initial=0))
        self.energies += np.square(block, dtype=np.float64).sum(axis=0)
        self._file.write(np.ascontiguousarray(block, np.float32).tobytes())

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields all of them, float32 [n, C]."""
        self._file.seek(0)
        while data := self._file.read(4 * len(self.peaks) * BLOCK):
            yield np.frombuffer(data, np.float32).reshape(-1, len(self.peaks))


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


def _told(recording: Recording, progress: Callable[[float], None]) -> Iterator[np.ndarray]:
    """Passes a recording's blocks on and tells how far it is."""
    n_read = 0
    for block in recording.blocks():
        yield block
        n_read += len(block)
        progress(n_read / recording.n_samples)


def _changes(recording: Recording, sample_rate: int) -> str:
    text = ""
    if recording.n_channels > 1:
        text = f"channel {recording.channel}" if recording.channel else "the mean"
        text += f" of {recording.n_channels} channels, "
    if recording.sample_rate != sample_rate:
        text += f"{recording.sample_rate} Hz separated at {sample_rate} Hz, "
    return text
