"""BSS Eval where it is known, and equal to mir_eval's own figures, which are written down here."""

import warnings

import numpy as np
import pytest

from mindaudio_ext.metrics import _bss_eval
from mindaudio_ext.metrics._bss_eval import bss_eval
from mindaudio_ext.metrics.sar import SAR
from mindaudio_ext.metrics.sdr import SDR
from mindaudio_ext.metrics.sir import SIR

RNG = np.random.default_rng(0)
REFERENCES = RNG.normal(size=(2, 16000))
NOISE = RNG.normal(size=(2, 16000))
EXPECTED = (
    (11.010273, 10.484255, 9.985374),
    (15.839625, 15.207961, 14.674202),
    (12.854149, 12.398098, 11.933641),
)  # SDR, SIR, SAR of test_figures_of_mir_eval_082


def sdr(*, estimates, references):
    return SDR.compute(estimates=estimates, references=references, sample_rate=16000)


def coloured(seed, shape):
    """Noise through a resonance, [C, T]: its spectrum is steep, so that filters matter."""
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -1.6, 0.8], np.random.default_rng(seed).normal(size=shape), axis=-1)


def test_white_noise_ten_times_weaker_is_about_20_db():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of mir_eval's announcements reaches the user
        values = sdr(estimates=REFERENCES + 0.1 * NOISE, references=REFERENCES)
    np.testing.assert_allclose(values, [20, 20], atol=0.4)


def test_figures_of_mir_eval_082():
    """Made once with `mir_eval.separation.bss_eval_sources(references, estimates, compute_permutation=False)`."""
    references = coloured(1, (3, 4001))
    estimates = references + 0.1 * references[[1, 2, 0]] + 0.3 * coloured(2, (3, 4001))
    values = bss_eval(estimates=estimates, references=references)
    np.testing.assert_allclose(values.sdr, EXPECTED[0], atol=1e-3)
    np.testing.assert_allclose(values.sir, EXPECTED[1], atol=1e-3)
    np.testing.assert_allclose(values.sar, EXPECTED[2], atol=1e-3)


def test_interference_and_artifacts_are_told_apart():
    values = bss_eval(estimates=REFERENCES + 0.1 * REFERENCES[::-1], references=REFERENCES)
    np.testing.assert_allclose(values.sir, [20, 20], atol=0.5)  # the other source's projection counts as target
    np.testing.assert_array_equal(values.sar, [100, 100])
    values = bss_eval(estimates=REFERENCES + 0.1 * NOISE, references=REFERENCES)
    assert (values.sir > values.sar + 10).all()  # noise resembles no reference


def test_order_is_taken_as_given_and_a_delay_is_forgiven():
    swapped = sdr(estimates=REFERENCES[::-1], references=REFERENCES)
    assert (swapped < -5).all()
    delayed = np.pad(REFERENCES, ((0, 0), (10, 0)))[:, :16000]
    assert (sdr(estimates=delayed, references=REFERENCES) > 25).all()


def test_silent_estimate_gets_the_bound_and_leaves_the_other_alone():
    estimates = REFERENCES + 0.1 * NOISE
    both = bss_eval(estimates=estimates, references=REFERENCES)
    one = bss_eval(estimates=np.stack([np.zeros(16000), estimates[1]]), references=REFERENCES)
    for ratio_of_one, ratio_of_both in zip(one, both):
        assert ratio_of_one[0] == -100.0
        assert ratio_of_one[1] == pytest.approx(ratio_of_both[1], abs=1e-9)


@pytest.mark.parametrize(
    ("estimates", "references", "words"),
    [
        (REFERENCES, REFERENCES[:, 1:], "shape"),
        (REFERENCES[0], REFERENCES[0], r"\[C, T\]"),
        (REFERENCES * np.nan, REFERENCES, "estimate has NaN"),
        (REFERENCES, np.stack([REFERENCES[0], np.zeros(16000)]), "reference is silent"),
        (REFERENCES[:, :1], REFERENCES[:, :1], "fewer than two samples"),
    ],
)
def test_refuses(estimates, references, words):
    with pytest.raises(ValueError, match=words):
        bss_eval(estimates=estimates, references=references)


def test_the_three_metrics_are_those_of_bss_eval_and_computed_once(monkeypatch):
    estimates = REFERENCES + 0.1 * NOISE + 0.05 * REFERENCES[::-1]
    expected = bss_eval(estimates=estimates, references=REFERENCES)
    calls = []
    monkeypatch.setattr(_bss_eval, "bss_eval", lambda **signals: calls.append(1) or bss_eval(**signals))
    _bss_eval._last.cache_clear()
    for metric, values in zip((SDR, SIR, SAR), expected, strict=True):
        found = metric.compute(estimates=estimates, references=REFERENCES, sample_rate=16000)
        np.testing.assert_array_equal(found, values)
    assert len(calls) == 1
    assert (sdr(estimates=REFERENCES[::-1], references=REFERENCES) < -5).all()  # other signals, other figures
    assert len(calls) == 2
