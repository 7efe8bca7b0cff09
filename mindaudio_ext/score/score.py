"""Scores of a test set: each estimate against its reference and against the unprocessed mixture."""

import csv
import importlib.util
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import read_signal
from mindaudio_ext.data.kaldi_dir import CORPUS, DataDir, read_data_dir, read_scp
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.windows import COUNTS, WindowCounts, read_counts
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.metrics import pesq
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.sdr import bss_eval
from mindaudio_ext.metrics.si_snr import si_snr
from mindaudio_ext.metrics.stoi import stoi

METRICS = ("si_snr", "sdr", "sir", "sar", "stoi", "pesq")  # in the order of the table; the last five are optional


@dataclass(frozen=True)
class UtteranceScores:
    """The scores of one utterance, or of one window of the reference protocol.

    Attributes:
        key: of the utterance.
        seconds: its length.
        level_difference: the loudest source's level less the quietest's, dB.
        sexes: of the speakers, such as "f m", sorted; None when not known.
        estimates: metric -> the score of each source's estimate, in the order of the references.
        mixtures: metric -> the score of the unprocessed mixture against each reference.
    """

    key: str
    seconds: float
    level_difference: float
    sexes: str | None
    estimates: dict[str, tuple[float, ...]]
    mixtures: dict[str, tuple[float, ...]]

    def improvements(self, metric: str) -> tuple[float, ...]:
        """Gives what separation gained, a source each."""
        return tuple(
            estimate - mixture for estimate, mixture in zip(self.estimates[metric], self.mixtures[metric], strict=True)
        )


@dataclass(frozen=True)
class Signal:
    """A line of a scp file: where the sound is, how errors name it, and whether it may be a command."""

    value: str
    name: str
    allow_pipes: bool = False


@dataclass(frozen=True)
class Utterance:
    """The signals of one key; references and estimates each in their own order."""

    key: str
    mixture: Signal
    references: tuple[Signal, ...]
    estimates: tuple[Signal, ...]
    sexes: str | None


@dataclass(frozen=True)
class SetScores:
    """A test set's scores.

    Attributes:
        name: of the set.
        n_utts: the number of utterances (or windows) in the set, however many were scored.
        utterances: those that were, in the order of their keys.
        corpus: what the set was made from, as its data directory says.
        checkpoint: what separated it, as decoding noted.
        windows: what the windows are of; None when whole utterances were scored.
        signals: where the signals of `utterances` are, in their order.
    """

    name: str
    n_utts: int
    utterances: tuple[UtteranceScores, ...]
    corpus: str = "not stated"
    checkpoint: str = "not stated"
    windows: WindowCounts | None = None
    signals: tuple[Utterance, ...] = field(default=(), compare=False)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that were computed, in the order of `METRICS`."""
        return tuple(self.utterances[0].estimates)


def chosen_metrics(*, cal_sdr: bool, cal_pesq: bool) -> tuple[str, ...]:
    """Gives the metrics that the config's switches choose.

    >>> chosen_metrics(cal_sdr=False, cal_pesq=True)
    ('si_snr', 'pesq')
    """
    return ("si_snr", *(("sdr", "sir", "sar", "stoi") if cal_sdr else ()), *(("pesq",) if cal_pesq else ()))


def score_set(
    *,
    separated_dir: Path,
    data_dir: Path,
    num_spks: int,
    sample_rate: int,
    metrics: Sequence[str] = METRICS[:1],
    nj: int = 1,
    allow_pipes: bool = False,
) -> SetScores:
    """Gives the scores of all utterances of a data directory, in the order of their keys.

    Args:
        separated_dir: has `spk1.scp`, ..., the estimates.
        data_dir: a Kaldi directory with `wav.scp` and `spk1.scp`, ..., the references; or one of windows.
        num_spks: sources of each mixture.
        sample_rate: the rate all signals must have, Hz.
        metrics: of `METRICS`; SI-SNR always is among them.
        nj: processes.
        allow_pipes: run the commands in the scp files of the data directory.

    Raises:
        InputError: keys, rates or lengths do not agree, a sound cannot be read or a reference is silent, or PESQ is
            wanted and cannot be had.
    """
    if "pesq" in metrics:
        _require_pesq(sample_rate)
    utterances = pair_signals(
        separated_dir=separated_dir, data_dir=data_dir, num_spks=num_spks, allow_pipes=allow_pipes
    )
    name = set_name(data_dir)
    score = partial(score_utterance, sample_rate=sample_rate, metrics=("si_snr", *metrics))
    scores = tuple(parallel_map(score, utterances, nj=nj, title=f"score {name}"))
    statement = Path(data_dir) / CORPUS
    corpus = statement.read_text(encoding="utf-8").strip() if statement.is_file() else SetScores.corpus
    windows = read_counts(data_dir) if (Path(data_dir) / COUNTS).is_file() else None
    n_utts = windows.num_windows if windows else len(utterances)
    return SetScores(name, n_utts, scores, corpus, _checkpoint(Path(separated_dir)), windows, tuple(utterances))


def _require_pesq(sample_rate: int) -> None:
    if importlib.util.find_spec("pesq") is None:
        raise InputError(
            "cal_pesq: the package pesq is not installed; pip install pesq==0.0.4, or leave cal_pesq false"
        )
    if sample_rate not in pesq.MODES:
        raise InputError(f"cal_pesq: PESQ is for 8000 and 16000 Hz, not {sample_rate} Hz; leave cal_pesq false")


def _checkpoint(separated_dir: Path) -> str:
    """Gives name and checksum of the checkpoint from the head of decoding's journal."""
    try:
        with open(separated_dir / "made.jsonl", encoding="utf-8") as journal:
            head = json.loads(journal.readline())
        return f"{head['checkpoint']}, sha256 {head['sha256'][:12]}"
    except (OSError, ValueError, KeyError, TypeError):
        return SetScores.checkpoint  # separated by something else


def set_name(data_dir: str | os.PathLike) -> str:
    """Gives the name of a set: its folder's.

    >>> set_name("data/test/")
    'test'
    """
    return os.path.basename(os.path.abspath(data_dir))


def pair_signals(*, separated_dir: Path, data_dir: Path, num_spks: int, allow_pipes: bool = False) -> list[Utterance]:
    """Gives each key of the data directory, in order, with its signals; no key is left out.

    Raises:
        InputError: the data directory is not one, either folder has another number of sources, or the keys of the
            estimates are not those of the data directory.
    """
    data = read_data_dir(data_dir, allow_pipes=allow_pipes)
    if len(data.sources) != num_spks:
        raise InputError(f"{data_dir}: has {len(data.sources)} sources, the experiment's num_spks is {num_spks}")
    if (Path(separated_dir) / f"spk{num_spks + 1}.scp").exists():
        raise InputError(f"{separated_dir}/spk{num_spks + 1}.scp: one too many, num_spks is {num_spks}")
    paths = [Path(separated_dir) / f"spk{source}.scp" for source in range(1, num_spks + 1)]
    estimates = [_read_estimates(path, data) for path in paths]
    return [
        Utterance(
            key,
            Signal(data.mixtures[key], f"{data.path / 'wav.scp'}: {key}", allow_pipes),
            tuple(
                Signal(source[key], f"{data.path / f'spk{i}.scp'}: {key}", allow_pipes)
                for i, source in enumerate(data.sources, 1)
            ),
            tuple(Signal(values[key], f"{path}: {key}") for path, values in zip(paths, estimates)),
            _sexes(data, key),
        )
        for key in data.keys
    ]


def _sexes(data: DataDir, key: str) -> str | None:
    if data.src2spk is None or data.spk2gender is None:
        return None
    sexes = [data.spk2gender.get(speaker) for speaker in data.src2spk[key]]
    return None if None in sexes else " ".join(sorted(sexes))


def _read_estimates(path: Path, data: DataDir) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; stage 3 makes it")
    values = read_scp(path)
    missing, extra = sorted(set(data.keys) - values.keys()), sorted(values.keys() - set(data.keys))
    if missing:
        raise InputError(f"{path}: has no {missing[0]}, which {data.path} has; missing: {len(missing)} keys")
    if extra:
        raise InputError(f"{path}: has {extra[0]}, which {data.path} has not; too many: {len(extra)} keys")
    return values


def score_utterance(utterance: Utterance, *, sample_rate: int, metrics: Sequence[str]) -> UtteranceScores:
    """Gives one utterance's scores, under the permutation of estimates with the best mean SI-SNR.

    Raises:
        InputError: as `score_set`, naming the file and key.
    """
    mixture, references, estimates = matched_signals(utterance, sample_rate=sample_rate)
    mixtures = np.broadcast_to(mixture, references.shape)  # [C, T]
    try:
        scores = [_measure(signals, references, sample_rate, metrics) for signals in (estimates, mixtures)]
    except ValueError as error:
        raise InputError(f"{utterance.mixture.name}: {error}") from error
    levels = 20 * np.log10(references.std(axis=1, dtype=np.float64))  # [C]
    return UtteranceScores(utterance.key, len(mixture) / sample_rate, float(np.ptp(levels)), utterance.sexes, *scores)


def matched_signals(utterance: Utterance, *, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads an utterance: mixture [T], references [C, T], and estimates [C, T] in the references' order.

    Raises:
        InputError: as `score_set`, naming the file and key.
    """
    mixture = _read(utterance.mixture, sample_rate, None)  # [T]
    references = np.stack([_read(signal, sample_rate, len(mixture)) for signal in utterance.references])  # [C, T]
    estimates = np.stack([_read(signal, sample_rate, len(mixture)) for signal in utterance.estimates])  # [C, T]
    if len(mixture) < 2:
        raise InputError(f"{utterance.mixture.name}: has one sample; a score needs two")
    silent = np.flatnonzero(np.ptp(references, axis=1) == 0)
    if len(silent):
        raise InputError(f"{utterance.references[silent[0]].name}: the reference is silent; it cannot be scored")
    return mixture, references, estimates[best_permutation(_pairwise_si_snr(estimates, references))]


def _pairwise_si_snr(estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Gives [C estimates, C references], dB."""
    pairs = (len(references), *references.shape)
    return si_snr(
        estimate=np.broadcast_to(estimates[:, None], pairs), reference=np.broadcast_to(references[None], pairs)
    )


def _measure(
    signals: np.ndarray, references: np.ndarray, sample_rate: int, metrics: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """Gives the metrics of signals [C, T] against the references in their places."""
    values = {"si_snr": si_snr(estimate=signals, reference=references)}
    if not {"sdr", "sir", "sar"}.isdisjoint(metrics):
        values |= bss_eval(estimates=signals, references=references)._asdict()
    for name, measure in (("stoi", stoi), ("pesq", pesq.pesq)):
        if name in metrics:
            pairs = zip(signals, references)
            values[name] = [measure(estimate=one, reference=of, sample_rate=sample_rate) for one, of in pairs]
    return {name: tuple(map(float, values[name])) for name in METRICS if name in metrics}


def _read(signal: Signal, sample_rate: int, n_samples: int | None) -> np.ndarray:
    samples, _ = read_signal(signal.value, name=signal.name, sample_rate=sample_rate, allow_pipes=signal.allow_pipes)
    if n_samples is not None and len(samples) != n_samples:
        raise InputError(f"{signal.name}: has {len(samples)} samples, its mixture {n_samples}")
    return samples


def write_scores(scores: SetScores, path: str | os.PathLike) -> None:
    """Writes `key,source,si_snr,si_snri` and two columns for each further metric, a row a source, atomically.

    Same scores, same bytes.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["key", "source", *(column for metric in scores.metrics for column in (metric, f"{metric}i"))])
    for utterance in scores.utterances:
        pairs = [(utterance.estimates[metric], utterance.improvements(metric)) for metric in scores.metrics]
        for source, row in enumerate(zip(*(column for pair in pairs for column in pair)), 1):
            table.writerow([utterance.key, source, *map(_six_decimals, row)])
    write_text(path, text.getvalue())


def _six_decimals(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6f}"  # adding zero turns -0.0 into 0.0
