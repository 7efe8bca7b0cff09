"""STOI where it is known, and equal to pystoi's own figures, which are written down here."""

import warnings

import numpy as np
import pytest

from mindaudio_ext.metrics.stoi import stoi

RNG = np.random.default_rng(0)
# Noise that comes and goes four times a second, as syllables do.
SPEECH = RNG.normal(size=24000) * (1.1 + np.sin(2 * np.pi * 4 * np.arange(24000) / 8000))
NOISE = RNG.normal(size=24000)


FIGURES = [(8000, 0.3, 0.9840251), (8000, 2.0, 0.6002263), (10000, 1.0, 0.8442407), (16000, 1.0, 0.8519033)]


@pytest.mark.parametrize(("sample_rate", "noise", "expected"), FIGURES)
def test_figures_of_pystoi_041(sample_rate, noise, expected):
    """Made once with `pystoi.stoi(reference, estimate, sample_rate)`."""
    estimate = SPEECH + noise * NOISE
    assert stoi(estimate=estimate, reference=SPEECH, sample_rate=sample_rate) == pytest.approx(expected, abs=1e-6)


def test_scale_does_not_matter_and_a_silent_estimate_gets_nothing():
    assert stoi(estimate=3 * SPEECH, reference=SPEECH, sample_rate=8000) == pytest.approx(1, abs=1e-9)
    assert stoi(estimate=np.zeros(24000), reference=SPEECH, sample_rate=8000) == 0.0


@pytest.mark.parametrize("n_samples", [2, 205, 206, 3000])
def test_too_short_is_what_pystoi_says_without_a_warning(n_samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signal = SPEECH[:n_samples]
        assert stoi(estimate=signal, reference=signal, sample_rate=8000) == 1e-5


@pytest.mark.parametrize(
    ("estimate", "reference", "words"),
    [
        (SPEECH, SPEECH[1:], "shape"),
        (SPEECH[None], SPEECH[None], r"\[T\]"),
        (SPEECH * np.nan, SPEECH, "estimate has NaN"),
        (SPEECH, np.zeros(24000), "reference is silent"),
        (SPEECH[:1], SPEECH[:1], "fewer than two samples"),
    ],
)
def test_refuses(estimate, reference, words):
    with pytest.raises(ValueError, match=words):
        stoi(estimate=estimate, reference=reference, sample_rate=8000)
