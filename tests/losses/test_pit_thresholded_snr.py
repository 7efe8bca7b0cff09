"""The loss for sources that may be silent, on signals whose powers are known."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.losses.pit_thresholded_snr import PITThresholdedSNR
from mindaudio_ext.models.tasnet import make_consistent

TIME = np.arange(800) / 800
LOW, HIGH, ERROR = (np.sqrt(2) * np.sin(2 * np.pi * k * TIME) for k in (3, 5, 7))  # orthogonal, of power 1
SILENCE = 0 * LOW


def loss(estimates, sources, length=800):
    """The loss of one example."""
    arrays = (Tensor(np.stack(signals)[None].astype(np.float32)) for signals in (estimates, sources))
    return float(PITThresholdedSNR(num_spks=len(sources))(*arrays, Tensor([length], ms.int32)))


def test_errors_of_both_speakers_are_relative_to_the_mixture():
    # The mixture's power is 1.01. Errors are 0.01 and 0.0001; a thousandth of each source's power is added.
    found = loss([0.1 * HIGH + 0.01 * ERROR, LOW + 0.1 * ERROR], [LOW, 0.1 * HIGH])
    expected = 10 * np.log10(np.array([0.01 + 1e-3, 1e-4 + 1e-5]) / 1.01).mean()
    assert found == pytest.approx(expected, abs=1e-4)


def test_what_is_in_place_of_silence_counts_like_an_error():
    found = loss([LOW + 0.1 * ERROR, 0.1 * ERROR], [LOW, SILENCE])
    assert found == pytest.approx(10 * np.log10(0.011), abs=1e-3)  # both terms are the same
    assert loss([0.1 * ERROR, LOW + 0.1 * ERROR], [LOW, SILENCE]) == pytest.approx(found, abs=1e-5)


def test_what_is_perfect_reaches_snr_max_and_no_more():
    assert loss([LOW, SILENCE], [LOW, SILENCE]) == pytest.approx(-30, abs=1e-3)
    assert loss([SILENCE, SILENCE, SILENCE], [SILENCE] * 3) == pytest.approx(-30, abs=1e-3)


def test_where_nobody_speaks_the_floor_takes_the_mixture_s_place():
    level = 10 ** (-70 / 20)  # of the floor, full scale 1
    assert loss([level * LOW, SILENCE], [SILENCE, SILENCE]) == pytest.approx((10 * np.log10(1.001) - 30) / 2, abs=1e-3)
    assert loss([LOW, LOW], [SILENCE, SILENCE]) == pytest.approx(70, abs=1e-3)


def test_noise_is_nobodys_and_perfect_estimates_cannot_add_up_to_a_mixture_with_it():
    """With noise of power 0.04, a half of which each estimate would get: 0.01 for each, relative to the sources' 2."""
    noise = 0.2 * ERROR
    assert loss([LOW, HIGH], [LOW, HIGH]) == pytest.approx(10 * np.log10(1e-3 / 2), abs=1e-3)
    mixture = Tensor((LOW + HIGH + noise)[None, None].astype(np.float32))
    shared = make_consistent(Tensor(np.stack([LOW, HIGH])[None].astype(np.float32)), mixture).asnumpy()[0]
    assert loss(shared, [LOW, HIGH]) == pytest.approx(10 * np.log10((0.01 + 1e-3) / 2), abs=1e-3)


def test_samples_after_the_length_do_not_count():
    rng = np.random.default_rng(0)
    estimates, sources = rng.standard_normal((2, 3, 800))
    sources[1] = 0
    whole = loss(estimates[:, :333], sources[:, :333], 333)
    assert loss(estimates, sources, 333) == pytest.approx(whole, abs=1e-4)
    assert abs(loss(estimates, sources) - whole) > 1e-3


def test_gradients_are_finite_in_silence_and_vanish_nowhere_else():
    sources = np.stack([[LOW, HIGH], [LOW, SILENCE], [SILENCE, SILENCE]]).astype(np.float32)
    estimates = np.stack([[LOW, SILENCE], [0.5 * LOW, SILENCE], [SILENCE, 0.1 * ERROR]]).astype(np.float32)
    criterion = PITThresholdedSNR(num_spks=2)
    lengths = Tensor([800, 800, 800], ms.int32)
    gradient = ms.grad(criterion)(Tensor(estimates), Tensor(sources), lengths).asnumpy()
    assert np.isfinite(gradient).all()
    moved = np.abs(gradient).max(axis=2) > 0
    np.testing.assert_array_equal(moved, [[False, True], [True, False], [False, True]])
