"""SDR where it is known: white signals, so that no filter can help."""

import warnings

import numpy as np
import pytest

from mindaudio_ext.metrics.sdr import sdr

RNG = np.random.default_rng(0)
REFERENCES = RNG.normal(size=(2, 16000))
NOISE = RNG.normal(size=(2, 16000))


def test_white_noise_ten_times_weaker_is_about_20_db():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of mir_eval's announcements reaches the user
        values = sdr(estimates=REFERENCES + 0.1 * NOISE, references=REFERENCES)
    np.testing.assert_allclose(values, [20, 20], atol=0.4)


def test_order_is_taken_as_given_and_a_delay_is_forgiven():
    swapped = sdr(estimates=REFERENCES[::-1], references=REFERENCES)
    assert (swapped < -5).all()
    delayed = np.pad(REFERENCES, ((0, 0), (10, 0)))[:, :16000]
    assert (sdr(estimates=delayed, references=REFERENCES) > 25).all()


def test_silent_estimate_gets_the_bound_and_leaves_the_other_alone():
    estimates = REFERENCES + 0.1 * NOISE
    both = sdr(estimates=estimates, references=REFERENCES)
    one = sdr(estimates=np.stack([np.zeros(16000), estimates[1]]), references=REFERENCES)
    assert one[0] == -100.0
    assert one[1] == pytest.approx(both[1], abs=1e-9)


@pytest.mark.parametrize(
    ("estimates", "references"),
    [
        (REFERENCES, REFERENCES[:, 1:]),
        (REFERENCES[0], REFERENCES[0]),
        (REFERENCES * np.nan, REFERENCES),
        (REFERENCES, np.stack([REFERENCES[0], np.zeros(16000)])),
    ],
)
def test_refuses(estimates, references):
    with pytest.raises(ValueError):
        sdr(estimates=estimates, references=references)
