"""What every schedule is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """A step of a training.

    Attributes:
        step: steps done before it.
        steps_per_epoch: batches in an epoch.
        epochs: of the whole training.
        valid_losses: validation losses of the finished epochs.
    """

    step: int
    steps_per_epoch: int
    epochs: int
    valid_losses: Sequence[float]

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self.step // self.steps_per_epoch


class Scheduler(ABC):
    """A schedule: the factor of the learning rate at any step. What it says follows from the step; it has no state.

    Args:
        warmup_steps: over these the rate goes up from zero, whatever the schedule.
    """

    def __init__(self, warmup_steps: int) -> None:
        self.warmup_steps = warmup_steps

    @abstractmethod
    def factor(self, moment: Moment) -> float:
        """Returns the factor of the learning rate, after the warm-up."""
