"""Signal-to-distortion ratio of BSS Eval (Vincent et al., 2006)."""

import numpy as np

from mindaudio_ext.metrics._bss_eval import ratio
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS


@METRICS.register("sdr")
class SDR(Metric):
    """Signal-to-distortion ratio."""

    title, gain_in_table = "SDR", True

    @staticmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> np.ndarray:
        return ratio("sdr", estimates, references)
