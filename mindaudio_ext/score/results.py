"""RESULTS.md of an experiment: what was run, on what, and a table for each test set."""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import mindaudio_ext
from mindaudio_ext.config import Config
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.score.score import SetScores

N_RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 100  # bounds the memory: 100 x 3000 utterances are 2.4 MB


@dataclass(frozen=True)
class Summary:
    """A set's means over utterances (each the mean over its sources), dB.

    Attributes:
        interval: 95 % bootstrap interval of the mean SI-SNRi over utterances.
        share_worse: share of utterances with SI-SNRi below 0 dB, 0 to 1.
        sdr, sdri: None when SDR was not computed.
    """

    n_scored: int
    n_utts: int
    si_snr: float
    si_snri: float
    interval: tuple[float, float]
    median: float
    share_worse: float
    sdr: float | None
    sdri: float | None


def bootstrap_interval(values: np.ndarray, *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Gives the percentile bootstrap interval of the mean of independent values.

    >>> bootstrap_interval(np.array([2.0, 2.0, 2.0]))
    (2.0, 2.0)

    Args:
        values: [N], one a test utterance.
        level: the share of resampled means inside.
        seed: of the resampling; the same values give the same interval.

    Raises:
        ValueError: there are no values.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"expected values [N], N at least 1, got shape {values.shape}")
    rng = np.random.default_rng(seed)
    shape = (_RESAMPLES_AT_ONCE, len(values))
    rounds = N_RESAMPLES // _RESAMPLES_AT_ONCE
    means = np.concatenate([values[rng.integers(len(values), size=shape)].mean(axis=1) for _ in range(rounds)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def summarise(scores: SetScores) -> Summary:
    """Gives a set's means, interval and shares."""
    si_snr, si_snri = _utterance_means(scores, "si_snr"), _utterance_means(scores, "si_snri")
    with_sdr = scores.rows[0].sdr is not None
    return Summary(
        n_scored=len(si_snr),
        n_utts=scores.n_utts,
        si_snr=float(si_snr.mean()),
        si_snri=float(si_snri.mean()),
        interval=bootstrap_interval(si_snri),
        median=float(np.median(si_snri)),
        share_worse=float((si_snri < 0).mean()),
        sdr=float(_utterance_means(scores, "sdr").mean()) if with_sdr else None,
        sdri=float(_utterance_means(scores, "sdri").mean()) if with_sdr else None,
    )


def _utterance_means(scores: SetScores, column: str) -> np.ndarray:
    values: dict[str, list[float]] = {}
    for row in scores.rows:
        values.setdefault(row.key, []).append(getattr(row, column))
    return np.array([np.mean(of_one) for of_one in values.values()])


def write_results(expdir: Path, config: Config, sets: Sequence[SetScores], *, command_line: str) -> None:
    """Writes `RESULTS.md` of an experiment, atomically.

    Args:
        expdir: the experiment; its `model.json` (parameters, epoch) is used when it is there.
        config: its resolved config.
        sets: the scored test sets.
        command_line: what was run.
    """
    name = os.path.basename(os.path.abspath(expdir))
    facts = _facts(config, _model_facts(Path(expdir) / "model.json"), command_line)
    lines = [f"# Results: {name}", "", *(f"- {what}: {value}" for what, value in facts)]
    for scores in sets:
        lines += ["", *set_table(scores, summarise(scores))]
    write_text(Path(expdir) / "RESULTS.md", "\n".join(lines) + "\n")


def set_table(scores: SetScores, summary: Summary) -> list[str]:
    """Gives a set's heading, table and what its columns mean, as Markdown lines."""
    low, high = summary.interval
    heads = ["", "scored", "SI-SNR", "SI-SNRi", "95 % interval", "median SI-SNRi", "SI-SNRi below 0"]
    scored = f"{summary.n_scored} of {summary.n_utts}"
    mixture = ["unprocessed mixture", scored, _db(summary.si_snr - summary.si_snri), _db(0.0), "-", "-", "-"]
    model = [
        "model",
        scored,
        _db(summary.si_snr),
        _db(summary.si_snri),
        f"{_db(low)} to {_db(high)}",
        _db(summary.median),
        f"{100 * summary.share_worse:.1f} %",
    ]
    if summary.sdr is not None and summary.sdri is not None:
        heads += ["SDR", "SDRi"]
        mixture += [_db(summary.sdr - summary.sdri), _db(0.0)]
        model += [_db(summary.sdr), _db(summary.sdri)]
    rows = [heads, ["---"] * len(heads), mixture, model]
    return [
        f"## Test set `{scores.name}`: {summary.n_scored} scored of {summary.n_utts}",
        "",
        f"Corpus: {scores.corpus}. Checkpoint: {scores.checkpoint}.",
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "dB; whole utterances, means over the utterances of the means over their sources; the interval is that of the "
        f"mean SI-SNRi, by bootstrap over utterances ({N_RESAMPLES} resamples).",
    ]


def _db(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"


def _facts(config: Config, model_facts: list[tuple[str, str]], command_line: str) -> list[tuple[str, str]]:
    options = ", ".join(f"{key} {value}" for key, value in config.separator_conf.items() if value is not None)
    versions = f"Python {platform.python_version()}, MindSpore {_version('mindspore')}, MindAudio"
    rate_rule = "".join(f", {key} {value}" for key, value in config.scheduler_conf.items())
    training = (
        f"up to epoch {config.epochs}, batches of {config.batch_size} x {config.segment:g} s, {config.optimizer}, "
        f"learning rate {config.lr:g} ({config.scheduler}{rate_rule})"
    )
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).date().isoformat()),
        ("command", f"`{command_line}`"),
        ("versions", f"{versions} {_version('mindaudio')}, mindaudio-ext {mindaudio_ext.__version__}"),
        ("git", git_hash(Path(mindaudio_ext.__file__).parent)),
        ("device", f"{config.device_target} ({platform.system()} {platform.machine()})"),
        ("sets", f"train `{config.train_set}`, validation `{config.valid_set}`"),
        ("signals", f"{config.sample_rate} Hz, {config.num_spks} sources"),
        ("seed", str(config.seed)),
        ("model", f"{config.separator} ({options}), {config.n_filters} filters of {config.kernel_size} samples"),
        *model_facts,
        ("training", training),
    ]


def _model_facts(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        facts = [("parameters", f"{int(values['parameters']):,}".replace(",", " "))] if "parameters" in values else []
        return facts + ([("best epoch", str(int(values["epoch"])))] if "epoch" in values else [])
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not what training writes ({error}); train again or remove it") from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def git_hash(folder: Path) -> str:
    """Gives the short hash of the commit a folder's files are at, `+changes` when they differ from it, or `unknown`.

    A folder inside a work tree that does not track it (a virtual environment, say) is `unknown`.
    """
    if not _git(folder, "ls-files"):
        return "unknown"
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    changes = _git(folder, "status", "--porcelain", ":/")
    return (commit + ("+changes" if changes else "")) if commit else "unknown"


def _git(folder: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return result.stdout.strip()
