"""A rate that falls with every step."""

from typing import Annotated

from annotated_types import Interval

from mindaudio_ext.config.types import Count
from mindaudio_ext.registry import SCHEDULERS
from mindaudio_ext.train.schedulers._scheduler import Moment, Scheduler


@SCHEDULERS.register("linear")
class Linear(Scheduler):
    """Down in a straight line, to `final_factor` of the rate at the last step.

    Args:
        warmup_steps: steps over which the rate goes up from zero.
        final_factor: of the rate, at the end.
    """

    def __init__(self, *, warmup_steps: Count = 0, final_factor: Annotated[float, Interval(ge=0, le=1)] = 0.0) -> None:
        super().__init__(warmup_steps)
        self.final_factor = final_factor

    def factor(self, moment: Moment) -> float:
        total = moment.epochs * moment.steps_per_epoch
        share = (moment.step - self.warmup_steps) / max(1, total - self.warmup_steps)
        return 1 - share * (1 - self.final_factor)
