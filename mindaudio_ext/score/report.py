"""report.html of an experiment: one file to look at and listen to, which opens from disk and fetches nothing."""

import io
import os
from collections.abc import Sequence
from functools import partial
from html import escape
from importlib.resources import files
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from mindaudio_ext.config import Config
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.files import write_text
from mindaudio_ext.score.plots import data_uri, histogram, scatter, spectrogram, waveform
from mindaudio_ext.score.results import NO_GAIN, TITLES, fact_list, interval_told, told
from mindaudio_ext.score.score import SetScores, Utterance, UtteranceScores, matched_signals
from mindaudio_ext.score.summary import Summary, break_down, si_snri_of, summarise

N_SHOWN = 10  # of the worst, of the best and of others
LONGEST = 10  # seconds of an utterance that can be heard
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OTHER_RATE = 16000  # Hz: what sound of another rate is resampled to
_COMPRESSION = 0.8  # about 23 kbit/s at 8 kHz
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data:"


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
    title = os.path.basename(os.path.abspath(expdir))
    facts = fact_list(config, Path(expdir), [scores.name for scores in sets], command_line=command_line)
    style, script = (
        files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    sections = "\n".join(_section(scores, config.sample_rate, nj) for scores in sets)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}: separation results</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="faint">Separation results. Everything is in this file.</p>
{sections}
<h2>How it was made</h2>
<div class="card">{_facts(facts)}</div>
</main>
<script>
{script}</script>
</body>
</html>
"""
    write_text(Path(expdir) / "report.html", page)


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts) + "</dl>"


def _section(scores: SetScores, sample_rate: int, nj: int) -> str:
    summary = summarise(scores)
    protocol = "Whole utterances"
    if scores.windows:
        used = f"{scores.windows.num_used} of {scores.windows.num_utts} mixtures"
        protocol = f"Reference protocol: 4 s windows of the mixtures of 4 to 12 s, {used}"
    parts = [
        f"<h2>{escape(scores.name)}: {summary.n_scored} scored of {summary.n_utts}</h2>",
        f'<p class="faint">{escape(f"{protocol}. Corpus: {scores.corpus}. Checkpoint: {scores.checkpoint}.")}</p>',
        _tiles(summary),
        "<h3>Scores</h3>",
        _score_table(summary),
    ]
    if not scores.windows:
        parts += ["<h3>By kind of mixture</h3>", _group_table(scores), "<h3>Distribution</h3>", _charts(scores)]
        parts += ["<h3>Listen</h3>", _listening(scores, sample_rate, nj)]
        parts += ["<h3>All utterances</h3>", _utterance_table(scores)]
    return "\n".join(parts)


def _tiles(summary: Summary) -> str:
    gain = summary.improvements["si_snr"]
    tiles = [
        (f"{told(gain.mean)} dB", f"SI-SNRi, {interval_told(gain)}"),
        (f"{told(gain.median)} dB", "median SI-SNRi"),
        (f"{100 * summary.share_worse:.1f} %", "SI-SNRi below 0"),
    ]
    if "sdr" in summary.improvements:
        tiles.append((f"{told(summary.improvements['sdr'].mean)} dB", "SDRi"))
    if "stoi" in summary.estimates:
        before, after = told(summary.mixtures["stoi"], "stoi"), told(summary.estimates["stoi"].mean, "stoi")
        tiles.append((after, f"STOI, {before} before"))
    return '<div class="tiles">' + "".join(_tile(value, words) for value, words in tiles) + "</div>"


def _tile(value: str, words: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(words)}</span></div>'


def _score_table(summary: Summary) -> str:
    rows = []
    for metric, gain in summary.improvements.items():
        spread, mixture = summary.estimates[metric], summary.mixtures[metric]
        scores = [(told(value, metric), value) for value in (mixture, spread.mean)]
        gains = [*((told(value, metric), value) for value in (gain.mean, gain.median)), interval_told(gain, metric)]
        rows.append([TITLES[metric], *scores, *(["-"] * 3 if metric in NO_GAIN else gains)])
    heads = ["metric", "unprocessed mixture", "model", "gain", "median gain", "95 % interval of the gain"]
    return table(heads, rows)


def _group_table(scores: SetScores) -> str:
    rows = [
        [
            f"{group.by}: {group.name}",
            (str(group.n_utts), group.n_utts),
            (told(group.si_snri.mean), group.si_snri.mean),
            interval_told(group.si_snri),
            (f"{100 * group.share_worse:.1f} %", group.share_worse),
        ]
        for group in break_down(scores)
    ]
    return table(["kind", "utterances", "SI-SNRi, dB", "95 % interval", "SI-SNRi below 0"], rows)


def _utterance_table(scores: SetScores) -> str:
    heads = [
        "key",
        "SI-SNRi, dB",
        *(f"{TITLES[metric]}" for metric in scores.metrics),
        "length, s",
        "level diff., dB",
        "sexes",
    ]
    rows = []
    for utterance in scores.utterances:
        means = [float(np.mean(utterance.estimates[metric])) for metric in scores.metrics]
        gain = float(np.mean(utterance.improvements("si_snr")))
        numbers = [(told(gain), gain), *((told(value, metric), value) for metric, value in zip(scores.metrics, means))]
        others = [(told(value), value) for value in (utterance.seconds, utterance.level_difference)]
        rows.append([utterance.key, *numbers, *others, utterance.sexes or ""])
    return table(heads, rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str | tuple[str, float]]]) -> str:
    """Gives a table that sorts; a cell is its text, or the text and the number to sort by."""
    head = "".join(f'<th scope="col"><button type="button">{escape(text) or "&nbsp;"}</button></th>' for text in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _cell(cell: str | tuple[str, float]) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f'<td data-value="{cell[1]:.6g}">{escape(cell[0])}</td>'


def _charts(scores: SetScores) -> str:
    utterances = scores.utterances
    gains = si_snri_of(utterances)
    charts = [histogram(gains, title="SI-SNRi", unit="dB")]
    for metric in scores.metrics[1:]:
        values = np.array([np.mean(utterance.estimates[metric]) for utterance in utterances])
        charts.append(histogram(values, title=TITLES[metric], unit="" if metric in ("stoi", "pesq") else "dB"))
    inputs = [value for utterance in utterances for value in utterance.mixtures["si_snr"]]
    per_source = [value for utterance in utterances for value in utterance.improvements("si_snr")]
    x_title, y_title = ("SI-SNR of the mixture, each source", "dB"), ("SI-SNRi", "dB")
    charts.append(scatter(inputs, per_source, x_title=x_title, y_title=y_title))
    seconds = [utterance.seconds for utterance in utterances]
    charts.append(scatter(seconds, gains.tolist(), x_title=("length", "s"), y_title=y_title))
    return '<div class="charts">' + "".join(f'<div class="card">{chart}</div>' for chart in charts) + "</div>"


def choose_shown(scores: SetScores) -> dict[str, list[UtteranceScores]]:
    """Gives the utterances with the lowest SI-SNRi, lowest first, the highest, highest first, and others at random."""
    ranked = [scores.utterances[index] for index in np.argsort(si_snri_of(scores.utterances), kind="stable")]
    n_worst = min(N_SHOWN, (len(ranked) + 1) // 2)
    n_best = min(N_SHOWN, len(ranked) - n_worst)
    rest = ranked[n_worst : len(ranked) - n_best]
    drawn = np.random.default_rng(0).choice(len(rest), min(N_SHOWN, len(rest)), replace=False)
    best = ranked[len(ranked) - n_best :][::-1]
    return {"worst": ranked[:n_worst], "best": best, "random": [rest[index] for index in drawn]}


def _listening(scores: SetScores, sample_rate: int, nj: int) -> str:
    shown = choose_shown(scores)
    signals = {utterance.key: utterance for utterance in scores.signals}
    chosen = [(utterance, signals[utterance.key]) for group in shown.values() for utterance in group]
    draw = partial(_article, sample_rate=sample_rate)
    articles = iter(list(parallel_map(draw, chosen, nj=nj, title=f"report {scores.name}")))
    parts = ['<p class="faint">One player an utterance. Press a signal to hear it from the same moment on.</p>']
    for name, utterances in shown.items():
        if utterances:
            inside = "\n".join(next(articles) for _ in utterances)
            state = " open" if name == "worst" else ""
            parts.append(f"<details{state}><summary>{_GROUPS[name]} ({len(utterances)})</summary>{inside}</details>")
    return "\n".join(parts)


_GROUPS = {"worst": "Lowest SI-SNRi", "best": "Highest SI-SNRi", "random": "Others, drawn at random"}


def _article(chosen: tuple[UtteranceScores, Utterance], *, sample_rate: int) -> str:
    scores, utterance = chosen
    mixture, references, estimates = matched_signals(utterance, sample_rate=sample_rate)
    peak = max(float(np.abs(signals).max()) for signals in (mixture, references, estimates))
    signal = partial(_signal, sample_rate=sample_rate, peak=peak)
    buttons = [signal(mixture, "mixture", "", kind="mixture")]
    for source, (estimate, reference) in enumerate(zip(estimates, references), 1):
        score = f"{told(scores.improvements('si_snr')[source - 1])} dB"
        buttons.append(signal(estimate, f"estimate {source}", score))
        buttons.append(signal(reference, f"reference {source}", ""))
    words = [f"SI-SNRi {told(float(np.mean(scores.improvements('si_snr'))))} dB", f"{scores.seconds:.1f} s"]
    words += [
        f"levels {told(scores.level_difference)} dB apart",
        *([scores.sexes.replace(" ", " + ")] if scores.sexes else []),
    ]
    if len(mixture) > LONGEST * sample_rate:
        words.append(f"the first {LONGEST} s")
    return (
        f'<article class="card utterance"><h4>{escape(scores.key)}</h4><p class="faint">{escape(" · ".join(words))}</p>'
        f'<div class="signals">{"".join(buttons)}</div><audio controls preload="metadata"></audio></article>'
    )


def _signal(samples: np.ndarray, name: str, score: str, *, sample_rate: int, peak: float, kind: str = "") -> str:
    samples = samples[: LONGEST * sample_rate]
    return (
        f'<button type="button" class="signal {kind}" data-audio="{_mp3(samples, sample_rate)}">'
        f'<span class="name">{escape(name)}<i>{escape(score)}</i></span>'
        f'<span class="pictures">{waveform(samples, peak)}'
        f'<img src="{spectrogram(samples, sample_rate)}" alt="spectrogram"><i class="cursor"></i></span></button>'
    )


def _mp3(samples: np.ndarray, sample_rate: int) -> str:
    """Gives sound [T] as MP3, which every browser plays, in a data URI."""
    if sample_rate not in _MP3_RATES:
        divisor = gcd(sample_rate, _OTHER_RATE)
        samples, sample_rate = resample_poly(samples, _OTHER_RATE // divisor, sample_rate // divisor), _OTHER_RATE
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="MP3", compression_level=_COMPRESSION)
    return data_uri(file.getvalue(), "audio/mpeg")
