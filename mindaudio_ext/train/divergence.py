"""When a training has exploded: what it has become is worth less than its best."""

import math
from collections.abc import Sequence

from mindaudio_ext.config import Config
from mindaudio_ext.train.state import Progress

WINDOW = 50  # steps whose mean loss is watched


def find_explosion(config: Config, progress: Progress) -> str | None:
    """Says what is wrong within the running epoch, or None.

    Args:
        config: has `max_skipped` and `explosion_margin`.
        progress: after a step.
    """
    if progress.skipped_in_a_row > config.max_skipped:
        return f"{progress.skipped_in_a_row} steps in a row were not finite"
    recent = progress.losses[progress.watched_from :][-WINDOW:]
    loss = math.fsum(recent) / WINDOW
    best = best_loss(progress.history)
    if len(recent) == WINDOW and loss > best + config.explosion_margin:
        return f"the mean train loss of {WINDOW} steps is {loss:.2f} dB, the best validation loss was {best:.2f}"
    return None


def is_exploded(config: Config, *, valid_loss: float, history: Sequence[dict]) -> bool:
    """Tells whether a validation loss, dB, is far above the best of the epochs before."""
    return not valid_loss <= best_loss(history) + config.explosion_margin


def best_loss(history: Sequence[dict]) -> float:
    """Returns the best validation loss so far, dB; infinity when there is none."""
    return min((entry["valid_loss"] for entry in history), default=math.inf)
