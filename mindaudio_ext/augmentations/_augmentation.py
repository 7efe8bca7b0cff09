"""What an augmentation is: a file of this folder registers one under its name."""

from abc import ABC, abstractmethod

import numpy as np

Example = tuple[np.ndarray, np.ndarray]  # mixture float32 [T], sources float32 [C, T]


class Augmentation(ABC):
    """Changes a training example after it was cut or mixed. Its options are keyword arguments of the constructor."""

    @abstractmethod
    def __call__(self, rng: np.random.Generator, mixture: np.ndarray, sources: np.ndarray) -> Example:
        """Returns another example of the same shape; no source of it is silent.

        Args:
            rng: of this example alone: all that is drawn comes from it, so that a training can be resumed.
            mixture: float32 [T].
            sources: float32 [C, T].
        """
