"""Signal-to-artifacts ratio of BSS Eval (Vincent et al., 2006)."""

import numpy as np

from mindaudio_ext.metrics._bss_eval import ratio
from mindaudio_ext.metrics._metric import Metric
from mindaudio_ext.registry import METRICS


@METRICS.register("sar")
class SAR(Metric):
    """Signal-to-artifacts ratio."""

    title = "SAR"
    # A mixture of the sources has no artifacts: its SAR is what 16 bits allow, and a difference to it says nothing.
    has_gain = False

    @staticmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> np.ndarray:
        return ratio("sar", estimates, references)
