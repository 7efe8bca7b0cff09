"""The doctor: everything that can be wrong with a data directory and can be seen before a week of training."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import FULL_SCALE, to_pcm16
from mindaudio_ext.data.kaldi_dir import DataDir, Entry, read_data_dir
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.validate_data_dir import read_mixture, shared_speakers
from mindaudio_ext.errors import InputError, one_line
from mindaudio_ext.files import atomic_path

SILENT_STEPS = 3  # 16-bit steps: a signal whose peak is not above is silent
CLIPPED_RUN = 3  # samples: so many at full scale in a row are clipping

PICTURE = "snr.png"


@dataclass(frozen=True)
class MixtureReport:
    """What was found in one mixture.

    Attributes:
        key: of the mixture.
        faults: what is wrong with it, each a line that names it.
        sample_rate: Hz; 0 when it could not be read.
        num_samples: T.
        digest: of the mixture's samples.
        clipped: samples of clipping, in the mixture and its sources.
        snr: of each source against all else in the mixture, dB.
    """

    key: str
    faults: tuple[str, ...]
    sample_rate: int = 0
    num_samples: int = 0
    digest: str = ""
    clipped: int = 0
    snr: tuple[float, ...] = ()


@dataclass(frozen=True)
class DataReport:
    """What the doctor found.

    Attributes:
        data: the data directory.
        faults: what must not be trained with, each a line that names file and key.
        warnings: what may be meant so.
        statistics: lines for people.
        snr: of every source of every mixture, dB.
    """

    data: DataDir
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    statistics: tuple[str, ...]
    snr: tuple[float, ...]


def check_data_dir(path: str | os.PathLike, *, nj: int = 1, allow_pipes: bool = False) -> DataReport:
    """Reads every signal of a data directory and gives all that is wrong, not only the first.

    Args:
        path: the folder.
        nj: processes that read.
        allow_pipes: run the commands in scp files.

    Raises:
        InputError: the lists themselves are wrong: nothing can be read by them.
    """
    data = read_data_dir(path, allow_pipes=allow_pipes, unwritten=True)
    measured = list(parallel_map(measure, data.entries(), nj=nj, title=f"check {data.path.name}"))
    faults = [fault for one in measured for fault in one.faults] + _other_rates(data, measured)
    faults += _duplicates(data, measured)
    warnings = _clipping(data, measured)
    warnings += [f"{data.path}: shares {n} speakers with {other}" for other, n in shared_speakers(path).items()]
    if data.src2spk is None:
        warnings.append(f"{data.path}: has no src2spk: whether a speaker is twice in a mixture is not known")
    snr = tuple(value for one in measured for value in one.snr)
    return DataReport(data, tuple(faults), tuple(warnings), tuple(_statistics(data, measured)), snr)


def measure(entry: Entry) -> MixtureReport:
    """Reads a mixture with its sources and measures them."""
    try:
        mixture, sources, rate = read_mixture(entry)
    except InputError as error:
        return MixtureReport(entry.key, (str(error),))
    faults = [
        f"{entry.path}: {entry.key}: {name} is silent, its peak is {np.abs(signal).max() * FULL_SCALE:.0f} 16-bit steps"
        for name, signal in [("the mixture", mixture), *((f"source {i}", s) for i, s in enumerate(sources, 1))]
        if np.abs(signal).max() * FULL_SCALE <= SILENT_STEPS
    ]
    first = {source.tobytes(): number for number, source in reversed(list(enumerate(sources, 1)))}
    faults += [
        f"{entry.path}: {entry.key}: sources {first[source.tobytes()]} and {number} are the same signal"
        for number, source in enumerate(sources, 1)
        if first[source.tobytes()] != number
    ]
    return MixtureReport(
        key=entry.key,
        faults=tuple(faults),
        sample_rate=rate,
        num_samples=len(mixture),
        digest=hashlib.sha256(to_pcm16(mixture).tobytes()).hexdigest(),
        clipped=sum(clipped_samples(signal) for signal in (mixture, *sources)),
        snr=tuple(source_snr(source=source, mixture=mixture) for source in sources),
    )


def clipped_samples(signal: np.ndarray) -> int:
    """Counts the samples [T] in runs of at least `CLIPPED_RUN` at full scale.

    >>> clipped_samples(np.array([0.5, 1.0, 1.0, 1.0, 0.5, -1.0, -1.0, 0.0]))
    3
    """
    full = np.abs(signal) >= (FULL_SCALE - 1) / FULL_SCALE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


def source_snr(*, source: np.ndarray, mixture: np.ndarray) -> float:
    """Returns the energy of a source [T] over that of all else in the mixture, dB, as LibriMix's metrics do.

    >>> round(source_snr(source=np.full(9, 0.2), mixture=np.full(9, 0.22)), 3)
    20.0
    """
    source, rest = source.astype(np.float64), mixture.astype(np.float64) - source
    return float(10 * np.log10(np.mean(source**2) / (np.mean(rest**2) + 1e-10) + 1e-10))


def draw_snr(checked: DataReport, path: str | os.PathLike) -> None:
    """Draws the histogram of the sources' SNR as a PNG."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(checked.snr, bins=50)
    axes.set(xlabel="SNR of a source in its mixture, dB", ylabel="sources", title=one_line(checked.data.path.name))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def report_folder(path: str | os.PathLike) -> Path:
    """Returns the folder of what is found in a data directory: `data/check/test` for `data/test`."""
    path = Path(os.path.abspath(path))
    return path.parent / "check" / path.name


def _other_rates(data: DataDir, measured: Sequence[MixtureReport]) -> list[str]:
    read = [one for one in measured if one.sample_rate]
    return [
        f"{data.path}: {one.key} is at {one.sample_rate} Hz, {read[0].key} at {read[0].sample_rate} Hz"
        for one in read
        if one.sample_rate != read[0].sample_rate
    ]


def _duplicates(data: DataDir, measured: Sequence[MixtureReport]) -> list[str]:
    first: dict[str, str] = {}
    return [
        f"{data.path}: {one.key} is the same sound as {first[one.digest]}"
        for one in measured
        if one.digest and first.setdefault(one.digest, one.key) != one.key
    ]


def _clipping(data: DataDir, measured: Sequence[MixtureReport]) -> list[str]:
    clipped = [one for one in measured if one.clipped]
    if not clipped:
        return []
    worst = max(clipped, key=lambda one: one.clipped)
    return [f"{data.path}: {len(clipped)} of {len(measured)} mixtures clip, most {worst.key} ({worst.clipped} samples)"]


def _statistics(data: DataDir, measured: Sequence[MixtureReport]) -> list[str]:
    read = [one for one in measured if one.sample_rate]
    if not read:
        return []
    seconds = np.array([one.num_samples / one.sample_rate for one in read])
    snr = np.array([value for one in read for value in one.snr])
    least, most, mean, median = (f"{round(x, 2) + 0.0:.2f}" for x in (snr.min(), snr.max(), snr.mean(), np.median(snr)))
    noise = ", noise" if data.noise is not None else ""
    lines = [
        f"{len(read)} of {len(measured)} mixtures read: {seconds.sum() / 3600:.2f} h, {read[0].sample_rate} Hz, "
        f"{len(data.sources)} sources{noise}",
        f"lengths {seconds.min():.2f} to {seconds.max():.2f} s, median {np.median(seconds):.2f} s",
        f"SNR of a source {least} to {most} dB, mean {mean}, median {median} dB",
    ]
    return lines + _speaker_statistics(data)


def _speaker_statistics(data: DataDir) -> list[str]:
    if data.src2spk is None:
        return ["speakers not known"]
    speakers = {speaker for row in data.src2spk.values() for speaker in row}
    if data.spk2gender is None:
        return [f"{len(speakers)} speakers, their sexes not known"]
    sexes = Counter(data.spk2gender.get(speaker, "?") for speaker in speakers)
    mixed = Counter(
        "".join(sorted(data.spk2gender.get(speaker, "?") for speaker in row)) for row in data.src2spk.values()
    )
    return [
        f"{len(speakers)} speakers: {_counts(sexes)}",
        f"mixtures by the sexes in them: {_counts(mixed)}",
    ]


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
