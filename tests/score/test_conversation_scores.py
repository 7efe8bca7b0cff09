"""Scores of conversations, on tracks whose faults are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mindaudio_ext.data.rttm import Turn
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.score.conversations import (
    ErrorTimes,
    diarization_errors,
    quantile,
    score_conversation,
    write_conversation_scores,
)
from mindaudio_ext.score.results import conversation_section, conversations_beside

RATE = 1000
TURNS = [Turn(1, 11, "a"), Turn(9, 19, "b")]  # of 20 s; both speak for 2 s


def scores_of(estimates=None, found=None, turns=TURNS, seconds=20, tracks=("1", "2")):
    references = sources_of(turns, seconds)
    return score_conversation(
        "one",
        mixture=references.sum(axis=0),
        references=references,
        estimates=references if estimates is None else estimates(references),
        sample_rate=RATE,
        turns=turns,
        found=found,
        tracks=tracks,
    )


def sources_of(turns, seconds):
    rng = np.random.default_rng(0)
    sources = np.zeros((2, seconds * RATE), np.float32)
    for turn in turns:
        span = slice(round(turn.start * RATE), round(turn.end * RATE))
        sources["ab".index(turn.speaker), span] = 0.1 * rng.standard_normal(span.stop - span.start)
    return sources


def test_a_perfect_separation():
    scores = scores_of()
    assert scores.leakage == (100.0,) * 16  # 8 s of each alone
    assert (scores.n_windows, scores.n_other_order, scores.n_changes) == (4, 0, 0)
    assert scores.overlap == pytest.approx(2 / 18)
    assert scores.overlap_class == "0 to 20 %"
    assert (scores.n_speakers, scores.n_counted, scores.errors) == (2, None, {})


def test_leakage_is_told_in_decibels_under_the_mixture():
    scores = scores_of(lambda s: np.array([[0.9, 0.1], [0.1, 0.9]], np.float32) @ s)
    np.testing.assert_allclose(scores.leakage, 20, atol=1e-3)
    assert quantile(scores.leakage, 0.5) == pytest.approx(20, abs=1e-3)
    assert scores.leakage_silenced == ()


def test_silenced_tracks_do_not_leak():
    mixed = lambda s: np.array([[0.9, 0.1], [0.1, 0.9]], np.float32) @ s  # noqa: E731
    found = [Turn(1, 11, "2"), Turn(9, 19, "1")]
    scores = scores_of(mixed, found, tracks=("2", "1"))
    assert scores.leakage_silenced == (100.0,) * 16
    assert scores.n_counted == 2


def test_tracks_that_change_places_are_counted():
    def changed(sources):
        estimates = sources.copy()
        estimates[:, 10 * RATE :] = sources[::-1, 10 * RATE :]
        return estimates

    scores = scores_of(changed)
    assert (scores.n_windows, scores.n_other_order, scores.n_changes) == (4, 2, 1)


def test_silence_says_nothing_of_the_order():
    scores = scores_of(turns=[Turn(1, 4, "a")])
    assert scores.n_windows == 1
    assert scores.overlap_class == "none"
    assert scores_of(turns=[]).leakage == ()


def test_whose_each_source_is():
    assert scores_of().speakers == ("a", "b")
    within = [Turn(0, 12, "b"), Turn(5, 8, "a")]  # who speaks only while the other does
    assert scores_of(turns=within).speakers == ("a", "b")
    assert scores_of(turns=[Turn(1, 4, "b")]).speakers == ("", "b")
    assert scores_of(turns=[]).speakers == ("", "")


def test_error_times_add_up():
    total = ErrorTimes(10, 1, 0, 1) + ErrorTimes(10, 0, 2, 0)
    assert total == ErrorTimes(20, 1, 2, 1)
    assert total.rate == 0.2
    assert math.isnan(ErrorTimes(0, 0, 1, 0).rate)


@pytest.mark.needs("pyannote")
def test_diarization_errors_are_those_counted_by_hand():
    found = [Turn(1.1, 11, "x"), Turn(9, 18, "y"), Turn(19.5, 20, "y")]
    errors = diarization_errors(TURNS, found, 20)
    expected = {0.0: (20, 1.1, 0.5, 0), 0.25: (18, 0.75, 0.5, 0)}  # 0.25 s before and after 1, 9, 11 and 19
    for collar, (speech, missed, false_alarm, confusion) in expected.items():
        of = errors[collar]
        np.testing.assert_allclose(
            [of.missed, of.false_alarm, of.confusion], [missed, false_alarm, confusion], atol=1e-9
        )
        assert of.speech == pytest.approx(speech)
    assert diarization_errors(TURNS, [], 20)[0.0].rate == 1
    assert scores_of(found=found, tracks=("x", "y")).errors == errors


def test_the_table(tmp_path):
    write_conversation_scores([scores_of()], tmp_path / "x.csv")
    head, row = (tmp_path / "x.csv").read_text().splitlines()
    assert head.startswith("key,seconds,overlap,speakers,counted,leakage_median")
    assert row == "one,20.000000,0.111111,2,,100.000000,100.000000,4,0,0,,"


def test_experiments_in_one_folder_are_compared_by_the_same_recordings(tmp_path):
    def scored(name, one):
        """An experiment that has scored a recording, and what was said of those beside it."""
        experiment = Experiment(tmp_path / name)
        experiment.path.mkdir()
        scores = SimpleNamespace(name="test", conversations=(one,), utterances=())
        said = conversations_beside(experiment, scores)
        write_conversation_scores(scores.conversations, experiment.conversation_scores("test"))
        section = ["## Test set `test`: 1 scored of 1", "", *conversation_section(scores)]
        experiment.results.write_text("\n".join(["# Results", "## Test set `other`: 1 scored of 1", *section]))
        return said

    assert scored("perfect", scores_of()) == []  # there is none beside it
    said = scored("leaky", scores_of(lambda s: np.array([[0.9, 0.1], [0.1, 0.9]], np.float32) @ s))
    assert said[1] == "Experiments beside this one, all recordings of `test`:"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said if line.startswith("|")]
    assert [row[:6] for row in rows if "---" not in row] == [
        ["experiment", "recordings", "SI-SNRi", "below 0", "other track", "worst tenth"],
        ["leaky", "1", "-", "0 of 0", "20.0 dB", "20.0 dB"],
        ["perfect", "1", "-", "0 of 0", "100.0 dB", "100.0 dB"],
    ]
    assert scored("longer", scores_of(seconds=30)) == []  # other recordings
