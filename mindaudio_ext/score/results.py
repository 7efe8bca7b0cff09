"""RESULTS.md of an experiment: what was run, on what, and a table for each test set."""

import csv
import datetime
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import mindaudio_ext
from mindaudio_ext.config import Config
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.files import parse_json, write_text
from mindaudio_ext.registry import METRICS
from mindaudio_ext.score.conversations import ALONE, COLLARS, ORDER, SILENCE, ConversationScores, can_diarize, quantile
from mindaudio_ext.score.score import SetScores
from mindaudio_ext.score.summary import (
    N_RESAMPLES,
    Group,
    Spread,
    Summary,
    break_down,
    si_snri_of,
    summarise,
)


def write_results(expdir: Path, config: Config, sets: Sequence[SetScores], *, command_line: str) -> None:
    """Writes `RESULTS.md` of an experiment, atomically.

    Args:
        expdir: the experiment; its `model.json` (parameters, epoch) is used when it is there.
        config: its resolved config.
        sets: the scored test sets.
        command_line: what was run.
    """
    experiment = Experiment(Path(expdir))
    facts = fact_list(config, experiment, [scores.name for scores in sets], command_line=command_line)
    lines = [f"# Results: {experiment.name}", "", *(f"- {what}: {value}" for what, value in facts)]
    for scores in sets:
        lines += ["", *set_section(scores), *conversations_beside(experiment, scores)]
    write_text(experiment.results, "\n".join(lines) + "\n")


def set_section(scores: SetScores) -> list[str]:
    """Returns a set's heading, tables and what they mean, as Markdown lines."""
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
        f"Corpus: {scores.corpus}. Checkpoint: {scores.checkpoint}. Full protocol: every utterance, whole"
        f"{format_silent(scores)}.",
        "",
        *score_table(summary),
        "",
        *_spread_table(summary),
        "",
        *_group_table(break_down(scores)),
        "",
        *conversation_section(scores),
        f"{_units(scores.metrics)}; means over utterances of the means over sources; intervals of the mean by "
        f"bootstrap over utterances ({N_RESAMPLES} resamples). Level difference: from the quietest to the loudest "
        "source.",
    ]


def _units(metrics: Sequence[str]) -> str:
    """Returns the metrics' units in words, such as "dB, but STOI (0 to 1)"."""
    others = [f"{metric.title} ({metric.unit})" for metric in map(METRICS.get, metrics) if metric.unit != "dB"]
    return " and ".join(
        ["dB, but " + ", ".join(others[:-1]), others[-1]] if others[1:] else [", but ".join(["dB", *others])]
    )


def conversation_section(scores: SetScores) -> list[str]:
    """Returns what is said of a set's conversations, as Markdown lines with an empty one at the end; none of others."""
    if not scores.conversations:
        return []
    counts = count_rows(scores.conversations)
    return [
        *_table(conversation_rows(scores)),
        "",
        conversation_words(),
        "",
        *([*_table(counts), ""] if counts else []),
    ]


def conversations_beside(experiment: Experiment, scores: SetScores) -> list[str]:
    """Returns the table that compares experiments in one folder by the same conversations, as Markdown lines.

    Of another experiment the row is that of its `RESULTS.md`. None of it where no other has scored these recordings.
    """
    if not scores.conversations:
        return []
    heads, *_, whole = conversation_rows(scores)
    rows = {experiment.name: whole[1:]}
    recordings = {(one.key, round(one.seconds, 6)) for one in scores.conversations}
    for folder in experiment.path.resolve().parent.iterdir():
        other = Experiment(folder)
        if folder.name != experiment.path.resolve().name and _recordings_of(other, scores.name) == recordings:
            row = _row_of_all(other, scores.name, heads)
            rows |= {other.name: row} if row else {}
    if len(rows) == 1:
        return []
    table = [["experiment", *heads[1:]], *([name, *rows[name]] for name in sorted(rows))]
    return ["", f"Experiments beside this one, all recordings of `{scores.name}`:", "", *_table(table)]


def _recordings_of(experiment: Experiment, set_name: str) -> set[tuple[str, float]]:
    """Returns key and seconds of the conversations that an experiment has scored; none when it has not."""
    try:
        with open(experiment.conversation_scores(set_name), encoding="utf-8", newline="") as file:
            return {(row["key"], float(row["seconds"])) for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, ValueError, csv.Error):
        return set()


def _row_of_all(experiment: Experiment, set_name: str, heads: list[str]) -> list[str]:
    """Returns what RESULTS.md says of all conversations of a set, without the row's name; nothing when it has not."""
    try:
        lines = experiment.results.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    section = ""
    table: list[list[str]] = []
    for line in lines:
        section = line if line.startswith("## ") else section
        if section.startswith(f"## Test set `{set_name}`:"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            table = [*table, cells] if line.startswith("|") else []
            if cells[0] == "all" and table[:1] == [heads]:
                return cells[1:]
    return []


def conversation_words() -> str:
    """Says what the columns of `conversation_rows` are."""
    return (
        "By the share of the speech in which several speak. Other track: by how many dB the loudest track of somebody "
        f"silent is below the mixture, in windows of {ALONE:g} s in which one speaks alone: median, worst tenth, and "
        "the share of the windows in which it is digital silence once tracks are silenced. Other order: windows of "
        f"{ORDER:g} s in which the tracks stand in another order than in the recording as a whole."
        + ("" if can_diarize() else " DER needs `pip install 'mindaudio-ext[diarization]'`.")
    )


def conversation_rows(scores: SetScores) -> list[list[str]]:
    """Returns the table of a set's conversations, its heads first: a row for each class of overlap, and all of them."""
    heads = ["overlap", "recordings", "SI-SNRi", "below 0", "other track", "worst tenth", "silenced", "other order"]
    heads += ["changes a minute", "counted right", *(f"DER, collar {collar:g} s" for collar in COLLARS)]
    return [heads, *(_conversation_row(name, *group) for name, group in _by_overlap(scores).items())]


def _by_overlap(scores: SetScores) -> dict[str, tuple[list[ConversationScores], list[float]]]:
    """Returns class of overlap -> the conversations and their SI-SNRi; all of them last."""
    si_snri = dict(zip((one.key for one in scores.utterances), si_snri_of(scores.utterances)))
    groups: dict[str, tuple[list[ConversationScores], list[float]]] = {}
    for one in sorted(scores.conversations, key=lambda one: one.overlap):
        for name in (one.overlap_class, "all"):
            group = groups.setdefault(name, ([], []))
            group[0].append(one)
            group[1].extend([si_snri[one.key]] if one.key in si_snri else [])
    everything = groups.pop("all")
    return groups | {"all": everything}


def _conversation_row(name: str, ones: list[ConversationScores], si_snri: list[float]) -> list[str]:
    leakage = [value for one in ones for value in one.leakage]
    silenced = [value for one in ones for value in one.leakage_silenced]
    n_windows, n_other = sum(one.n_windows for one in ones), sum(one.n_other_order for one in ones)
    minutes = sum(one.seconds for one in ones) / 60
    counted = [one.n_counted == one.n_speakers for one in ones if one.n_counted is not None]
    row = [name, str(len(ones)), format_score(float(np.mean(si_snri))) if si_snri else "-"]
    row.append(f"{sum(value < 0 for value in si_snri)} of {len(si_snri)}")
    row += [f"{quantile(leakage, share):.1f} dB" if leakage else "-" for share in (0.5, 0.1)]
    row.append(f"{100 * np.mean([value >= SILENCE for value in silenced]):.1f} %" if silenced else "-")
    row += [f"{n_other} of {n_windows}", f"{sum(one.n_changes for one in ones) / minutes:.2f}"]
    row.append(f"{sum(counted)} of {len(counted)}" if counted else "-")
    for collar in COLLARS:
        errors = [one.errors[collar] for one in ones if collar in one.errors]
        row.append(f"{100 * sum(errors[1:], errors[0]).rate:.1f} %" if errors else "-")
    return row


def count_rows(ones: Sequence[ConversationScores]) -> list[list[str]]:
    """Returns how many people were heard of how many there are, the heads first; nothing where that was not told."""
    pairs = [(one.n_speakers, one.n_counted) for one in ones if one.n_counted is not None]
    if not pairs:
        return []
    heard = sorted({counted for _, counted in pairs})
    rows = [["speakers", *(f"heard {counted}" for counted in heard)]]
    for number in sorted({number for number, _ in pairs}):
        rows.append([str(number), *(str(pairs.count((number, counted))) for counted in heard)])
    return rows


def format_silent(scores: SetScores) -> str:
    """Returns how many references were not scored because they are silent, to follow a fact; empty when none is.

    Mixtures of one speaker alone, of which nothing can be separated, are told as well.
    """
    total = scores.n_utts * len(scores.utterances[0].estimates["si_snr"])
    silent = f"; silent references, which cannot be scored: {scores.n_silent} of {total}" if scores.n_silent else ""
    return silent + (f"; one speaker alone, not scored: {scores.n_alone} of {scores.n_utts}" if scores.n_alone else "")


def score_table(summary: Summary) -> list[str]:
    """Returns the table of a set: the unprocessed mixture, then the model."""
    worse = f"{100 * summary.share_worse:.1f} %"
    spread = summary.improvements["si_snr"]
    heads = ["", "scored", "SI-SNR", "SI-SNRi", "95 % interval", "median SI-SNRi", "SI-SNRi below 0"]
    mixture = ["unprocessed mixture", _scored(summary), *_of_mixture(summary, "si_snr"), "-", "-", "-"]
    model = [
        "model",
        _scored(summary),
        *_of_model(summary, "si_snr"),
        format_interval(spread),
        format_score(spread.median),
        worse,
    ]
    for metric in list(summary.mixtures)[1:]:
        title, gain_in_table = METRICS.get(metric).title, METRICS.get(metric).gain_in_table
        heads += [title, *([f"{title}i"] if gain_in_table else [])]
        mixture += _of_mixture(summary, metric)
        model += _of_model(summary, metric)
    return _table([heads, mixture, model])


def _of_mixture(summary: Summary, metric: str) -> list[str]:
    return [
        format_score(summary.mixtures[metric], metric),
        *([format_score(0.0, metric)] if METRICS.get(metric).gain_in_table else []),
    ]


def _of_model(summary: Summary, metric: str) -> list[str]:
    values = [summary.estimates[metric], *([summary.improvements[metric]] if METRICS.get(metric).gain_in_table else [])]
    return [format_score(value.mean, metric) for value in values]


def _spread_table(summary: Summary) -> list[str]:
    rows = [["model", "mean", "median", "95 % interval"]]
    for name in summary.estimates:
        metric = METRICS.get(name)
        rows.append([metric.title, *_format_spread(summary.estimates[name], name)])
        if metric.has_gain:
            rows.append([f"{metric.title}i", *_format_spread(summary.improvements[name], name)])
    return _table(rows)


def _format_spread(spread: Spread, metric: str) -> list[str]:
    return [format_score(spread.mean, metric), format_score(spread.median, metric), format_interval(spread, metric)]


def _group_table(groups: Sequence[Group]) -> list[str]:
    rows = [["by", "", "utterances", "SI-SNRi", "95 % interval", "median SI-SNRi", "SI-SNRi below 0"]]
    for group in groups:
        spread = group.si_snri
        values = [
            format_score(spread.mean),
            format_interval(spread),
            format_score(spread.median),
            f"{100 * group.share_worse:.1f} %",
        ]
        rows.append([group.by, group.name, str(group.n_utts), *values])
    return _table(rows)


def _table(rows: list[list[str]]) -> list[str]:
    heads, *body = rows
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *body)]


def _scored(summary: Summary) -> str:
    return f"{summary.n_scored} of {summary.n_utts}"


def format_interval(spread: Spread, metric: str = "si_snr") -> str:
    """Returns the interval in words."""
    return " to ".join(format_score(value, metric) for value in spread.interval)


def format_score(value: float, metric: str = "si_snr") -> str:
    """Returns a score with the decimals of its metric."""
    decimals = METRICS.get(metric).decimals
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def fact_list(
    config: Config, experiment: Experiment, sets: Sequence[str], *, command_line: str
) -> list[tuple[str, str]]:
    """Returns what was run, on what, and what it took: names and values.

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
        ("config", f"`{experiment.config_file.name}` beside this file"),
        ("sets", f"train `{config.train_set}`, validation `{config.valid_set}`"),
        ("signals", f"{config.sample_rate} Hz, {config.num_spks} sources"),
        ("seed", str(config.seed)),
        ("model", f"{config.separator} ({options}), {config.n_filters} filters of {config.kernel_size} samples"),
        *_model_facts(experiment.facts),
        ("training", training),
        *_speed_facts(experiment),
        *_decoding_facts(experiment, sets),
    ]


def _model_facts(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        facts = [("parameters", f"{int(values['parameters']):,}".replace(",", " "))] if "parameters" in values else []
        return facts + ([("best epoch", str(int(values["epoch"])))] if "epoch" in values else [])
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not what training writes ({error}); train again or remove it") from error


def _speed_facts(experiment: Experiment) -> list[tuple[str, str]]:
    """Returns the training's speed, from that of each epoch in `history.jsonl` and the devices in `model.json`."""
    path, model = experiment.history, experiment.facts
    if not path.is_file():
        return []
    try:
        epochs = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
        speeds = [float(speed) for epoch in epochs if (speed := epoch["audio_seconds_per_second"]) is not None]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not what training writes ({error}); train again or remove it") from error
    if not speeds:
        return []
    devices = int(parse_json(model.read_text(encoding="utf-8")).get("devices", 1)) if model.is_file() else 1
    speed = np.median(speeds) / devices
    return [("training speed", f"{speed:.2f} s of audio a second and device, on {devices}, the median of the epochs")]


def _decoding_facts(experiment: Experiment, sets: Sequence[str]) -> list[tuple[str, str]]:
    """Returns what separating each set took, as stage 3 noted it."""
    facts, multiply_adds = [], None
    for name in dict.fromkeys(sets):
        path = experiment.separated(name).decoding
        if not path.is_file():
            continue
        try:
            noted = parse_json(path.read_text(encoding="utf-8"))
            multiply_adds = float(noted["multiply_adds_per_second"])
            audio, seconds = float(noted["audio_seconds"]), float(noted["seconds"])
            took = (
                f"RTF {seconds / audio:.3f} ({audio:.0f} s of audio in {seconds:.0f} s) and peak memory "
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
    """Returns the short hash of the commit a folder's files are at, `+changes` when they differ from it, or `unknown`.

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
