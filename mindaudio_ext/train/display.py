"""What a training shows of its steps: a bar on a terminal, lines in the log."""

import logging
import sys
from collections import deque
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from mindaudio_ext.config import Config
from mindaudio_ext.train.step import StepResult

log = logging.getLogger(__name__)
_RECENT = 20  # steps whose mean the bar shows


class StepDisplay:
    """Shows the steps of an epoch; a context manager.

    Args:
        config: has `epochs`, `log_interval`, `batch_size` and `segment`.
        epoch: counted from 1.
        n_steps: of an epoch.
        done: steps of this epoch that were done before.
    """

    def __init__(self, config: Config, *, epoch: int, n_steps: int, done: int) -> None:
        self.config, self.epoch, self.n_steps, self.done = config, epoch, n_steps, done
        self._results: deque[StepResult] = deque(maxlen=max(_RECENT, config.log_interval))
        self._seconds: deque[float] = deque(maxlen=max(_RECENT, config.log_interval))
        self._bar = tqdm(
            total=n_steps,
            initial=done,
            desc=f"epoch {epoch}/{config.epochs}",
            disable=not sys.stderr.isatty(),
            leave=False,
        )

    def __enter__(self) -> "StepDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self, result: StepResult, rate: float, seconds: float) -> None:
        """Shows one step more.

        Args:
            result: of the step.
            rate: its learning rate.
            seconds: it took.
        """
        self.done += 1
        self._results.append(result)
        self._seconds.append(seconds)
        if not result.applied:
            log.warning(
                "epoch %d, step %d: loss %s, gradient norm %s; skipped",
                *(self.epoch, self.done, result.loss, result.grad_norm),
            )
        self._bar.set_postfix_str(self._summary(_RECENT, rate), refresh=False)
        self._bar.update()
        if self.done % self.config.log_interval == 0:
            summary = self._summary(self.config.log_interval, rate)
            log.info("epoch %d, step %d of %d: %s", self.epoch, self.done, self.n_steps, summary)

    def _summary(self, n_recent: int, rate: float) -> str:
        applied = [result for result in list(self._results)[-n_recent:] if result.applied]
        loss, norm = np.mean([result[:2] for result in applied], axis=0) if applied else (np.nan, np.nan)
        seconds = float(np.mean(list(self._seconds)[-n_recent:]))
        audio = self.config.batch_size * self.config.segment / seconds
        left = (self.n_steps * (self.config.epochs - self.epoch + 1) - self.done) * seconds
        return (
            f"loss {loss:.2f}, lr {rate:.2g}, gradient norm {norm:.2f}, {audio:.1f} s of audio a second, "
            f"{duration(left)} of training left"
        )


def duration(seconds: float) -> str:
    """Says how long something takes.

    >>> duration(7.2), duration(200), duration(3725), duration(200000)
    ('7 s', '3 min', '1 h 2 min', '2 d 7 h')
    """
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def log_epoch(entry: dict[str, Any], epochs: int, *, best: bool) -> None:
    """Writes an epoch's line.

    Args:
        entry: of the history, with times.
        epochs: in all.
        best: whether its validation is the best so far.
    """
    shown = {key: float("nan") if value is None else value for key, value in entry.items()}
    log.info(
        "epoch %d of %d: train loss %.2f, valid loss %.2f, valid SI-SNRi %.2f dB%s, gradient norm %.2f, lr %.2g, "
        "%.0f s, %.1f s of audio a second, %.1f %% of it waiting for data%s",
        *(shown["epoch"], epochs, shown["train_loss"], shown["valid_loss"], shown["valid_si_snri"]),
        *(" (best)" * best, shown["grad_norm"], shown["lr"], shown["seconds"], shown["audio_seconds_per_second"]),
        100 * shown["waiting_share"],
        f", {entry['skipped_steps']} steps skipped" * bool(entry["skipped_steps"]),
    )
