"""The whole state of a training in one file, from which it goes on bit for bit; the file before it is kept as well."""

import dataclasses
import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ops

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path, parse_json
from mindaudio_ext.models.parameters import read_checkpoint
from mindaudio_ext.train.step import StepResult

PROGRESS = "progress"
_FIRST_HISTORY = "history"  # what the first trainings saved in place of a progress
_FIRST_UNUSED = ("global_step", "learning_rate", "momentum")

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Progress:
    """How far a training is. The order of the data and every schedule follow from it.

    Attributes:
        history: an entry for each finished epoch, without times: equal trainings have equal checkpoints.
        step: steps done of the running epoch, which is the one after the history's last.
        losses: of the running epoch's applied steps, dB.
        grad_norms: of the same steps.
        skipped: steps of the running epoch that were not applied.
        skipped_in_a_row: the newest steps that were not applied, since the last that was or the last rollback.
        watched_from: how many of `losses` are from before the last rollback.
        rollbacks: how often the training returned to its best parameters.
        data: a digest of each set, by the set's folder.
    """

    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    step: int = 0
    losses: list[float] = dataclasses.field(default_factory=list)
    grad_norms: list[float] = dataclasses.field(default_factory=list)
    skipped: int = 0
    skipped_in_a_row: int = 0
    watched_from: int = 0
    rollbacks: int = 0
    data: dict[str, str] = dataclasses.field(default_factory=dict)

    def count(self, result: StepResult) -> None:
        """Counts a step."""
        self.step += 1
        if result.applied:
            self.losses.append(result.loss)
            self.grad_norms.append(result.grad_norm)
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1

    def note_rollback(self) -> None:
        """Begins to watch for explosions anew."""
        self.rollbacks += 1
        self.skipped_in_a_row, self.watched_from = 0, len(self.losses)

    def next_epoch(self, *, valid_loss: float, valid_si_snri: float, lr: float) -> "Progress":
        """Returns the progress at the beginning of the next epoch, with an entry for this one in the history."""
        entry = {
            "epoch": len(self.history) + 1,
            "train_loss": float(np.mean(self.losses)) if self.losses else None,
            "valid_loss": valid_loss,
            "valid_si_snri": valid_si_snri,
            "lr": lr,
            "grad_norm": float(np.mean(self.grad_norms)) if self.losses else None,
            "skipped_steps": self.skipped,
        }
        return Progress(history=[*self.history, entry], rollbacks=self.rollbacks, data=self.data)


class StateFiles:
    """`last.ckpt` and, with the state saved before it, `previous.ckpt`. MindSpore's format, with its CRC.

    Args:
        folder: the experiment's `checkpoints`.
    """

    def __init__(self, folder: Path) -> None:
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"

    def found(self) -> bool:
        """Whether there is a state, whole or not."""
        return self.last.is_file() or self.previous.is_file()

    def save(self, parameters: Sequence[Parameter], progress: Progress) -> None:
        """Writes the state; a kill at any moment leaves the one before it whole."""
        tensors = [{"name": parameter.name, "data": parameter} for parameter in parameters]
        facts = json.dumps(dataclasses.asdict(progress))
        with atomic_path(self.last) as temporary:
            try:
                ms.save_checkpoint(tensors, str(temporary), append_dict={PROGRESS: facts}, crc_check=True)
            except OSError as error:  # MindSpore's own temporary file, and an error that names none
                temporary.with_suffix(".tmp").unlink(missing_ok=True)
                raise OSError(error.errno, error.strerror, str(self.last)) from error
            if self.last.is_file():
                os.replace(self.last, self.previous)

    def load(self, parameters: Sequence[Parameter], data: dict[str, str]) -> Progress:
        """Fills the parameters from the newest whole file and gives its progress; without any, gives a new one.

        Args:
            parameters: as they were saved.
            data: the digest of each set, by its folder.

        Raises:
            InputError: no file is whole, or it belongs to another model or optimizer, or to other data.
        """
        damage: list[str] = []
        for path in (self.last, self.previous):
            try:
                stored, progress = _read(path)
            except FileNotFoundError:
                continue
            except (ValueError, RuntimeError, TypeError, KeyError) as error:
                damage.append(f"{path}: not a whole checkpoint ({' '.join(str(error).split())[:200]})")
                continue
            for line in damage:
                log.warning("%s; going on from %s", line, path)
            _refuse_other_data(path, trained_on=progress.data, data=data)
            _fill(parameters, stored, path)
            return dataclasses.replace(progress, data=progress.data or data)
        if damage:
            raise InputError(f"{'; '.join(damage)}; remove it to start anew")
        return Progress(data=data)


def _read(path: Path) -> tuple[dict[str, Parameter], Progress]:
    if not path.is_file():
        raise FileNotFoundError(path)
    stored = read_checkpoint(path)
    if _FIRST_HISTORY in stored:
        return _from_first_form(stored)
    return stored, Progress(**parse_json(stored.pop(PROGRESS)))


def _from_first_form(stored: dict[str, Parameter]) -> tuple[dict[str, Parameter], Progress]:
    """Turns the state of the first trainings, up to commit 3bd8559, into today's.

    It was saved after whole epochs only, with a history that has times, and with MindSpore's own optimizers: Adam's
    moments had today's names, SGD's velocities others, and what else those keep is not needed.
    """
    history = [entry | {"skipped_steps": 0} for entry in parse_json(stored.pop(_FIRST_HISTORY))]
    state = {}
    for name, value in stored.items():
        if name not in _FIRST_UNUSED and not name.startswith("stat."):
            name = re.sub(r"^accum\.", "velocity.", name)
            state[name] = Parameter(value, name=name)
    return state, Progress(history=history)


def _refuse_other_data(path: Path, *, trained_on: dict[str, str], data: dict[str, str]) -> None:
    for (folder, digest), before in zip(data.items(), trained_on.values()):
        if digest != before:
            raise InputError(f"{folder}: {path} was trained on other data; give another --expdir, or remove it")


def _fill(parameters: Sequence[Parameter], stored: dict[str, Parameter], path: Path) -> None:
    if {p.name: tuple(p.shape) for p in parameters} != {name: tuple(p.shape) for name, p in stored.items()}:
        raise InputError(f"{path}: belongs to another model or optimizer; give another --expdir, or remove it")
    for parameter in parameters:
        ops.assign(parameter, ms.Tensor(stored[parameter.name].asnumpy(), parameter.dtype))
