"""report.html: what is in it, and, in a browser, that it opens, plays and sorts."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import browse

import mindaudio_ext.score.report as report_module
from mindaudio_ext.config import load_config
from mindaudio_ext.data.rttm import Turn
from mindaudio_ext.score.conversations import score_conversation
from mindaudio_ext.score.plots import histogram, scatter, spectrogram, waveform
from mindaudio_ext.score.report import Cell, choose_shown, render, score_rows, write_report
from mindaudio_ext.score.results import conversation_section
from mindaudio_ext.score.score import SetScores, Signal, UtteranceScores, UtteranceSignals
from mindaudio_ext.score.summary import summarise

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"
RATE = 8000
N_UTTS = 32
SECONDS = 0.5


def scores_of(gains, signals=()):
    utterances = tuple(
        UtteranceScores(
            f"u{index:02d}", SECONDS, index / 10, "f m", {"si_snr": (gain, gain), "stoi": (0.8, 0.9)},
            {"si_snr": (1.0, -1.0), "stoi": (0.7, 0.7)},
        )
        for index, gain in enumerate(gains)
    )  # fmt: skip
    return SetScores("test", len(gains), utterances, 'a "corpus" <b>', "best.ckpt", signals=tuple(signals))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of 32 utterances of noise; SI-SNRi is 0, 5, 10, ... and starts again."""
    folder = tmp_path_factory.mktemp("exp <i>")
    rng = np.random.default_rng(0)
    sound = {name: folder / f"{name}.wav" for name in ("mix", "s1", "s2")}
    sources = 0.2 * rng.standard_normal((2, int(SECONDS * RATE)))
    for path, samples in zip(sound.values(), (sources.sum(0), *sources)):
        soundfile.write(path, samples, RATE, subtype="PCM_16")
    mix, *both = (Signal(str(path), name) for name, path in sound.items())
    signals = [UtteranceSignals(f"u{index:02d}", mix, tuple(both), tuple(both[::-1]), "f m") for index in range(N_UTTS)]
    scores = scores_of([5.0 * (index % 7) for index in range(N_UTTS)], signals)
    write_report(folder, load_config(BASE, None), [scores], command_line="./run.sh --nj 2")
    return folder / "report.html"


TURNS = [Turn(0, 4, "ann<"), Turn(3, 11, "bob"), Turn(12, 13, "ann<")]
FOUND = [Turn(0, 4.1, "s2"), Turn(2.9, 11, "s1")]  # the references are bob and ann, the estimates ann and bob


@pytest.fixture(scope="module")
def conversations(tmp_path_factory):
    """The report of two recordings of 13 s, of which 12 s can be heard, alike but in their SI-SNRi; and its scores."""
    folder = tmp_path_factory.mktemp("conversations")
    rng = np.random.default_rng(0)
    sources = np.zeros((2, 13 * RATE), np.float32)
    for turn in TURNS:
        span = slice(round(turn.start * RATE), round(turn.end * RATE))
        sources[int(turn.speaker == "ann<"), span] = 0.1 * rng.standard_normal(span.stop - span.start)
    paths = [folder / f"{name}.wav" for name in ("mix", "s1", "s2")]
    for path, samples in zip(paths, (sources.sum(0), *sources)):
        soundfile.write(path, samples, RATE, subtype="PCM_16")
    mix, *both = (Signal(str(path), path.name) for path in paths)
    scores = scores_of([1.0, 2.0])
    signals = tuple(UtteranceSignals(one.key, mix, tuple(both), tuple(both[::-1]), None) for one in scores.utterances)
    turns = tuple(
        score_conversation(
            one.key, mixture=sources.sum(0), references=sources, estimates=sources, sample_rate=RATE, turns=TURNS,
            found=FOUND, tracks=("s1", "s2"),
        )
        for one in scores.utterances
    )  # fmt: skip
    scores = dataclasses.replace(scores, signals=signals, conversations=turns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_module, "LONGEST_CONVERSATION", 12)
        write_report(folder, load_config(BASE, None), [scores], command_line="./run.sh")
    return folder / "report.html", scores


def test_a_conversation_has_a_timeline_in_which_matched_speakers_have_one_colour(conversations):
    text = conversations[0].read_text()
    figures = re.findall(r"<figure class=\"timeline\".*?</figure>", text, re.DOTALL)
    assert len(figures) == 2
    lanes = re.findall(r'<span>([\w ]+)</span><span class="lane (speaker-\d)">(.*?)</span>', figures[0])
    bars = {name: (colour, re.findall(r'x="([\d.]+)" width="([\d.]+)"', picture)) for name, colour, picture in lanes}
    assert bars == {
        "reference 1": ("speaker-1", [("3.000", "8.000")]),
        "estimate 1": ("speaker-1", [("2.900", "8.100")]),
        "reference 2": ("speaker-2", [("0.000", "4.000"), ("12.000", "1.000")]),
        "estimate 2": ("speaker-2", [("0.000", "4.100")]),
    }
    assert [name for name, _, _ in lanes] == list(bars)
    assert 'viewBox="0 0 13.000 1"' in lanes[0][2]
    assert 'class="unheard" style="left:92.308%"' in figures[0]
    assert "<style>" in text
    assert all(f".{colour} {{" in text for colour, _ in bars.values())


def test_the_tables_of_conversations_are_those_of_the_results(conversations):
    path, scores = conversations
    tables = re.findall(r"<h3>(Conversations|Speakers heard)</h3>.*?<tbody>(.*?)</tbody>", path.read_text(), re.DOTALL)
    shown = [
        [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)] for _, body in tables
    ]
    section = conversation_section(scores)
    written = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section if line.startswith("|")]
    assert shown == [written[2:4], written[6:]]
    assert shown[1] == [["2", "2"]]  # two recordings of two, and two were heard


def test_shown_are_the_extremes_and_others():
    shown = choose_shown(scores_of([float(index) for index in range(40)]))
    keys = {name: [utterance.key for utterance in group] for name, group in shown.items()}
    assert keys["worst"] == [f"u{index:02d}" for index in range(10)]
    assert keys["best"] == [f"u{index:02d}" for index in range(39, 29, -1)]
    assert len(set(keys["random"])) == 10
    assert set(keys["random"]) <= {f"u{index:02d}" for index in range(10, 30)}


@pytest.mark.parametrize(("n_utts", "shown"), [(1, (1, 0, 0)), (3, (2, 1, 0)), (25, (10, 10, 5))])
def test_no_utterance_is_shown_twice(n_utts, shown):
    groups = choose_shown(scores_of([0.0] * n_utts)).values()
    assert tuple(map(len, groups)) == shown
    assert len({utterance.key for group in groups for utterance in group}) == sum(shown)


def test_nothing_is_fetched_and_names_are_escaped(report):
    text = report.read_text()
    assert re.findall(r"(?:https?:)?//\w[^\s\"']*", re.sub(r"base64,[\w+/=]*", "", text)) == []
    assert "a &#34;corpus&#34; &lt;b&gt;" in text
    assert "<i>0" not in re.search(r"<title>.*</title>", text)[0]
    assert "./run.sh --nj 2" in text
    assert report.stat().st_size < 3_000_000


def test_every_shown_utterance_has_all_signals(report):
    text = report.read_text()
    assert text.count("<audio ") == 30
    assert text.count("data:audio/mpeg;base64,") == 30 * 5
    assert text.count("data:image/jpeg;base64,") == 30 * 5
    assert re.findall(r"<summary>(.*?)</summary>", text) == [
        "Lowest SI-SNRi (10)", "Highest SI-SNRi (10)", "Others, drawn at random (10)",
    ]  # fmt: skip


def test_estimates_stand_by_their_references(report):
    """They were given in the other order; an estimate that is its reference is drawn like it."""
    article = re.search(r"<article.*?</article>", report.read_text(), re.DOTALL)[0]
    waves = dict(re.findall(r'<span class="name">(\w+ ?\d?)<i>.*?</span>.*?(<path d=".*?"/>)', article))
    assert waves["estimate 1"] == waves["reference 1"] != waves["estimate 2"]


def test_sar_has_no_gain():
    metrics = {name: (7.0, 8.0) for name in ("si_snr", "sdr", "sar")}
    one = UtteranceScores("a", 1.0, 0.0, None, metrics, {name: (1.0, 2.0) for name in metrics})
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in score_rows(summarise(SetScores("x", 1, (one,))))}
    assert cells["SDR"] == ["1.50", "7.50", "6.00", "6.00", "6.00 to 6.00"]
    assert cells["SAR"] == ["1.50", "7.50", "-", "-", "-"]


def test_cells_sort_by_their_numbers():
    section = {"name": "", "count": "", "origin": "", "tiles": [], "conversations": [], "utterances": []}
    text = render(title="", facts=[], sets=[section | {"scores": [[Cell("a<"), Cell("1.50", 1.5)]]}])
    assert "<td>a&lt;</td>" in text
    assert '<td data-value="1.5">1.50</td>' in text


def test_charts_place_what_they_show():
    bars = re.findall(
        r"<title>(-?[\d.]+) to (-?[\d.]+) dB: (\d+)</title>", histogram(np.arange(-8.0, 8.0), title="t", unit="dB")
    )
    assert sum(int(count) for _, _, count in bars) == 16
    assert bars[0][0] == "-8.00"
    dots = re.findall(r"M([\d.]+) ([\d.]+)h0", scatter([0, 1, 2], [5, 5, 7], x_title=("x", ""), y_title=("y", "s")))
    xs, ys = np.array(dots, float).T
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.1)
    assert ys[0] == ys[1] > ys[2]  # upwards is less
    assert "NaN" not in scatter([1, 1], [3, 3], x_title=("x", ""), y_title=("y", ""))


@pytest.mark.parametrize("n_samples", [1, 100, 8001])
def test_pictures_of_short_and_silent_signals(n_samples):
    assert spectrogram(np.zeros(n_samples), RATE).startswith("data:image/jpeg;base64,/9j/")
    assert "nan" not in waveform(np.zeros(n_samples), 0.0)


@pytest.mark.needs("chromium")
def test_in_a_browser(report, tmp_path):
    with browse(tmp_path) as page:
        page.open(report, width=1280)
        durations = page.ask(
            "Promise.all([...document.querySelectorAll('audio')].map((player) => player.duration ? player.duration :"
            " new Promise((done) => player.addEventListener('loadedmetadata', () => done(player.duration)))))"
        )
        assert durations == pytest.approx([SECONDS] * 30, abs=0.2)

        column = (
            "[...document.querySelectorAll('table')].at(-1).tBodies[0].rows].map((row) => row.cells[1].textContent)"
        )
        press = "[...document.querySelectorAll('table')].at(-1).tHead.rows[0].cells[1].querySelector('button').click()"
        expected = sorted(float(5 * (index % 7)) for index in range(N_UTTS))
        page.ask(press)
        assert [float(value) for value in page.ask(f"[...{column}")] == expected[::-1]
        page.ask(press)
        assert [float(value) for value in page.ask(f"[...{column}")] == expected

        second = "document.querySelectorAll('.utterance .signal')[1]"
        before = page.ask("document.querySelector('audio').src")
        page.ask(f"{second}.click()")
        assert page.ask("document.querySelector('audio').src") == page.ask(f"{second}.dataset.audio") != before
        assert page.errors == []

        page.open(report, width=390)
        assert page.ask("document.documentElement.scrollWidth") == 390
        assert page.errors == []


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_press_in_the_timeline_moves_the_player_there(conversations, tmp_path, width):
    with browse(tmp_path) as page:
        page.open(conversations[0], width=width)
        page.wait("document.querySelector('audio').duration > 0")
        assert page.ask("document.querySelector('audio').duration") == pytest.approx(12, abs=0.2)
        box = "document.querySelector('.lanes .lane').getBoundingClientRect()"
        for second, moved in ((6.5, 6.5), (12.9, 12)):  # beyond what can be heard: to its end
            page.ask(
                f"document.querySelector('.lanes .lane').dispatchEvent(new MouseEvent('click', {{bubbles: true, "
                f"clientX: {box}.left + {box}.width * {second} / 13}}))"
            )
            assert page.ask("document.querySelector('audio').currentTime") == pytest.approx(moved, abs=0.2)
            page.wait(f"Math.abs(parseFloat(document.querySelector('.now').style.left) - {moved / 0.13}) < 1")
        assert page.ask("document.querySelector('audio').paused")
        widths = page.ask("[...document.querySelectorAll('.lane')].slice(0, 4).map((one) => one.clientWidth)")
        assert min(widths) > 200
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors == []
