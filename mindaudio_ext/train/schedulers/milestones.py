"""A rate that falls at chosen epochs."""

from typing import Annotated

from annotated_types import Ge, Interval

from mindaudio_ext.config.types import Count
from mindaudio_ext.registry import SCHEDULERS
from mindaudio_ext.train.schedulers._scheduler import Moment, Scheduler


@SCHEDULERS.register("milestones")
class Milestones(Scheduler):
    """Times `factor` from each of some epochs on; the defaults are the reference implementation's.

    Args:
        factor: of the rate.
        epochs: counted from 1.
        warmup_steps: steps over which the rate goes up from zero.
    """

    def __init__(
        self,
        *,
        factor: Annotated[float, Interval(gt=0, lt=1)] = 0.5,
        epochs: list[Annotated[int, Ge(2)]] = [15, 45, 75],  # noqa: B006  # never changed
        warmup_steps: Count = 0,
    ) -> None:
        super().__init__(warmup_steps)
        self.decay, self.epochs = factor, epochs

    def factor(self, moment: Moment) -> float:
        return self.decay ** sum(moment.epoch + 1 >= milestone for milestone in self.epochs)
