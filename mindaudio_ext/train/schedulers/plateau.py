"""A rate that falls when the validation does not improve any more."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Interval

from mindaudio_ext.config.types import Count, Positive
from mindaudio_ext.registry import SCHEDULERS
from mindaudio_ext.train.schedulers._scheduler import Moment, Scheduler


@SCHEDULERS.register("plateau")
class Plateau(Scheduler):
    """Times `factor` whenever the best validation loss stayed unbeaten.

    Args:
        factor: of the rate.
        patience: epochs without a better validation.
        after: epochs before the waiting begins.
        warmup_steps: steps over which the rate goes up from zero.
    """

    def __init__(
        self,
        *,
        factor: Annotated[float, Interval(gt=0, lt=1)] = 0.5,
        patience: Positive = 3,
        after: Count = 0,
        warmup_steps: Count = 0,
    ) -> None:
        super().__init__(warmup_steps)
        self.decay, self.patience, self.after = factor, patience, after

    def factor(self, moment: Moment) -> float:
        return self.decay ** count_plateaus(moment.valid_losses[self.after :], patience=self.patience)


def count_plateaus(valid_losses: Sequence[float], *, patience: int) -> int:
    """Counts how often the best loss stayed unbeaten for `patience` epochs; each time the waiting starts anew.

    >>> count_plateaus([3.0, 2.0, 2.0, 2.5, 1.0], patience=2)
    1
    """
    best, waited, plateaus = float("inf"), 0, 0
    for loss in valid_losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
            if waited == patience:
                plateaus, waited = plateaus + 1, 0
    return plateaus
