"""report.html of an experiment: one file to look at and listen to, which opens from disk and fetches nothing.

What is shown is gathered here; how it looks stands in report.html.j2, report.css and report.js.
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import soundfile
from scipy.signal import resample_poly

from mindaudio_ext.config import Config
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.files import write_text
from mindaudio_ext.registry import METRICS
from mindaudio_ext.score.conversations import ConversationScores
from mindaudio_ext.score.plots import data_uri, histogram, scatter, spectrogram, waveform
from mindaudio_ext.score.results import (
    conversation_rows,
    conversation_words,
    count_rows,
    fact_list,
    format_interval,
    format_score,
    format_silent,
)
from mindaudio_ext.score.score import SetScores, UtteranceScores, UtteranceSignals, matched_signals
from mindaudio_ext.score.summary import Summary, break_down, si_snri_of, summarise, utterance_means
from mindaudio_ext.score.timeline import timeline

N_SHOWN = 10  # of the worst, of the best and of others
LONGEST = 10  # seconds of an utterance that can be heard
N_CONVERSATIONS, LONGEST_CONVERSATION = 3, 120  # the same of conversations, which are long
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OTHER_RATE = 16000  # Hz: what sound of another rate is resampled to
_COMPRESSION = 0.8  # about 23 kbit/s at 8 kHz
_GROUPS = {"worst": "Lowest SI-SNRi", "best": "Highest SI-SNRi", "random": "Others, drawn at random"}


class Cell(NamedTuple):
    """A cell of a table: its text and the number to sort by; None sorts by the text."""

    text: str
    value: float | None = None


def write_report(expdir: Path, config: Config, sets: Sequence[SetScores], *, command_line: str, nj: int = 1) -> None:
    """Writes `report.html` of an experiment, atomically.

    Args:
        expdir: the experiment.
        config: its resolved config.
        sets: of either protocol; what can be heard is of those that were scored whole.
        command_line: what was run.
        nj: processes that read and draw the signals.

    Raises:
        InputError: a signal cannot be read, or a file of the experiment is not what training or stage 3 writes.
    """
    experiment = Experiment(Path(expdir))
    facts = fact_list(config, experiment, [scores.name for scores in sets], command_line=command_line)
    page = render(
        title=experiment.name,
        sets=[_section(scores, config.sample_rate, nj) for scores in sets],
        facts=facts,
    )
    write_text(experiment.report, page)


def render(**values: Any) -> str:
    """Returns the page of `title`, `sets` (see `_section`) and `facts` (names and values); all text is escaped."""
    files = jinja2.FileSystemLoader(Path(__file__).parent)
    templates = jinja2.Environment(
        loader=files,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style, script = (files.get_source(templates, name)[0] for name in ("report.css", "report.js"))
    return templates.get_template("report.html.j2").render(style=style, script=script, **values)


def _section(scores: SetScores, sample_rate: int, nj: int) -> dict[str, Any]:
    """Returns what the page shows of a set; of windows no utterances, charts and sounds."""
    summary = summarise(scores)
    protocol = "Whole utterances"
    if scores.windows:
        used = f"{scores.windows.num_used} of {scores.windows.num_utts} mixtures"
        protocol = f"Reference protocol: 4 s windows of the mixtures of 4 to 12 s, {used}"
    section = {
        "name": scores.name,
        "count": f"{summary.n_scored} scored of {summary.n_utts}",
        "origin": f"{protocol}. Corpus: {scores.corpus}. Checkpoint: {scores.checkpoint}{format_silent(scores)}.",
        "tiles": _tiles(summary),
        "scores": score_rows(summary),
        "conversations": _conversation_tables(scores),
        "utterances": [],
    }
    if scores.windows:
        return section
    return section | {
        "groups": _group_rows(scores),
        "charts": _charts(scores),
        "shown": _shown(scores, sample_rate, nj),
        "metrics": [METRICS.get(metric).title for metric in scores.metrics],
        "utterances": _utterance_rows(scores),
    }


def _tiles(summary: Summary) -> list[tuple[str, str]]:
    gain = summary.improvements["si_snr"]
    tiles = [
        (f"{format_score(gain.mean)} dB", f"SI-SNRi, {format_interval(gain)}"),
        (f"{format_score(gain.median)} dB", "median SI-SNRi"),
        (f"{100 * summary.share_worse:.1f} %", "SI-SNRi below 0"),
    ]
    if "sdr" in summary.improvements:
        tiles.append((f"{format_score(summary.improvements['sdr'].mean)} dB", "SDRi"))
    if "stoi" in summary.estimates:
        before, after = (
            format_score(summary.mixtures["stoi"], "stoi"),
            format_score(summary.estimates["stoi"].mean, "stoi"),
        )
        tiles.append((after, f"STOI, {before} before"))
    return tiles


def score_rows(summary: Summary) -> list[list[Cell]]:
    """Returns the rows of the table of scores, one per metric."""
    rows = []
    for metric, gain in summary.improvements.items():
        scores = [_number(value, metric) for value in (summary.mixtures[metric], summary.estimates[metric].mean)]
        gains = [_number(gain.mean, metric), _number(gain.median, metric), Cell(format_interval(gain, metric))]
        has_gain = METRICS.get(metric).has_gain
        rows.append([Cell(METRICS.get(metric).title), *scores, *(gains if has_gain else [Cell("-")] * 3)])
    return rows


def _number(value: float, metric: str = "si_snr") -> Cell:
    return Cell(format_score(value, metric), value)


def _group_rows(scores: SetScores) -> list[list[Cell]]:
    return [
        [
            Cell(f"{group.by}: {group.name}"),
            Cell(str(group.n_utts), group.n_utts),
            _number(group.si_snri.mean),
            Cell(format_interval(group.si_snri)),
            Cell(f"{100 * group.share_worse:.1f} %", group.share_worse),
        ]
        for group in break_down(scores)
    ]


def _conversation_tables(scores: SetScores) -> list[tuple[str, list[str], list[list[Cell]], str]]:
    """Returns the tables of a set's conversations that RESULTS.md has: title, heads, rows, and what they mean."""
    if not scores.conversations:
        return []
    tables = [("Conversations", conversation_rows(scores), conversation_words())]
    tables.append(("Speakers heard", count_rows(scores.conversations), ""))
    return [
        (title, rows[0], [list(map(_cell, row)) for row in rows[1:]], words) for title, rows, words in tables if rows
    ]


def _cell(text: str) -> Cell:
    """Returns a cell that sorts by the number with which its text begins, if it does."""
    try:
        return Cell(text, float(text.split()[0]))
    except ValueError:
        return Cell(text)


def _utterance_rows(scores: SetScores) -> list[list[Cell]]:
    rows = []
    for utterance in scores.utterances:
        means = [_number(float(np.nanmean(utterance.estimates[metric])), metric) for metric in scores.metrics]
        gain = _number(float(np.nanmean(utterance.improvements("si_snr"))))
        levels = Cell("-") if np.isnan(utterance.level_difference) else _number(utterance.level_difference)
        others = [_number(utterance.seconds), levels, Cell(utterance.sexes or "")]
        rows.append([Cell(utterance.key), gain, *means, *others])
    return rows


def _charts(scores: SetScores) -> list[str]:
    utterances = scores.utterances
    gains = si_snri_of(utterances)
    charts = [histogram(gains, title="SI-SNRi", unit="dB")]
    for metric in scores.metrics[1:]:
        values = utterance_means(utterance.estimates[metric] for utterance in utterances)
        charts.append(histogram(values, title=METRICS.get(metric).title, unit=METRICS.get(metric).unit))
    pairs = [
        (value, gain)
        for utterance in utterances
        for value, gain in zip(utterance.mixtures["si_snr"], utterance.improvements("si_snr"))
        if not np.isnan(gain)
    ]
    inputs, per_source = map(list, zip(*pairs))
    x_title, y_title = ("SI-SNR of the mixture, each source", "dB"), ("SI-SNRi", "dB")
    seconds = [utterance.seconds for utterance in utterances]
    return [
        *charts,
        scatter(inputs, per_source, x_title=x_title, y_title=y_title),
        scatter(seconds, gains.tolist(), x_title=("length", "s"), y_title=y_title),
    ]


def choose_shown(scores: SetScores) -> dict[str, list[UtteranceScores]]:
    """Returns the utterances with the lowest SI-SNRi, lowest first, the highest, highest first, and random others."""
    ranked = [scores.utterances[index] for index in np.argsort(si_snri_of(scores.utterances), kind="stable")]
    n_shown = N_CONVERSATIONS if scores.conversations else N_SHOWN
    n_worst = min(n_shown, (len(ranked) + 1) // 2)
    n_best = min(n_shown, len(ranked) - n_worst)
    rest = ranked[n_worst : len(ranked) - n_best]
    drawn = np.random.default_rng(0).choice(len(rest), min(n_shown, len(rest)), replace=False)
    best = ranked[len(ranked) - n_best :][::-1]
    return {"worst": ranked[:n_worst], "best": best, "random": [rest[index] for index in drawn]}


def _shown(scores: SetScores, sample_rate: int, nj: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the groups of utterances that can be heard, those without one left out, each with its title."""
    groups = {name: utterances for name, utterances in choose_shown(scores).items() if utterances}
    signals = {utterance.key: utterance for utterance in scores.signals}
    turns = {one.key: one for one in scores.conversations}
    shown = [utterance for group in groups.values() for utterance in group]
    chosen = [(utterance, signals[utterance.key], turns.get(utterance.key)) for utterance in shown]
    draw = partial(_drawn, sample_rate=sample_rate)
    drawn = iter(list(parallel_map(draw, chosen, nj=nj, title=f"report {scores.name}")))
    return [(_GROUPS[name], [next(drawn) for _ in utterances]) for name, utterances in groups.items()]


def _drawn(
    chosen: tuple[UtteranceScores, UtteranceSignals, ConversationScores | None], *, sample_rate: int
) -> dict[str, Any]:
    """Returns an utterance's key, what is said of it, its signals to hear and see, and of a conversation its turns."""
    scores, utterance, conversation = chosen
    longest = LONGEST_CONVERSATION if conversation else LONGEST
    mixture, references, estimates = matched_signals(utterance, sample_rate=sample_rate)
    peak = max(float(np.abs(signals).max()) for signals in (mixture, references, estimates))
    signal = partial(_signal, sample_rate=sample_rate, peak=peak, longest=longest)
    signals = [signal(mixture, "mixture", kind="mixture")]
    for source, (estimate, reference) in enumerate(zip(estimates, references), 1):
        gain = scores.improvements("si_snr")[source - 1]
        score = "not scored: silent" if np.isnan(gain) else f"{format_score(gain)} dB"
        signals += [signal(estimate, f"estimate {source}", score), signal(reference, f"reference {source}")]
    words = [f"SI-SNRi {format_score(float(np.nanmean(scores.improvements('si_snr'))))} dB", f"{scores.seconds:.1f} s"]
    if not np.isnan(scores.level_difference):
        words.append(f"levels {format_score(scores.level_difference)} dB apart")
    if scores.sexes:
        words.append(scores.sexes.replace(" ", " + "))
    if len(mixture) > longest * sample_rate:
        words.append(f"the first {longest} s")
    turns = timeline(conversation, heard=longest) if conversation else None
    return {"key": scores.key, "words": words, "signals": signals, "timeline": turns}


def _signal(
    samples: np.ndarray, name: str, score: str = "", *, sample_rate: int, peak: float, longest: int, kind: str = ""
) -> dict[str, str]:
    samples = samples[: longest * sample_rate]
    return {
        "name": name,
        "score": score,
        "kind": kind,
        "audio": _mp3(samples, sample_rate),
        "waveform": waveform(samples, peak),
        "spectrogram": spectrogram(samples, sample_rate),
    }


def _mp3(samples: np.ndarray, sample_rate: int) -> str:
    """Returns sound [T] as MP3, which every browser plays, in a data URI."""
    if sample_rate not in _MP3_RATES:
        samples, sample_rate = resample_poly(samples, _OTHER_RATE, sample_rate), _OTHER_RATE
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="MP3", compression_level=_COMPRESSION)
    return data_uri(file.getvalue(), "audio/mpeg")
