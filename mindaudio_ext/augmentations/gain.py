"""Other levels of the sources, and of the mixture with them."""

from typing import Annotated

import numpy as np
from annotated_types import Interval

from mindaudio_ext.augmentations._augmentation import Augmentation, Example
from mindaudio_ext.registry import AUGMENTATIONS


@AUGMENTATIONS.register("gain")
class Gain(Augmentation):
    """Draws a gain for each source, and mixes again.

    Args:
        largest: of the gains, dB, up and down.
    """

    def __init__(self, *, largest: Annotated[float, Interval(gt=0, le=60)] = 5.0) -> None:
        self.largest = largest

    def __call__(self, rng: np.random.Generator, mixture: np.ndarray, sources: np.ndarray) -> Example:
        factors = 10 ** (rng.uniform(-self.largest, self.largest, (len(sources), 1)) / 20)
        rest = mixture - sources.sum(axis=0)  # what is in the mixture beside the sources, such as noise
        louder = (sources * factors).astype(np.float32)
        return louder.sum(axis=0) + rest, louder
