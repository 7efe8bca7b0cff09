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
    if config.scheduler == "plateau":
        return config.lr * conf["factor"] ** count_plateaus(valid_losses, patience=conf["patience"])
    if config.scheduler == "exponential":
        return config.lr * conf["factor"] ** (step // steps_per_epoch // conf["every"])
    if config.scheduler == "linear":
        warmup, total = conf["warmup_steps"], config.epochs * steps_per_epoch
        if step < warmup:
            return config.lr * (step + 1) / warmup
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
