"""No schedule."""

from mindaudio_ext.config.types import Count
from mindaudio_ext.registry import SCHEDULERS
from mindaudio_ext.train.schedulers._scheduler import Moment, Scheduler


@SCHEDULERS.register("constant")
class Constant(Scheduler):
    """The same rate all along.

    Args:
        warmup_steps: steps over which the rate goes up from zero.
    """

    def __init__(self, *, warmup_steps: Count = 0) -> None:
        super().__init__(warmup_steps)

    def factor(self, moment: Moment) -> float:
        return 1.0
