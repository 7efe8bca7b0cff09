"""Signal-to-interference ratio of BSS Eval (Vincent et al., 2006)."""

import numpy as np

from mindaudio_ext.metrics._bss_eval import ratio
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS


@METRICS.register("sir")
class SIR(Metric):
    """Signal-to-interference ratio: how much of the other sources is left."""

    title = "SIR"

    @staticmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> np.ndarray:
        return ratio("sir", estimates, references)
