"""Means, intervals and groups of scores known beforehand."""

import numpy as np
import pytest

from mindaudio_ext.score.score import SetScores, UtteranceScores
from mindaudio_ext.score.summary import bootstrap_interval, break_down, summarise
from mindaudio_ext.score.windows import WindowCounts


def utterance(key, estimates, mixtures, *, seconds=5.0, level_difference=1.0, sexes=None):
    return UtteranceScores(key, seconds, level_difference, sexes, {"si_snr": estimates}, {"si_snr": mixtures})


def test_interval_of_a_large_sample_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(5, 2, size=1000)
    low, high = bootstrap_interval(values)
    half = 1.959964 * values.std() / np.sqrt(1000)
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_interval_of_two_values_is_their_range():
    # A resample of two is (low, low), mixed or (high, high) with 1/4, 1/2, 1/4: the 2.5 % quantile is the lower value.
    assert bootstrap_interval(np.array([1.0, 3.0])) == (1.0, 3.0)
    assert bootstrap_interval(np.array([1.0, 3.0]), level=0.4) == (2.0, 2.0)


def test_interval_draws_whole_groups():
    # Two groups with the sums 2 and 4 over one and three values: their mean is 6 / 4 when both are drawn.
    values = np.array([2.0, 1.0, 1.0, 2.0])
    assert bootstrap_interval(values, groups=["b", "a", "a", "a"]) == pytest.approx((4 / 3, 2.0))
    assert bootstrap_interval(values, groups=["b", "a", "a", "a"], level=0.4) == (1.5, 1.5)


def test_interval_is_the_same_each_time():
    values = np.arange(30.0)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        bootstrap_interval(np.array([]))


def test_summary_weighs_utterances():
    # Utterance means of SI-SNRi: 3, -1, 7, 3.
    utterances = (
        utterance("a", (2.0, 4.0), (0.0, 0.0)),
        utterance("b", (-3.0, 1.0), (0.0, 0.0)),
        utterance("c", (7.0, 7.0), (1.0, -1.0)),
        utterance("d", (0.0, 0.0), (-3.0, -3.0)),
    )
    summary = summarise(SetScores("test", 5, utterances))
    assert (summary.n_scored, summary.n_utts) == (4, 5)
    assert summary.mixtures["si_snr"] == pytest.approx(-3 / 4)
    assert summary.estimates["si_snr"].mean == pytest.approx((3 - 1 + 7 + 0) / 4)
    assert summary.improvements["si_snr"].mean == pytest.approx((3 - 1 + 7 + 3) / 4)
    assert summary.improvements["si_snr"].median == 3.0
    assert summary.share_worse == 0.25


def test_interval_of_windows_is_over_their_mixtures():
    values = {"a_0000000": 2.0, "b_0000000": 1.0, "b_0016000": 1.0, "b_0032000": 2.0}
    windows = tuple(utterance(key, (value,), (0.0,)) for key, value in values.items())
    summary = summarise(SetScores("x", 4, windows, windows=WindowCounts(2, 2, 4, 0)))
    assert summary.improvements["si_snr"].interval == pytest.approx((4 / 3, 2.0))


def test_groups_are_in_order_and_have_their_own_means():
    utterances = (
        utterance("a", (1.0,), (0.0,), seconds=3.9, level_difference=5.0, sexes="m m"),
        utterance("b", (-2.0,), (0.0,), seconds=4.0, level_difference=2.0, sexes="f m"),
        utterance("c", (4.0,), (0.0,), seconds=7.9, level_difference=1.9, sexes="f m"),
        utterance("d", (9.0,), (0.0,), seconds=8.0, level_difference=9.0, sexes=None),
    )
    groups = break_down(SetScores("x", 4, utterances))
    assert [(group.by, group.name, group.n_utts, group.si_snri.mean, group.share_worse) for group in groups] == [
        ("sexes", "f + m", 2, 1.0, 0.5),
        ("sexes", "m + m", 1, 1.0, 0.0),
        ("duration", "below 4 s", 1, 1.0, 0.0),
        ("duration", "4 to 8 s", 2, 1.0, 0.5),
        ("duration", "8 s or more", 1, 9.0, 0.0),
        ("level difference", "below 2 dB", 1, 4.0, 0.0),
        ("level difference", "2 to 5 dB", 1, -2.0, 1.0),
        ("level difference", "5 dB or more", 2, 5.0, 0.0),
    ]
