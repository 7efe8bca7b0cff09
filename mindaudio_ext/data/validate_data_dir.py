"""What a data directory promises of its signals, checked as a mixture is read, or for the whole directory."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import FULL_SCALE, from_pcm16
from mindaudio_ext.data.kaldi_dir import Entry, read_data_dir, read_scp
from mindaudio_ext.data.mix_csv import MIX_CSV, Mix
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.silence import silent_sources
from mindaudio_ext.errors import InputError


@dataclass(frozen=True)
class DataDirSummary:
    """What a valid data directory holds: mixtures, their length in hours, rate in Hz and sources per mixture.

    `silent` has the numbers, from 1, of the silent sources of each mixture that has some.
    """

    num_utts: int
    hours: float
    sample_rate: int | None
    num_spks: int
    speakers: int | None
    silent: dict[str, tuple[int, ...]]


def validate_data_dir(
    path: str | os.PathLike, *, check_audio: bool = True, nj: int = 1, allow_pipes: bool = False
) -> DataDirSummary:
    """Checks a data directory: the files, and that rates and lengths agree and the sources add up to the mixture.

    Args:
        path: the folder.
        check_audio: also read every signal.
        nj: processes that read.
        allow_pipes: see `read_data_dir`.

    Raises:
        InputError: naming file, line or key of the first thing that is wrong.
    """
    data = read_data_dir(path, allow_pipes=allow_pipes, unwritten=True)
    rate: int | None = None
    silent: dict[str, tuple[int, ...]] = {}
    if check_audio:
        checked = parallel_map(_check_mixture, data.entries(), nj=nj, title=f"validate {data.path.name}")
        for (key_rate, numbers), key in zip(checked, data.keys):
            silent |= {key: numbers} if numbers else {}
            rate = rate or key_rate
            if key_rate != rate:
                raise InputError(f"{data.path}: {key} is at {key_rate} Hz, {data.keys[0]} at {rate} Hz")
    speakers = len({speaker for row in data.src2spk.values() for speaker in row}) if data.src2spk else None
    hours = sum(data.num_samples.values()) / rate / 3600 if rate else 0.0
    return DataDirSummary(len(data.keys), hours, rate, len(data.sources), speakers, silent)


def _check_mixture(entry: Entry) -> tuple[int, tuple[int, ...]]:
    """Returns the rate and the silent sources."""
    _, sources, rate = read_mixture(entry)
    return rate, silent_sources(sources)


def read_mixture(entry: Entry) -> tuple[np.ndarray, np.ndarray, int]:
    """Reads a mixture and its sources and checks all that a data directory promises of them.

    Returns:
        the mixture float32 [T], the sources float32 [C, T] and the rate in Hz.

    Raises:
        InputError: naming the key, when a signal cannot be read, rates or lengths differ, `utt2num_samples` is wrong,
            or the signals do not add up to the mixture.
    """
    if entry.mix is not None:
        return _mix(entry, entry.mix)
    mixture, rate = entry.read("wav.scp")
    others = [name for name in entry.signals if name != "wav.scp"]
    signals = {name: entry.read(name, sample_rate=rate)[0] for name in others}
    _check_length(entry, mixture)
    for name, signal in signals.items():
        if len(signal) != len(mixture):
            raise InputError(
                f"{entry.path / name}: {entry.key}: has {len(signal)} samples; the mixture has {len(mixture)}"
            )
    stacked = np.stack(list(signals.values()))
    _check_sum(entry, mixture, stacked)
    return mixture, stacked[:-1] if "noise1.scp" in signals else stacked, rate


def _mix(entry: Entry, mix: Mix) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns what `read_mixture` would if the mixture were written."""
    try:
        mixture, sources = mix.read()
    except InputError as error:
        raise InputError(f"{entry.path / MIX_CSV}: {error}") from error
    _check_length(entry, mixture)
    return from_pcm16(mixture), from_pcm16(sources), mix.sample_rate


def _check_length(entry: Entry, mixture: np.ndarray) -> None:
    if len(mixture) != entry.num_samples:
        raise InputError(
            f"{entry.path / 'utt2num_samples'}: {entry.key}: says {entry.num_samples} samples; "
            f"the mixture has {len(mixture)}"
        )


def _check_sum(entry: Entry, mixture: np.ndarray, signals: np.ndarray) -> None:
    """Requires |mixture - sum| of at most one 16-bit step for each addition.

    A mixture may clip where the sum would, and where a source or the noise clips nothing is known of their sum.
    """
    loudest = (FULL_SCALE - 1) / FULL_SCALE
    expected = np.clip(signals.sum(axis=0, dtype=np.float64), -1.0, loudest)
    steps = np.abs(np.clip(mixture.astype(np.float64), -1.0, loudest) - expected) * FULL_SCALE
    steps[(np.abs(signals) >= loudest).any(axis=0)] = 0
    allowed = max(len(signals) - 1, 1)
    if steps.max() > allowed + 1e-3:
        worst = int(steps.argmax())
        parts = "sources and noise" if "noise1.scp" in entry.signals else "sources"
        raise InputError(
            f"{entry.path}: {entry.key}: the {parts} do not add up to the mixture; at sample {worst} they are "
            f"{steps[worst]:.0f} 16-bit steps off, {allowed} allowed"
        )


def shared_speakers(path: str | os.PathLike) -> dict[str, int]:
    """Counts the speakers that a data directory shares with others beside it: name of the other -> speakers."""
    path = Path(path)
    own = _speakers(path)
    others = {other.name: len(own & _speakers(other)) for other in sorted(path.parent.iterdir()) if other != path}
    return {name: count for name, count in others.items() if count}


def _speakers(path: Path) -> set[str]:
    if path.name.startswith(".") or not os.path.isfile(path / "src2spk"):  # or in a folder that may not be read
        return set()
    return {speaker for value in read_scp(path / "src2spk").values() for speaker in value.split()}
