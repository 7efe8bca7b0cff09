"""RESULTS.md of an experiment: what was run, on what, and a table for each test set."""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import mindaudio_ext
from mindaudio_ext.config import Config
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.score.score import SetScores
from mindaudio_ext.score.summary import N_RESAMPLES, Group, Spread, Summary, break_down, summarise

# Titles of the metrics, and how many decimals they are told with.
TITLES = {"si_snr": "SI-SNR", "sdr": "SDR", "sir": "SIR", "sar": "SAR", "stoi": "STOI", "pesq": "PESQ"}
_DECIMALS = {"stoi": 3}
_GAIN_TOLD = ("si_snr", "sdr")  # of the others the table has the scores alone
# A mixture of the sources has no artifacts: its SAR is what 16 bits allow, and a difference to it says nothing.
NO_GAIN = ("sar",)
DECODING = "decode.json"  # what stage 3 notes in separated_<set>


def write_results(expdir: Path, config: Config, sets: Sequence[SetScores], *, command_line: str) -> None:
    """Writes `RESULTS.md` of an experiment, atomically.

    Args:
        expdir: the experiment; its `model.json` (parameters, epoch) is used when it is there.
        config: its resolved config.
        sets: the scored test sets.
        command_line: what was run.
    """
    name = os.path.basename(os.path.abspath(expdir))
    facts = fact_list(config, Path(expdir), [scores.name for scores in sets], command_line=command_line)
    lines = [f"# Results: {name}", "", *(f"- {what}: {value}" for what, value in facts)]
    for scores in sets:
        lines += ["", *set_section(scores)]
    write_text(Path(expdir) / "RESULTS.md", "\n".join(lines) + "\n")


def set_section(scores: SetScores) -> list[str]:
    """Gives a set's heading, tables and what they mean, as Markdown lines."""
    summary = summarise(scores)
    if scores.windows:
        counts = scores.windows
        return [
            f"## Test set `{scores.name}`, reference protocol: {summary.n_scored} scored of {summary.n_utts}",
            "",
            f"Windows of 4 s, every 2 s and one at the end, of the mixtures of 4 to 12 s, {counts.num_used} of "
            f"{counts.num_utts}; separated window by window. Windows with a silent reference, which cannot be scored: "
            f"{counts.num_silent}. Checkpoint: {scores.checkpoint}.",
            "",
            *score_table(summary),
            "",
            "dB; means over the windows of the means over their sources; the interval is that of the mean SI-SNRi, by "
            f"bootstrap over mixtures ({N_RESAMPLES} resamples).",
        ]
    return [
        f"## Test set `{scores.name}`: {summary.n_scored} scored of {summary.n_utts}",
        "",
        f"Corpus: {scores.corpus}. Checkpoint: {scores.checkpoint}. Full protocol: every utterance, whole.",
        "",
        *score_table(summary),
        "",
        *_spread_table(summary),
        "",
        *_group_table(break_down(scores)),
        "",
        "dB, but STOI (0 to 1) and PESQ (MOS-LQO); means over utterances of the means over sources; intervals of "
        f"the mean by bootstrap over utterances ({N_RESAMPLES} resamples). Level difference: from the quietest to "
        "the loudest source.",
    ]


def score_table(summary: Summary) -> list[str]:
    """Gives the table of a set: the unprocessed mixture, then the model."""
    worse = f"{100 * summary.share_worse:.1f} %"
    spread = summary.improvements["si_snr"]
    heads = ["", "scored", "SI-SNR", "SI-SNRi", "95 % interval", "median SI-SNRi", "SI-SNRi below 0"]
    mixture = ["unprocessed mixture", _scored(summary), *_of_mixture(summary, "si_snr"), "-", "-", "-"]
    model = [
        "model",
        _scored(summary),
        *_of_model(summary, "si_snr"),
        interval_told(spread),
        told(spread.median),
        worse,
    ]
    for metric in list(summary.mixtures)[1:]:
        heads += [TITLES[metric], *([f"{TITLES[metric]}i"] if metric in _GAIN_TOLD else [])]
        mixture += _of_mixture(summary, metric)
        model += _of_model(summary, metric)
    return _table([heads, mixture, model])


def _of_mixture(summary: Summary, metric: str) -> list[str]:
    return [told(summary.mixtures[metric], metric), *([told(0.0)] if metric in _GAIN_TOLD else [])]


def _of_model(summary: Summary, metric: str) -> list[str]:
    values = [summary.estimates[metric], *([summary.improvements[metric]] if metric in _GAIN_TOLD else [])]
    return [told(value.mean, metric) for value in values]


def _spread_table(summary: Summary) -> list[str]:
    rows = [["model", "mean", "median", "95 % interval"]]
    for metric, title in TITLES.items():
        if metric in summary.estimates:
            rows.append([title, *_spread_told(summary.estimates[metric], metric)])
            if metric not in NO_GAIN:
                rows.append([f"{title}i", *_spread_told(summary.improvements[metric], metric)])
    return _table(rows)


def _spread_told(spread: Spread, metric: str) -> list[str]:
    return [told(spread.mean, metric), told(spread.median, metric), interval_told(spread, metric)]


def _group_table(groups: Sequence[Group]) -> list[str]:
    rows = [["by", "", "utterances", "SI-SNRi", "95 % interval", "median SI-SNRi", "SI-SNRi below 0"]]
    for group in groups:
        spread = group.si_snri
        values = [told(spread.mean), interval_told(spread), told(spread.median), f"{100 * group.share_worse:.1f} %"]
        rows.append([group.by, group.name, str(group.n_utts), *values])
    return _table(rows)


def _table(rows: list[list[str]]) -> list[str]:
    heads, *body = rows
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *body)]


def _scored(summary: Summary) -> str:
    return f"{summary.n_scored} of {summary.n_utts}"


def interval_told(spread: Spread, metric: str = "si_snr") -> str:
    """Gives the interval in words."""
    return " to ".join(told(value, metric) for value in spread.interval)


def told(value: float, metric: str = "si_snr") -> str:
    """Gives a score with the decimals of its metric."""
    decimals = _DECIMALS.get(metric, 2)
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def fact_list(config: Config, expdir: Path, sets: Sequence[str], *, command_line: str) -> list[tuple[str, str]]:
    """Gives what was run, on what, and what it took: names and values.

    Raises:
        InputError: a file of the experiment is not what training or stage 3 writes.
    """
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
        ("config", "`config.yaml` beside this file"),
        ("sets", f"train `{config.train_set}`, validation `{config.valid_set}`"),
        ("signals", f"{config.sample_rate} Hz, {config.num_spks} sources"),
        ("seed", str(config.seed)),
        ("model", f"{config.separator} ({options}), {config.n_filters} filters of {config.kernel_size} samples"),
        *_model_facts(expdir / "model.json"),
        ("training", training),
        *_speed_facts(expdir),
        *_decoding_facts(expdir, sets),
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


def _speed_facts(expdir: Path) -> list[tuple[str, str]]:
    """Gives the training's speed, from that of each epoch in `history.jsonl` and the devices in `model.json`."""
    path, model = expdir / "history.jsonl", expdir / "model.json"
    if not path.is_file():
        return []
    try:
        epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        speeds = [float(speed) for epoch in epochs if (speed := epoch["audio_seconds_per_second"]) is not None]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not what training writes ({error}); train again or remove it") from error
    if not speeds:
        return []
    devices = int(json.loads(model.read_text(encoding="utf-8")).get("devices", 1)) if model.is_file() else 1
    speed = np.median(speeds) / devices
    return [("training speed", f"{speed:.2f} s of audio a second and device, on {devices}, the median of the epochs")]


def _decoding_facts(expdir: Path, sets: Sequence[str]) -> list[tuple[str, str]]:
    """Gives what separating each set took, as stage 3 noted it."""
    facts, multiply_adds = [], None
    for name in dict.fromkeys(sets):
        path = expdir / f"separated_{name}" / DECODING
        if not path.is_file():
            continue
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            multiply_adds = float(noted["multiply_adds_per_second"])
            audio, seconds = float(noted["audio_seconds"]), float(noted["seconds"])
            took = (
                f"RTF {seconds / audio:.3f} ({audio:.0f} s of audio in {seconds:.0f} s), peak memory "
                f"{noted['peak_memory'] / 1e6:.0f} MB a process, on {noted['device']}"
            )
            if noted.get("shifts", 1) > 1:
                took += f", {noted['shifts']} shifts"
        except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
            raise InputError(f"{path}: not what stage 3 writes ({error!r}); run stage 3 again or remove it") from error
        facts.append((f"separating `{name}`", took))
    if multiply_adds is None:
        return facts
    return [
        ("multiply-adds", f"{multiply_adds / 1e9:.2f} G per second of audio, of all shifts, counted over 4 s"),
        *facts,
    ]


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
