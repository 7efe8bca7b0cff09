"""The loss of magnitude spectra where it is known in closed form; golden files have SepReformer's authors'."""

import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.losses.pit_magnitude_snr import PITMagnitudeLoss


def loss_of(estimates, references, length=None):
    lengths = Tensor(np.array([length or references.shape[-1]], np.int32))
    loss = PITMagnitudeLoss(num_spks=len(references))
    return float(loss(Tensor(estimates[None]), Tensor(references[None]), lengths))


@pytest.mark.parametrize("n_samples", [300, 1536, 2001])
def test_the_reference_is_scaled_to_the_estimate_but_not_below_a_hundredth(n_samples):
    """Of an estimate that is the reference upside down a hundredth is left: 20 log10(0.01 / 0.99)."""
    references = np.random.default_rng(0).standard_normal((2, n_samples)).astype(np.float32)
    references -= references.mean(-1, keepdims=True)
    assert loss_of(-references, references) == pytest.approx(-20 * np.log10(0.01 / 0.99), abs=0.01)
    assert loss_of(3 * references[::-1] + 1, references) < -80


def test_samples_after_the_length_do_not_count():
    rng = np.random.default_rng(1)
    estimates, references = rng.standard_normal((2, 2, 1000)).astype(np.float32)
    changed = estimates.copy()
    changed[:, 900:] = 5
    assert loss_of(changed, references, 900) == loss_of(estimates, references, 900)
    assert loss_of(estimates, references, 900) == pytest.approx(
        loss_of(estimates[:, :900], references[:, :900]), abs=1e-4
    )
