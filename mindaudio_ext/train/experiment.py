"""The files of a training that follow from its state: its history and facts, and its log."""

import json
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindaudio_ext.files import write_text


@dataclass(frozen=True)
class Experiment:
    """The files of a training, in one folder."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def times(self) -> Path:
        return self.checkpoints / "times.json"

    def write_facts(self, history: Sequence[dict[str, Any]], n_parameters: int, n_devices: int) -> None:
        """Writes history.jsonl, once an epoch is finished, and model.json.

        Args:
            history: an entry for each finished epoch.
            n_parameters: of the model.
            n_devices: that train it; on a CPU, processes.
        """
        if history:
            write_text(self.folder / "history.jsonl", "".join(json.dumps(entry) + "\n" for entry in history))
        best = min(history, key=lambda entry: entry["valid_loss"], default={"epoch": 0})
        facts = {
            "parameters": n_parameters,
            "epoch": best["epoch"],
            "epochs": len(history),
            "devices": n_devices,
            "train_seconds": round(sum(entry["seconds"] for entry in history), 1),
        }
        write_text(self.folder / "model.json", json.dumps(facts, indent=1) + "\n")


KINDS_OF_TIME = ("train", "waiting", "total")


class Times:
    """How long each epoch took, kept beside the checkpoints: these are the same whenever a training is repeated.

    Args:
        path: a JSON file, read when it is there.
        n_epochs: finished epochs; what it says of later ones is the running epoch's.

    Attributes:
        train: seconds of training, of each epoch and the running one.
        waiting: of these, seconds in which no step ran because its batch was not there yet.
        total: of training and validation.
    """

    def __init__(self, path: Path, n_epochs: int) -> None:
        self._path = path
        try:
            stored = json.loads(path.read_text())
            self.train, self.waiting, self.total = ([float(s) for s in stored.get(key, ())] for key in KINDS_OF_TIME)
        except (OSError, ValueError, AttributeError, TypeError):  # times are no reason to stop a training
            self.train, self.waiting, self.total = [], [], []
        self.waiting += [math.nan] * (len(self.train) - len(self.waiting))  # an older version did not measure it
        for seconds in (self.train, self.waiting, self.total):
            seconds[:] = (seconds + [0.0] * (n_epochs + 1))[: n_epochs + 1]

    def add(self, *, train: float = 0.0, waiting: float = 0.0, valid: float = 0.0) -> None:
        """Adds seconds to the running epoch; those of waiting are part of those of training."""
        self.train[-1] += train
        self.waiting[-1] += waiting
        self.total[-1] += train + valid

    def next_epoch(self) -> None:
        """Begins another epoch."""
        for seconds in (self.train, self.waiting, self.total):
            seconds.append(0.0)

    def save(self) -> None:
        """Writes the file."""
        write_text(self._path, json.dumps({key: getattr(self, key) for key in KINDS_OF_TIME}) + "\n")


def log_to(path: str | os.PathLike | None) -> None:
    """Sends the log's lines to stderr and, appending, to a file when one is given."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        handlers=handlers,
        force=True,
    )
