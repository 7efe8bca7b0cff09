"""What becomes of scores."""

import math
import os
from types import SimpleNamespace

import numpy as np

from mindaudio_ext.train import validate
from mindaudio_ext.train.validate import Score, mean_scores, score_estimates, write_examples

TIME = np.arange(800) / 8000
LOW, HIGH, ERROR = (np.sin(2 * np.pi * hertz * TIME) for hertz in (100, 200, 300))  # orthogonal


def test_means_and_the_worst():
    good = [Score(1.0, 2.0, 0, 2), Score(3.0, 6.0, 1, 1)]
    assert mean_scores(good) == (-2.0, 4.0)
    assert mean_scores([*good, Score(math.nan, math.nan, 0, 2)]) == (100.0, -100.0)  # estimates are not finite
    assert mean_scores([*good, Score(math.nan, math.nan, 2, 0)]) == (-2.0, 4.0)  # there is nothing to score
    assert mean_scores([Score(math.nan, math.nan, 2, 0)]) == (100.0, -100.0)


def test_a_loss_that_takes_silence_is_the_mean_over_all_utterances():
    heard = [Score(1.0, 2.0, 0, 2, -9.0), Score(3.0, 6.0, 1, 1, -12.0), Score(math.nan, math.nan, 2, 0, -3.0)]
    assert mean_scores(heard) == (-8.0, 4.0)
    assert mean_scores(heard[2:]) == (-3.0, 0.0)  # nobody speaks: nothing to improve
    assert mean_scores([*heard, Score(math.nan, math.nan, 0, 2, math.nan)]) == (100.0, -100.0)


def test_a_speaker_alone_has_no_improvement():
    estimates = np.stack([LOW + 0.1 * ERROR, 0.1 * ERROR])
    alone = score_estimates(mixture=LOW, sources=np.stack([LOW, 0 * LOW]), estimates=estimates)
    assert (round(alone.si_snr, 6), *alone[1:4]) == (20.0, None, 1, 1)
    np.testing.assert_allclose(mean_scores([Score(1.0, 2.0, 0, 2), alone]), (-10.5, 2.0))
    np.testing.assert_allclose(mean_scores([alone]), (-20.0, 0.0))


def test_silent_sources_are_counted_and_not_scored():
    estimates = np.stack([HIGH + 0.1 * ERROR, LOW + 0.01 * ERROR])  # 20 and 40 dB
    both = score_estimates(mixture=LOW + HIGH, sources=np.stack([LOW, HIGH]), estimates=estimates)
    np.testing.assert_allclose(both[:4], (30, 30, 0, 2), atol=1e-6)
    one = score_estimates(mixture=LOW + 0.1 * HIGH, sources=np.stack([0 * LOW, LOW]), estimates=estimates)
    np.testing.assert_allclose(one[:4], (40, 20, 1, 1), atol=1e-6)
    none = score_estimates(mixture=LOW, sources=np.stack([0 * LOW, 0 * LOW + 1]), estimates=estimates)
    assert (math.isnan(none.si_snr), *none[2:4]) == (True, 2, 0)
    bad = score_estimates(mixture=LOW + HIGH, sources=np.stack([LOW, HIGH]), estimates=np.nan * estimates)
    assert (math.isnan(bad.si_snri), *bad[2:4]) == (True, 0, 2)


def test_examples_stay_in_their_folder_whatever_their_keys(tmp_path, monkeypatch):
    keys = ["../../../x", "/etc/x", "a/b"]
    mixture = np.linspace(-0.5, 0.5, 100, dtype=np.float32)
    monkeypatch.setattr(validate, "whole_utterances", lambda _, rows: [(mixture, None) for _ in rows])
    model = SimpleNamespace(separate=lambda mixture: np.stack([mixture, -mixture]))
    folder = tmp_path / "exp" / "examples" / "epoch_1"
    write_examples(model, SimpleNamespace(keys=keys, sample_rate=8000), [0, 1, 2], folder)
    names = ["%2E.%2F..%2F..%2Fx", "%2Fetc%2Fx", "a%2Fb"]
    assert sorted(os.listdir(folder)) == sorted(f"{name}_{of}.wav" for name in names for of in ("mix", "s1", "s2"))
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 9
