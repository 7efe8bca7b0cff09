"""What a metric is: a file of this folder has one, and registers it under the file's name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np


class Metric(ABC):
    """A score of each estimate against its reference, the higher the better.

    Attributes:
        title: as tables head it.
        unit: "dB", or what else the numbers are, such as "0 to 1".
        decimals: that tables give.
        has_gain: whether the difference to the unprocessed mixture's score means something.
        gain_in_table: whether the table of a set has this difference beside the score.
    """

    title: ClassVar[str]
    unit: ClassVar[str] = "dB"
    decimals: ClassVar[int] = 2
    has_gain: ClassVar[bool] = True
    gain_in_table: ClassVar[bool] = False

    @staticmethod  # noqa: B027  # most can be computed anywhere
    def require(sample_rate: int) -> None:
        """Raises InputError when it cannot be computed here: a package is missing, or it is for other rates (Hz)."""

    @staticmethod
    @abstractmethod
    def compute(*, estimates: np.ndarray, references: np.ndarray, sample_rate: int) -> Sequence[float] | np.ndarray:
        """Returns the score of each estimate, [C].

        Args:
            estimates: [C, T], in the references' order.
            references: [C, T], none of them silent.
            sample_rate: Hz.

        Raises:
            ValueError: signals that it cannot take.
        """
