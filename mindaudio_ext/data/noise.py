"""Noise by its colour, and its level under speech."""

import numpy as np

COLOURS = {"white": 0, "pink": 1, "brown": 2}  # by what power of the frequency the power falls
BABBLE = "babble"
TALKERS, FEWEST_TALKERS = 6, 3  # of babble
_LOWEST = 20.0  # Hz, below which coloured noise is white: what is not heard takes no power


def coloured(rng: np.random.Generator, colour: str, n_samples: int, sample_rate: int) -> np.ndarray:
    """Returns noise, float64 [T], whose power falls by 0 (white), 3 (pink) or 6 dB (brown) an octave above 20 Hz."""
    noise = rng.standard_normal(n_samples)
    if not COLOURS[colour]:
        return noise
    frequencies = np.maximum(np.fft.rfftfreq(n_samples, 1 / sample_rate), _LOWEST)
    return np.fft.irfft(np.fft.rfft(noise) * frequencies ** (-COLOURS[colour] / 2), n_samples)


def at_snr(noise: np.ndarray, sources: np.ndarray, snr: float, heard: np.ndarray | None = None) -> np.ndarray:
    """Brings noise, [T], to an SNR in dB: the power of the sum of [C, T] while one is heard, over the noise's.

    Args:
        noise: [T].
        sources: [C, T].
        snr: dB.
        heard: when somebody speaks, bool [T]; None: where a source is not zero.
    """
    speech = sources.sum(axis=0, dtype=np.float64)[sources.any(axis=0) if heard is None else heard]
    return (noise * np.sqrt(np.square(speech).mean() / np.square(noise).mean() / 10 ** (snr / 10))).astype(np.float32)
