"""What a training notes of itself beside its state: its history and facts, and how long each epoch took."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindaudio_ext.experiment import Experiment
from mindaudio_ext.files import parse_json, write_text


def write_facts(
    experiment: Experiment, history: Sequence[dict[str, Any]], *, n_parameters: int, n_devices: int
) -> None:
    """Writes history.jsonl, once an epoch is finished, and model.json.

    Args:
        experiment: whose they are.
        history: an entry for each finished epoch.
        n_parameters: of the model.
        n_devices: that train it; on a CPU, processes.
    """
    if history:
        write_text(experiment.history, "".join(json.dumps(entry) + "\n" for entry in history))
    best = min(history, key=lambda entry: entry["valid_loss"], default={"epoch": 0})
    experiment.write_facts(
        {
            "parameters": n_parameters,
            "epoch": best["epoch"],
            "epochs": len(history),
            "devices": n_devices,
            "train_seconds": round(sum(entry["seconds"] for entry in history), 1),
        }
    )


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
            stored = parse_json(path.read_text())
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
