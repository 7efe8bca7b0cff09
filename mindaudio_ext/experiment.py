"""An experiment's folder: every file in it has its name here, and here is chosen which checkpoint it decodes.

exp/<name>/
    config.yaml, train.log, history.jsonl, model.json, checkpoints/, plots/, tensorboard/, examples/    stage 2
    separated_<set>/: made.jsonl, decode.json, decode.log, wav/, spk1.scp, ..., perhaps rttm            stage 3
    scores_<set>.csv, perhaps conversations_<set>.csv, RESULTS.md, report.html                          stage 4
    export/                                                                                             stage 5

Importing it imports neither MindSpore nor NumPy.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindaudio_ext.config import Config, read_resolved
from mindaudio_ext.data.rttm import RTTM
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import listed, parse_json, write_text

SCORED_FILES = r"separated_.*|(scores|conversations)_.*\.csv|RESULTS\.md"  # what stages 3 and 4 add, a pattern


@dataclass(frozen=True)
class SeparatedSet:
    """The estimates of a test set, `separated_<set>`.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def journal(self) -> Path:
        """What separated, and a line for each mixture that is separated."""
        return self.path / "made.jsonl"

    @property
    def decoding(self) -> Path:
        """What separating the set took."""
        return self.path / "decode.json"

    @property
    def log(self) -> Path:
        """A line for each run of stage 3."""
        return self.path / "decode.log"

    @property
    def wavs(self) -> Path:
        """The folder of the estimates."""
        return self.path / "wav"

    def scp(self, source: int) -> Path:
        """Returns the list of the estimates of a source, which is counted from 1."""
        return self.path / f"spk{source}.scp"

    @property
    def rttm(self) -> Path:
        """Who speaks when, of a model for conversations; the speaker of spk1.scp is called s1."""
        return self.path / RTTM

    def read_origin(self) -> dict[str, Any] | None:
        """Returns what separated the set: `checkpoint`, its name; its `sha256`; perhaps `shifts`. None: not known."""
        try:
            with open(self.journal, encoding="utf-8") as journal:
                origin = parse_json(journal.readline())
            return origin if {"checkpoint", "sha256"} <= origin.keys() else None
        except (OSError, ValueError, AttributeError):  # there is no journal, or it is of something else
            return None


@dataclass(frozen=True)
class Experiment:
    """An experiment's folder, `exp/<name>`.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return os.path.basename(os.path.abspath(self.path))

    @property
    def config_file(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def train_log(self) -> Path:
        """The lines of the training."""
        return self.path / "train.log"

    @property
    def history(self) -> Path:
        """An entry for each finished epoch."""
        return self.path / "history.jsonl"

    @property
    def facts(self) -> Path:
        """Parameters, epochs, devices and time of the training."""
        return self.path / "model.json"

    @property
    def card(self) -> Path:
        """What a model that was published says of itself: licence, training data, limits."""
        return self.path / "README.md"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def times(self) -> Path:
        """How long each epoch took."""
        return self.checkpoints / "times.json"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's events."""
        return self.path / "tensorboard"

    @property
    def curves(self) -> Path:
        """A picture of losses, scores and rates over the epochs."""
        return self.path / "plots" / "curves.png"

    @property
    def results(self) -> Path:
        """What was run, on what, and the scores, in Markdown."""
        return self.path / "RESULTS.md"

    @property
    def report(self) -> Path:
        """The scores to look at and to listen to."""
        return self.path / "report.html"

    @property
    def export(self) -> Path:
        """The folder of the graphs for deployment."""
        return self.path / "export"

    def checkpoint(self, name: str = "best") -> Path:
        """Returns the file of a checkpoint: `best`, `average`, `epoch_<n>`; of the whole state `last`, `previous`."""
        return self.checkpoints / f"{name}.ckpt"

    def examples(self, epoch: int) -> Path:
        """Returns the folder of the utterances separated after an epoch, which is counted from 1."""
        return self.path / "examples" / f"epoch_{epoch}"

    def separated(self, set_name: str) -> SeparatedSet:
        """Returns the estimates of a test set."""
        return SeparatedSet(self.path / f"separated_{set_name}")

    def scores(self, set_name: str) -> Path:
        """Returns the file of a test set's scores."""
        return self.path / f"scores_{set_name}.csv"

    def conversation_scores(self, set_name: str) -> Path:
        """Returns the file of the scores of a test set of conversations."""
        return self.path / f"conversations_{set_name}.csv"

    @property
    def has_config(self) -> bool:
        """Whether there is a config."""
        return self.config_file.is_file()

    @property
    def is_trained(self) -> bool:
        """Whether there is any checkpoint."""
        return bool(listed(self.checkpoints, "*.ckpt"))

    def read_config(self) -> Config:
        """Reads the config.

        Raises:
            InputError: the folder is none, or no experiment, or its config is wrong.
        """
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such experiment folder; stage 2 makes it")
        if not self.has_config:
            raise InputError(f"{self.path}: no model here: {self.config_file.name} is missing; stage 2 makes it")
        return read_resolved(self.config_file)

    def find_checkpoint(self, config: Config, model_path: str | os.PathLike | None = None) -> Path:
        """Returns the checkpoint that is decoded: `model_path`, or else its `decode_checkpoint`, best by default.

        Decoding, export, conversion, packing and mindaudio-separate all ask here.

        Args:
            config: the experiment's, or that of a run of it.
            model_path: what the user chose; None for the config's `model_path`.

        Raises:
            InputError: it is not there.
        """
        chosen = model_path or config.model_path
        if chosen:
            if not Path(chosen).is_file():
                raise InputError(f"{chosen}: no such checkpoint (model_path)")
            return Path(chosen)
        checkpoint = self.checkpoint(config.decode_checkpoint)
        if not checkpoint.is_file():
            place = checkpoint.relative_to(self.path)
            raise InputError(f"{self.path}: no model here: {place} is missing; stage 2 makes it")
        return checkpoint

    def require_own(self) -> None:
        """Raises InputError when a training would replace files that are not of one: they are there without its config.

        What is not an experiment's config is no config of a training either.
        """
        if self.config_file.exists():
            read_resolved(self.config_file)
            return
        for path in (self.history, self.facts, self.curves, self.times, *listed(self.checkpoints, "*.ckpt")):
            if path.exists():
                raise InputError(
                    f"{path}: is there, but no {self.config_file.name} of its training; give another --expdir"
                )

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Writes model.json."""
        write_text(self.facts, json.dumps(facts, indent=1) + "\n")
