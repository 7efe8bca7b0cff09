"""A rate that falls by the same factor again and again."""

from typing import Annotated

from annotated_types import Interval

from mindaudio_ext.config.types import Count, Positive
from mindaudio_ext.registry import SCHEDULERS
from mindaudio_ext.train.schedulers._scheduler import Moment, Scheduler


@SCHEDULERS.register("exponential")
class Exponential(Scheduler):
    """Times `factor` every so many epochs.

    Args:
        factor: of the rate.
        every: epochs.
        after: epochs before all of that, in which the rate stays.
        warmup_steps: steps over which the rate goes up from zero.
    """

    def __init__(
        self,
        *,
        factor: Annotated[float, Interval(gt=0, le=1)] = 0.98,
        every: Positive = 2,
        after: Count = 0,
        warmup_steps: Count = 0,
    ) -> None:
        super().__init__(warmup_steps)
        self.decay, self.every, self.after = factor, every, after

    def factor(self, moment: Moment) -> float:
        return self.decay ** (max(0, moment.epoch - self.after) // self.every)
