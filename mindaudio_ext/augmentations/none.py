"""No augmentation: examples as they were cut or mixed."""

import numpy as np

from mindaudio_ext.augmentations._augmentation import Augmentation, Example
from mindaudio_ext.registry import AUGMENTATIONS


@AUGMENTATIONS.register("none")
class NoAugmentation(Augmentation):
    """Changes nothing."""

    def __call__(self, rng: np.random.Generator, mixture: np.ndarray, sources: np.ndarray) -> Example:
        return mixture, sources
