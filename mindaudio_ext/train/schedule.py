"""The learning rate at any step, as a function of what is known then: nothing of it needs to be saved."""

from collections.abc import Sequence

from mindaudio_ext.config import Config


def learning_rate(config: Config, *, step: int, steps_per_epoch: int, valid_losses: Sequence[float]) -> float:
    """Gives the rate of one step by `config.scheduler`.

    Args:
        config: has `lr`, `scheduler`, `scheduler_conf` and `epochs`.
        step: steps done before this one.
        steps_per_epoch: batches in an epoch.
        valid_losses: validation losses of the finished epochs.
    """
    conf = config.scheduler_conf
    warmup, total = conf["warmup_steps"], config.epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.scheduler == "plateau":
        return config.lr * conf["factor"] ** count_plateaus(valid_losses, patience=conf["patience"])
    if config.scheduler == "exponential":
        return config.lr * conf["factor"] ** (step // steps_per_epoch // conf["every"])
    if config.scheduler == "milestones":
        epoch = step // steps_per_epoch + 1
        return config.lr * conf["factor"] ** sum(epoch >= milestone for milestone in conf["epochs"])
    if config.scheduler == "linear":
        share = (step - warmup) / max(1, total - warmup)
        return config.lr * (1 - share * (1 - conf["final_factor"]))
    return config.lr


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


def epochs_since_best(valid_losses: Sequence[float]) -> int:
    """Counts the epochs after the best one.

    >>> epochs_since_best([3.0, 2.0, 2.0, 2.5])
    2
    """
    return len(valid_losses) - 1 - valid_losses.index(min(valid_losses)) if valid_losses else 0
