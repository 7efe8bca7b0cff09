"""LibriMix's rules: loudness, lengths, peaks."""

import numpy as np
import pytest

from mindaudio_ext.data.mixture import loudness, mix


def _noise(seconds, *, seed=0, level=0.1, rate=8000):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate)) * level).clip(-1, 1)


def test_loudness_of_a_tone_is_the_standards():
    # ITU-R BS.1770: a full-scale sine of 997 Hz in one channel has -3.01 LKFS.
    tone = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000)
    assert loudness(tone, 48000) == pytest.approx(-3.01, abs=0.05)
    assert loudness(tone / 10, 48000) == pytest.approx(-23.01, abs=0.05)
    assert loudness(np.zeros(8000), 8000) == -np.inf


def test_sources_get_their_targets_and_are_cut_to_the_shortest():
    signals = [_noise(3, seed=1), _noise(2, seed=2, level=0.02)]
    levels = [loudness(signal, 8000) for signal in signals]
    mixture, sources = mix(signals, loudnesses=levels, targets=[-30, -26])
    assert mixture.shape == (16000,)
    assert sources.shape == (2, 16000)
    assert loudness(sources[0] / 32768, 8000) == pytest.approx(-30, abs=0.2)
    assert loudness(sources[1] / 32768, 8000) == pytest.approx(-26, abs=0.01)
    off = mixture.astype(int) - sources.astype(int).sum(axis=0)
    assert set(np.unique(off)) == {0, 1}


def test_a_source_that_would_clip_has_a_peak_of_0_9():
    signals = [np.array([0.5, 0.1, -0.25]), np.zeros(3)]
    mixture, sources = mix(signals, loudnesses=[-40, -40], targets=[-33, -33])  # gain 2.24: the peak would be 1.12
    assert sources[0].tolist() == [int(0.9 * 32768), int(0.18 * 32768), -int(0.45 * 32768) - 1]
    assert mixture.tolist() == sources[0].tolist()


def test_a_loud_mixture_is_scaled_by_one_factor():
    signals = [np.array([0.6, 0.2]), np.array([0.6, -0.1])]
    mixture, sources = mix(signals, loudnesses=[-25, -25], targets=[-25, -25])
    assert mixture[0] == int(0.9 * 32768)
    assert sources.tolist() == [[int(0.45 * 32768), int(0.15 * 32768)], [int(0.45 * 32768), -int(0.075 * 32768) - 1]]
