"""What changes in a training, as a function of what is known at a step: nothing of it needs to be saved."""

from collections.abc import Mapping, Sequence
from typing import Any

from mindaudio_ext.config import Config
from mindaudio_ext.registry import SCHEDULERS
from mindaudio_ext.train.schedulers._scheduler import Moment


def learning_rate(config: Config, *, step: int, steps_per_epoch: int, valid_losses: Sequence[float]) -> float:
    """Returns the rate of one step by `config.scheduler`.

    Args:
        config: has `lr`, `scheduler`, `scheduler_conf` and `epochs`.
        step: steps done before this one.
        steps_per_epoch: batches in an epoch.
        valid_losses: validation losses of the finished epochs.
    """
    moment = Moment(step, steps_per_epoch, config.epochs, valid_losses)
    return _scheduled(config.lr, config.scheduler, config.scheduler_conf, moment)


def auxiliary_weight(config: Config, *, step: int, steps_per_epoch: int, valid_losses: Sequence[float]) -> float:
    """Returns the share of the auxiliary loss in one step, by `config.auxiliary_scheduler`; see `learning_rate`."""
    moment = Moment(step, steps_per_epoch, config.epochs, valid_losses)
    return _scheduled(config.auxiliary_weight, config.auxiliary_scheduler, config.auxiliary_scheduler_conf, moment)


def _scheduled(value: float, name: str, options: Mapping[str, Any], moment: Moment) -> float:
    scheduler = SCHEDULERS.get(name)(**options)
    if moment.step < scheduler.warmup_steps:
        return value * (moment.step + 1) / scheduler.warmup_steps
    return value * scheduler.factor(moment)


def epochs_since_best(valid_losses: Sequence[float]) -> int:
    """Counts the epochs after the best one.

    >>> epochs_since_best([3.0, 2.0, 2.0, 2.5])
    2
    """
    return len(valid_losses) - 1 - valid_losses.index(min(valid_losses)) if valid_losses else 0
