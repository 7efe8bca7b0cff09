"""SI-SNR of signals whose value is known in closed form."""

import numpy as np
import pytest

from mindaudio_ext.metrics.si_snr import si_snr

T = 8000
TIME = np.arange(T) / T
REFERENCE = np.sin(2 * np.pi * 50 * TIME)
ORTHOGONAL = np.cos(2 * np.pi * 50 * TIME)  # same energy


@pytest.mark.parametrize("noise_db", [-30.0, -10.0, 0.0, 7.5, 40.0])
def test_orthogonal_noise_gives_its_own_ratio(noise_db):
    estimate = REFERENCE + 10 ** (noise_db / 20) * ORTHOGONAL
    assert si_snr(estimate=estimate, reference=REFERENCE) == pytest.approx(-noise_db, abs=1e-9)


@pytest.mark.parametrize("scale", [-3.0, 1e-4, 1e3])
def test_neither_scale_nor_mean_matters(scale):
    estimate = scale * (REFERENCE + 0.1 * ORTHOGONAL) + 0.7
    assert si_snr(estimate=estimate, reference=5 * REFERENCE - 2) == pytest.approx(20.0, abs=1e-6)


def test_leading_axes_are_kept():
    estimates = np.stack([REFERENCE + 0.1 * ORTHOGONAL, REFERENCE + ORTHOGONAL, ORTHOGONAL + 0.01 * REFERENCE])
    values = si_snr(estimate=estimates, reference=np.broadcast_to(REFERENCE, (3, T)))
    np.testing.assert_allclose(values, [20, 0, -40], atol=1e-6)


def test_float32_input_is_computed_in_float64():
    estimate = (REFERENCE + 1e-3 * ORTHOGONAL).astype(np.float32)
    value = si_snr(estimate=estimate, reference=REFERENCE.astype(np.float32))
    assert value.dtype == np.float64
    assert value == pytest.approx(60.0, abs=1e-3)


def test_perfect_and_silent_estimates_stay_finite():
    assert si_snr(estimate=REFERENCE, reference=REFERENCE) == 100.0
    assert si_snr(estimate=np.zeros(T), reference=REFERENCE) == -100.0
    assert si_snr(estimate=np.full(T, 0.3), reference=REFERENCE) == -100.0


def test_odd_length_of_two_and_three_samples():
    assert si_snr(estimate=np.array([1.0, 0.0]), reference=np.array([0.0, 1.0])) == 100.0  # 1/2, -1/2 and its negative
    # Centred: [1, -1, 0] on [1, 1, -2]: orthogonal.
    assert si_snr(estimate=np.array([1.0, -1.0, 0.0]), reference=np.array([1.0, 1.0, -2.0])) == -100.0


@pytest.mark.parametrize(
    ("estimate", "reference", "words"),
    [
        (np.ones(3), np.arange(4.0), r"shape \(3,\)"),
        (np.ones(1), np.ones(1), "fewer than two samples"),
        (np.float64(1), np.float64(1), "fewer than two samples"),
        (np.array([1.0, np.nan]), np.arange(2.0), "estimate has NaN"),
        (np.arange(2.0), np.array([np.inf, 1.0]), "reference has NaN or infinity"),
        (np.arange(4.0), np.zeros(4), "reference is silent"),
        (np.arange(4.0), np.full(4, 0.1), "reference is silent"),
    ],
)
def test_refuses(estimate, reference, words):
    with pytest.raises(ValueError, match=words):
        si_snr(estimate=estimate, reference=reference)
