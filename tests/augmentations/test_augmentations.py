"""Augmented examples: levels and SNR as asked for, the same again from the same generator."""

import numpy as np
import pytest

from mindaudio_ext.augmentations.gain import Gain
from mindaudio_ext.augmentations.noise import Noise
from mindaudio_ext.config import load_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import AUGMENTATIONS

SOURCES = np.random.default_rng(0).normal(size=(2, 8000)).astype(np.float32)
REST = 0.1 * np.random.default_rng(1).normal(size=8000).astype(np.float32)
MIXTURE = SOURCES.sum(axis=0) + REST


def rng(seed=0):
    return np.random.default_rng(seed)


def test_gains_are_of_each_source_and_within_bounds():
    drawn = [Gain(largest=6.0)(rng(seed), MIXTURE, SOURCES) for seed in range(50)]
    gains = [20 * np.log10(sources.std(axis=1) / SOURCES.std(axis=1)) for _, sources in drawn]
    assert -6.001 < np.min(gains) < -5
    assert 5 < np.max(gains) < 6.001
    assert np.abs(np.diff(gains, axis=1)).min() > 0  # one gain for each
    for mixture, sources in drawn:
        np.testing.assert_allclose(mixture - sources.sum(axis=0), REST, atol=1e-5)  # noise stays as it was


@pytest.mark.parametrize(("colour", "octave"), [("white", 0.0), ("pink", -3.01)])
def test_noise_has_the_snr_and_colour_asked_for(colour, octave):
    mixture, sources = Noise(lowest=12.0, highest=12.0, colour=colour)(rng(), MIXTURE, SOURCES)
    assert sources is SOURCES
    noise = mixture - MIXTURE
    assert abs(10 * np.log10((MIXTURE**2).mean() / (noise**2).mean()) - 12) < 0.01
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert abs(10 * np.log10(power[2000:4000].mean() / power[1000:2000].mean()) - octave) < 0.5


@pytest.mark.parametrize("name", AUGMENTATIONS.built_in())
def test_examples_keep_shape_and_type_and_come_again(name):
    augmentation = AUGMENTATIONS.get(name)()
    first, again = (augmentation(rng(), MIXTURE, SOURCES) for _ in range(2))
    for one, other, before in zip(first, again, (MIXTURE, SOURCES), strict=True):
        assert (one.shape, one.dtype) == (before.shape, np.float32)
        np.testing.assert_array_equal(one, other)
        assert np.array_equal(one, before) is (name == "none" or (name == "noise" and before is SOURCES))


def test_options_are_checked_by_key():
    with pytest.raises(InputError, match=r"augmentation_conf\.lowest: must be at most highest \(5\.0\), got 10\.0"):
        load_config(None, None, ["augmentation=noise augmentation_conf.highest=5"])
