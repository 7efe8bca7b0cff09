"""Scale-invariant signal-to-noise ratio."""

import numpy as np

from mindaudio_ext.metrics._checks import checked_pair
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS

BOUND_DB = 100.0  # beyond 16-bit sound; keeps the mean finite when an estimate is silent or perfect
ALONE_DB = 60.0  # of a mixture: that source is all that is in it, but for rounding, and nothing can be improved


@METRICS.register("si_snr")
class SISNR(Metric):
    """Scale-invariant signal-to-noise ratio; always scored."""

    title, gain_in_table = "SI-SNR", True

    @staticmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> np.ndarray:
        return si_snr(estimate=estimates, reference=references)


def si_snr(*, estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the SI-SNR of estimates, dB, in -100 to 100; a silent estimate gets -100.

    With the means removed, the estimate is split into its projection on the reference and the rest; the result is the
    ratio of their energies, 10 log10(|target|^2 / |rest|^2).

    >>> reference = np.array([1.0, -1.0, 1.0, -1.0])
    >>> noise = np.array([1.0, 1.0, -1.0, -1.0])  # orthogonal to the reference
    >>> round(float(si_snr(estimate=3 * (reference + 0.1 * noise), reference=reference)), 6)
    20.0

    Args:
        estimate: [..., T], of any scale.
        reference: [..., T].

    Returns:
        [...], float64.

    Raises:
        ValueError: the shapes differ, there are fewer than two samples, a value is not finite, or a reference is
            silent.

    Source: Luo and Mesgarani, "TasNet", 2018; Le Roux et al., "SDR - half-baked or well done?", 2019.
    """
    estimate, reference = checked_pair(estimate, reference)
    estimate, silent_estimate = _without_mean(estimate)
    reference, silent_reference = _without_mean(reference)
    if silent_reference.any():
        raise ValueError("the reference is silent; SI-SNR is not defined")
    scale = (estimate * reference).sum(-1) / (reference**2).sum(-1)  # [...]
    target = scale[..., None] * reference  # [..., T]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_db = 10 * np.log10((target**2).sum(-1) / ((estimate - target) ** 2).sum(-1))  # [...]
    return np.where(silent_estimate, -BOUND_DB, np.clip(ratio_db, -BOUND_DB, BOUND_DB))


def _without_mean(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the signal [..., T] with its mean removed, and whether nothing but rounding is left, [...]."""
    centred = signal - signal.mean(-1, keepdims=True)
    rounding = 8 * np.finfo(np.float64).eps * np.abs(signal).max(-1)
    return centred, np.abs(centred).max(-1) <= rounding
