"""Scores of a test set: each estimate against its reference and against the unprocessed mixture."""

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mindaudio_ext.config import Config
from mindaudio_ext.data.audio import read_signal
from mindaudio_ext.data.kaldi_dir import CORPUS, DataDir, read_data_dir, read_scp
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.rttm import RTTM, Turn, read_rttm
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import SeparatedSet
from mindaudio_ext.files import write_text
from mindaudio_ext.keys import set_name
from mindaudio_ext.metrics._permutation import assign_estimates
from mindaudio_ext.metrics.si_snr import ALONE_DB
from mindaudio_ext.registry import METRICS
from mindaudio_ext.score.conversations import ConversationScores, score_conversation
from mindaudio_ext.score.windows import COUNTS, WindowCounts, read_counts


@dataclass(frozen=True)
class UtteranceScores:
    """The scores of one utterance, or of one window of the reference protocol.

    Attributes:
        key: of the utterance.
        seconds: its length.
        level_difference: the loudest source's level less the quietest's, dB; NaN when only one is not silent.
        sexes: of the speakers, such as "f m", sorted; None when not known.
        estimates: metric -> the score of each source's estimate, in the order of the references; NaN where the
            reference is silent, which cannot be scored.
        mixtures: metric -> the score of the unprocessed mixture against each reference.
    """

    key: str
    seconds: float
    level_difference: float
    sexes: str | None
    estimates: dict[str, tuple[float, ...]]
    mixtures: dict[str, tuple[float, ...]]

    def improvements(self, metric: str) -> tuple[float, ...]:
        """Returns what separation gained, one per source."""
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
class UtteranceSignals:
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
        n_silent: silent references, which were not scored. An utterance that has no other is not among `utterances`.
        n_alone: mixtures of one speaker without noise, whose SI-SNR nothing can improve; not among `utterances`.
        signals: where the signals of `utterances` are, in their order.
        conversations: of all utterances, where an RTTM file says who speaks when.
    """

    name: str
    n_utts: int
    utterances: tuple[UtteranceScores, ...]
    corpus: str = "not stated"
    checkpoint: str = "not stated"
    windows: WindowCounts | None = None
    n_silent: int = 0
    n_alone: int = 0
    signals: tuple[UtteranceSignals, ...] = field(default=(), compare=False)
    conversations: tuple[ConversationScores, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that were computed, in the order of tables."""
        return tuple(self.utterances[0].estimates)


def chosen_metrics(config: Config) -> tuple[str, ...]:
    """Returns the metrics that a config chooses beside SI-SNR, in the order of tables; one may be there twice."""
    switched = [*(("sdr", "sir", "sar", "stoi") if config.cal_sdr else ()), *(("pesq",) if config.cal_pesq else ())]
    return (*switched, *config.metrics)


def score_set(
    *,
    separated_dir: Path,
    data_dir: Path,
    num_spks: int,
    sample_rate: int,
    metrics: Sequence[str] = (),
    nj: int = 1,
    allow_pipes: bool = False,
) -> SetScores:
    """Returns the scores of all utterances of a data directory, in the order of their keys.

    Args:
        separated_dir: has `spk1.scp`, ..., the estimates.
        data_dir: a Kaldi directory with `wav.scp` and `spk1.scp`, ..., the references; or one of windows.
        num_spks: sources of each mixture.
        sample_rate: the rate all signals must have, Hz.
        metrics: names in the registry; SI-SNR always comes first.
        nj: processes.
        allow_pipes: run the commands in the scp files of the data directory.

    Raises:
        InputError: keys, rates or lengths do not agree, a sound cannot be read, every reference is silent, or a
            metric cannot be computed here.
    """
    names = tuple(dict.fromkeys(["si_snr", *metrics]))
    for name in names:
        METRICS.get(name).require(sample_rate)
    utterances = pair_signals(
        separated_dir=separated_dir, data_dir=data_dir, num_spks=num_spks, allow_pipes=allow_pipes
    )
    name = set_name(data_dir)
    score = partial(score_utterance, sample_rate=sample_rate, metrics=names)
    of_all = list(parallel_map(score, utterances, nj=nj, title=f"score {name}"))
    n_silent = sum(map(_n_silent, of_all))
    n_alone = sum(map(_is_alone, of_all))
    scored = [
        (one, signals) for one, signals in zip(of_all, utterances) if _n_silent(one) < num_spks and not _is_alone(one)
    ]
    if not scored:
        what = "every mixture is one speaker alone" if n_alone else "every reference is silent"
        raise InputError(f"{data_dir}: {what}; nothing can be scored")
    scores, signals = zip(*scored)
    corpus, checkpoint = _corpus(Path(data_dir)), _checkpoint(Path(separated_dir))
    windows = read_counts(data_dir) if (Path(data_dir) / COUNTS).is_file() else None
    n_utts = windows.num_windows if windows else len(utterances)
    conversations = _score_conversations(utterances, Path(separated_dir), Path(data_dir), sample_rate, nj)
    return SetScores(name, n_utts, scores, corpus, checkpoint, windows, n_silent, n_alone, signals, conversations)


def _score_conversations(
    signals: Sequence[UtteranceSignals], separated_dir: Path, data_dir: Path, sample_rate: int, nj: int
) -> tuple[ConversationScores, ...]:
    """Scores the recordings of a set as conversations; none when no RTTM file says who speaks when."""
    if not (data_dir / RTTM).is_file():
        return ()
    rttm = SeparatedSet(separated_dir).rttm
    turns, found = read_rttm(data_dir / RTTM), read_rttm(rttm) if rttm.is_file() else None
    jobs = [(one, turns.get(one.key, []), None if found is None else found.get(one.key, [])) for one in signals]
    score = partial(_score_conversation, sample_rate=sample_rate)
    return tuple(parallel_map(score, jobs, nj=nj, title=f"conversations of {set_name(data_dir)}"))


def _score_conversation(
    job: tuple[UtteranceSignals, list[Turn], list[Turn] | None], *, sample_rate: int
) -> ConversationScores:
    signals, turns, found = job
    mixture, references, estimates = read_signals(signals, sample_rate=sample_rate)
    order = assign_estimates(estimates=estimates, references=references)[0]
    return score_conversation(
        signals.key,
        mixture=mixture,
        references=references,
        estimates=estimates[order],
        sample_rate=sample_rate,
        turns=turns,
        found=found,
        tracks=[f"s{track + 1}" for track in order],
    )


def _corpus(data_dir: Path) -> str:
    """Returns what a set was made from, as its data directory says."""
    statement = data_dir / CORPUS
    return statement.read_text(encoding="utf-8").strip() if statement.is_file() else SetScores.corpus


def _checkpoint(separated_dir: Path) -> str:
    """Returns name and checksum of the checkpoint, as decoding noted them."""
    origin = SeparatedSet(separated_dir).read_origin()
    return f"{origin['checkpoint']}, sha256 {origin['sha256'][:12]}" if origin else SetScores.checkpoint


def _is_alone(scores: UtteranceScores) -> bool:
    """Whether one speaker is all there is: the mixture is its reference, but for rounding."""
    mixture = np.array(scores.mixtures["si_snr"])
    return int(np.isfinite(mixture).sum()) == 1 and float(np.nanmax(mixture)) > ALONE_DB


def _n_silent(scores: UtteranceScores) -> int:
    return int(np.isnan(scores.estimates["si_snr"]).sum())


def pair_signals(
    *, separated_dir: Path, data_dir: Path, num_spks: int, allow_pipes: bool = False
) -> list[UtteranceSignals]:
    """Returns each key of the data directory, in order, with its signals; no key is left out.

    Raises:
        InputError: the data directory is not one, either folder has another number of sources, or the keys of the
            estimates are not those of the data directory.
    """
    data = read_data_dir(data_dir, allow_pipes=allow_pipes)
    if len(data.sources) != num_spks:
        raise InputError(f"{data_dir}: has {len(data.sources)} sources, the experiment's num_spks is {num_spks}")
    separated = SeparatedSet(Path(separated_dir))
    if separated.scp(num_spks + 1).exists():
        raise InputError(f"{separated_dir}/spk{num_spks + 1}.scp: one too many, num_spks is {num_spks}")
    paths = [separated.scp(source) for source in range(1, num_spks + 1)]
    estimates = [_read_estimates(path, data) for path in paths]
    return [
        UtteranceSignals(
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
    speakers = data.src2spk[key]
    sexes = [data.spk2gender[speaker] for speaker in speakers if speaker in data.spk2gender]
    return " ".join(sorted(sexes)) if len(sexes) == len(speakers) else None


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


def score_utterance(utterance: UtteranceSignals, *, sample_rate: int, metrics: Sequence[str]) -> UtteranceScores:
    """Returns one utterance's scores, under the permutation of estimates with the best mean SI-SNR.

    Raises:
        InputError: as `score_set`, naming the file and key.
    """
    mixture, references, estimates = matched_signals(utterance, sample_rate=sample_rate)
    mixtures = np.broadcast_to(mixture, references.shape)  # [C, T]
    heard = np.ptp(references, axis=1) > 0  # [C]
    try:
        scores = [_measure(signals, references, heard, sample_rate, metrics) for signals in (estimates, mixtures)]
    except ValueError as error:
        raise InputError(f"{utterance.mixture.name}: {error}") from error
    levels = 20 * np.log10(references[heard].std(axis=1, dtype=np.float64))  # [R]
    difference = float(np.ptp(levels)) if len(levels) > 1 else math.nan
    return UtteranceScores(utterance.key, len(mixture) / sample_rate, difference, utterance.sexes, *scores)


def matched_signals(utterance: UtteranceSignals, *, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads an utterance: mixture [T], references [C, T], and estimates [C, T] in the references' order.

    Raises:
        InputError: as `score_set`, naming the file and key.
    """
    mixture, references, estimates = read_signals(utterance, sample_rate=sample_rate)
    return mixture, references, estimates[assign_estimates(estimates=estimates, references=references)[0]]


def read_signals(utterance: UtteranceSignals, *, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads an utterance: mixture [T], references [C, T], and estimates [C, T], both in their own order.

    Raises:
        InputError: as `score_set`, naming the file and key.
    """
    mixture = _read(utterance.mixture, sample_rate, None)  # [T]
    references = np.stack([_read(signal, sample_rate, len(mixture)) for signal in utterance.references])  # [C, T]
    estimates = np.stack([_read(signal, sample_rate, len(mixture)) for signal in utterance.estimates])  # [C, T]
    if len(mixture) < 2:
        raise InputError(f"{utterance.mixture.name}: has one sample; a score needs two")
    return mixture, references, estimates


def _measure(
    signals: np.ndarray, references: np.ndarray, heard: np.ndarray, sample_rate: int, metrics: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """Returns the metrics of signals [C, T] against the references in their places; NaN where `heard`, [C], is not."""
    measured = {}
    for name in metrics:
        values = np.full(len(heard), np.nan)
        if heard.any():
            compute = METRICS.get(name).compute
            values[heard] = compute(estimates=signals[heard], references=references[heard], sample_rate=sample_rate)
        measured[name] = tuple(map(float, values))
    return measured


def _read(signal: Signal, sample_rate: int, n_samples: int | None) -> np.ndarray:
    samples, _ = read_signal(signal.value, name=signal.name, sample_rate=sample_rate, allow_pipes=signal.allow_pipes)
    if n_samples is not None and len(samples) != n_samples:
        raise InputError(f"{signal.name}: has {len(samples)} samples, its mixture {n_samples}")
    return samples


def write_scores(scores: SetScores, path: str | os.PathLike) -> None:
    """Writes `key,source,si_snr,si_snri` and two columns for each further metric, a row per source, atomically.

    The scores of a silent reference are empty. Same scores, same bytes.
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
    return "" if math.isnan(value) else f"{round(value, 6) + 0.0:.6f}"  # adding zero turns -0.0 into 0.0
