"""Curves of a training: for TensorBoard as it goes, and as a picture after each epoch."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from matplotlib.figure import Figure
from tensorboardX import SummaryWriter

from mindaudio_ext.experiment import Experiment
from mindaudio_ext.files import atomic_path
from mindaudio_ext.train.step import StepResult

_OF_EPOCH = ("train_loss", "valid_loss", "valid_si_snri", "lr", "grad_norm", "skipped_steps")


class Charts:
    """Writes `tensorboard/` and `plots/curves.png`; a context manager.

    Args:
        experiment: whose they are. None: nothing is written.
    """

    def __init__(self, experiment: Experiment | None) -> None:
        self._experiment = experiment
        folder = "" if experiment is None else str(experiment.tensorboard)
        self._writer = SummaryWriter(folder, write_to_disk=experiment is not None)

    def __enter__(self) -> "Charts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add_step(self, number: int, result: StepResult, rate: float) -> None:
        """Adds the values of a step, counted from 1 over all epochs."""
        values = {"loss": result.loss, "gradient_norm": result.grad_norm, "lr": rate}
        for name, value in values.items() if result.applied else ():
            self._writer.add_scalar(f"step/{name}", value, number)

    def add_epoch(self, history: Sequence[dict[str, Any]]) -> None:
        """Adds the values of the history's last epoch, and draws all of them."""
        entry = history[-1]
        for name in _OF_EPOCH:
            if entry[name] is not None:
                self._writer.add_scalar(f"epoch/{name}", entry[name], entry["epoch"])
        self._writer.flush()
        if self._experiment is not None:
            draw_curves(history, self._experiment.curves)


def draw_curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws losses, SI-SNRi, learning rate and gradient norm over the epochs, as PNG."""
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = (
        ("loss, dB", ("train_loss", "valid_loss")),
        ("SI-SNRi, dB", ("valid_si_snri",)),
        ("learning rate", ("lr",)),
        ("gradient norm", ("grad_norm",)),
    )
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, panels):
        for name in names:
            values = [float("nan") if entry[name] is None else entry[name] for entry in history]
            axes.plot(epochs, values, marker=".", label=name)
        axes.set(xlabel="epoch", title=title)
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})
