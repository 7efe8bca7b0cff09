"""Scores of a test set: each estimate against its reference and against the unprocessed mixture."""

import csv
import io
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import read_signal
from mindaudio_ext.data.kaldi_dir import CORPUS, DataDir, read_data_dir, read_scp
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.sdr import sdr
from mindaudio_ext.metrics.si_snr import si_snr


@dataclass(frozen=True)
class SourceScore:
    """The scores of one source of one utterance, dB; `source` counts from 1 in the order of the references."""

    key: str
    source: int
    si_snr: float
    si_snri: float
    sdr: float | None = None
    sdri: float | None = None


@dataclass(frozen=True)
class SetScores:
    """A test set's scores.

    Attributes:
        name: of the set.
        n_utts: the number of keys in the data directory, however many were scored.
        rows: a score for each utterance and source.
        corpus: what the set was made from, as its data directory says.
        checkpoint: what separated it, as decoding noted.
    """

    name: str
    n_utts: int
    rows: tuple[SourceScore, ...]
    corpus: str = "not stated"
    checkpoint: str = "not stated"


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


def score_set(
    *,
    separated_dir: Path,
    data_dir: Path,
    num_spks: int,
    sample_rate: int,
    cal_sdr: bool = False,
    nj: int = 1,
    allow_pipes: bool = False,
) -> SetScores:
    """Gives the scores of all utterances of a data directory, in the order of their keys.

    Args:
        separated_dir: has `spk1.scp`, ..., the estimates.
        data_dir: a Kaldi directory with `wav.scp` and `spk1.scp`, ..., the references.
        num_spks: sources of each mixture.
        sample_rate: the rate all signals must have, Hz.
        cal_sdr: SDR too.
        nj: processes.
        allow_pipes: run the commands in the scp files of the data directory.

    Raises:
        InputError: keys, rates or lengths do not agree, a sound cannot be read or a reference is silent.
    """
    utterances = pair_signals(
        separated_dir=separated_dir, data_dir=data_dir, num_spks=num_spks, allow_pipes=allow_pipes
    )
    name = set_name(data_dir)
    score = partial(score_utterance, sample_rate=sample_rate, cal_sdr=cal_sdr)
    rows = [row for scored in parallel_map(score, utterances, nj=nj, title=f"score {name}") for row in scored]
    statement = Path(data_dir) / CORPUS
    corpus = statement.read_text(encoding="utf-8").strip() if statement.is_file() else SetScores.corpus
    return SetScores(name, len(utterances), tuple(rows), corpus, _checkpoint(Path(separated_dir)))


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
        )
        for key in data.keys
    ]


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


def score_utterance(utterance: Utterance, *, sample_rate: int, cal_sdr: bool) -> list[SourceScore]:
    """Gives one utterance's scores, a source each, under the permutation of estimates with the best mean SI-SNR.

    Raises:
        InputError: as `score_set`, naming the file and key.
    """
    mixture = _read(utterance.mixture, sample_rate, None)  # [T]
    references = np.stack([_read(signal, sample_rate, len(mixture)) for signal in utterance.references])  # [C, T]
    estimates = np.stack([_read(signal, sample_rate, len(mixture)) for signal in utterance.estimates])  # [C, T]
    silent = np.flatnonzero(np.ptp(references, axis=1) == 0)
    if len(silent):
        raise InputError(f"{utterance.references[silent[0]].name}: the reference is silent; it cannot be scored")
    try:
        return _score(utterance.key, mixture, references, estimates, cal_sdr)
    except ValueError as error:
        raise InputError(f"{utterance.mixture.name}: {error}") from error


def _score(
    key: str, mixture: np.ndarray, references: np.ndarray, estimates: np.ndarray, cal_sdr: bool
) -> list[SourceScore]:
    n_src = len(references)
    mixtures = np.broadcast_to(mixture, references.shape)  # [C, T]
    pairs = (n_src, *references.shape)
    pairwise = si_snr(
        estimate=np.broadcast_to(estimates[:, None], pairs), reference=np.broadcast_to(references[None], pairs)
    )  # [C estimates, C references]
    order = best_permutation(pairwise)
    values = pairwise[order, np.arange(n_src)]
    columns = [values, values - si_snr(estimate=mixtures, reference=references)]
    if cal_sdr:
        values = sdr(estimates=estimates[order], references=references)
        columns += [values, values - sdr(estimates=mixtures, references=references)]
    return [SourceScore(key, source, *map(float, row)) for source, row in enumerate(zip(*columns), 1)]


def _read(signal: Signal, sample_rate: int, n_samples: int | None) -> np.ndarray:
    samples, _ = read_signal(signal.value, name=signal.name, sample_rate=sample_rate, allow_pipes=signal.allow_pipes)
    if n_samples is not None and len(samples) != n_samples:
        raise InputError(f"{signal.name}: has {len(samples)} samples, its mixture {n_samples}")
    return samples


def write_scores(scores: SetScores, path: str | os.PathLike) -> None:
    """Writes `key,source,si_snr,si_snri[,sdr,sdri]`, a row a source, atomically; same scores, same bytes."""
    with_sdr = any(row.sdr is not None for row in scores.rows)
    columns = ["si_snr", "si_snri"] + ["sdr", "sdri"] * with_sdr
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["key", "source", *columns])
    for row in scores.rows:
        table.writerow([row.key, row.source, *(_decibels(getattr(row, column)) for column in columns)])
    write_text(path, text.getvalue())


def _decibels(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6f}"  # adding zero turns -0.0 into 0.0
