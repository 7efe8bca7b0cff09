"""Short-time objective intelligibility, by pystoi."""

import warnings

import numpy as np

from mindaudio_ext.metrics._checks import checked_pair
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS

TOO_SHORT = 1e-5  # what pystoi gives for less than 30 frames of speech, about 0.4 s
_RATE = 10_000  # Hz; pystoi resamples to it
_FRAME = 256  # samples at that rate; pystoi breaks when there is not one


@METRICS.register("stoi")
class STOI(Metric):
    """Short-time objective intelligibility."""

    title, unit, decimals = "STOI", "0 to 1", 3

    @staticmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> list[float]:
        pairs = zip(estimates, references, strict=True)
        return [stoi(estimate=one, reference=other, sample_rate=sample_rate) for one, other in pairs]


def stoi(*, estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Returns the STOI of an estimate, about 0 to 1; 1e-5 when the reference has less than about 0.4 s of speech.

    >>> speech = np.random.default_rng(0).normal(size=16000)
    >>> round(stoi(estimate=0.5 * speech, reference=speech, sample_rate=8000), 6)
    1.0

    Args:
        estimate: [T], of any scale.
        reference: [T].
        sample_rate: Hz.

    Raises:
        ValueError: the shapes differ or are not [T], there are fewer than two samples, a value is not finite, or the
            reference is silent.

    Source: Taal, Hendriks, Heusdens and Jensen, "An algorithm for intelligibility prediction of time-frequency
    weighted noisy speech", 2011.
    """
    import pystoi  # slow to import, and few need it

    estimate, reference = checked_pair(estimate, reference)
    if reference.ndim != 1:
        raise ValueError(f"expected an estimate and a reference [T], got shape {reference.shape}")
    if len(reference) * _RATE < (_FRAME + 1) * sample_rate:
        return TOO_SHORT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is too little speech; the value says so
        return float(pystoi.stoi(reference, estimate, sample_rate))
