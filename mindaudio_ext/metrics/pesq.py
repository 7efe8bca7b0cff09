"""Perceptual evaluation of speech quality (ITU-T P.862), by the optional package pesq."""

import importlib.util

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.metrics._checks import checked_pair
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS

MODES = {8000: "nb", 16000: "wb"}  # Hz -> narrow band (P.862.1) or wide band (P.862.2)
WORST = 1.0  # the bottom of the scale, for an estimate without speech


@METRICS.register("pesq")
class PESQ(Metric):
    """Perceptual evaluation of speech quality."""

    title, unit = "PESQ", "MOS-LQO"

    @staticmethod
    def require(sample_rate: int) -> None:
        if importlib.util.find_spec("pesq") is None:
            raise InputError(
                "cal_pesq: the package pesq is not installed; pip install pesq==0.0.4, or leave cal_pesq false"
            )
        if sample_rate not in MODES:
            raise InputError(f"cal_pesq: PESQ is for 8000 and 16000 Hz, not {sample_rate} Hz; leave cal_pesq false")

    @staticmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> list[float]:
        pairs = zip(estimates, references, strict=True)
        return [pesq(estimate=one, reference=other, sample_rate=sample_rate) for one, other in pairs]


def pesq(*, estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Returns the PESQ of an estimate, MOS-LQO, 1 to 4.64; an estimate without speech gets 1.

    Args:
        estimate: [T].
        reference: [T], at least a quarter of a second.
        sample_rate: 8000 Hz (narrow band) or 16000 Hz (wide band).

    Raises:
        ImportError: the package pesq is not installed.
        ValueError: as of `stoi`, or the rate is another, the signals are too short.

    Source: ITU-T P.862, 2001; P.862.1, 2003; P.862.2, 2007.
    """
    from pesq import NoUtterancesError, PesqError
    from pesq import pesq as measure

    estimate, reference = checked_pair(estimate, reference)
    if reference.ndim != 1:
        raise ValueError(f"expected an estimate and a reference [T], got shape {reference.shape}")
    if sample_rate not in MODES:
        raise ValueError(f"PESQ is for 8000 and 16000 Hz, not {sample_rate} Hz")
    if not estimate.any():
        return WORST
    try:
        return float(measure(sample_rate, reference, estimate, MODES[sample_rate]))
    except NoUtterancesError:
        return WORST
    except PesqError as error:
        raise ValueError(f"PESQ cannot take these signals: {error}") from error
