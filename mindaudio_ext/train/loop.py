"""Training: epochs of compiled steps, validation on whole utterances, the best parameters kept."""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from tqdm import tqdm

from mindaudio_ext.config import Config, refuse_other_training, save_config
from mindaudio_ext.data.dataset import Batch, TrainBatches, whole_utterances
from mindaudio_ext.data.mindrecord import Manifest, check_mindrecord
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.si_snr import si_snr
from mindaudio_ext.models.checkpoint import save_parameters
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.models.whole import WholeUtterance
from mindaudio_ext.train.checkpoint import load_state, save_state
from mindaudio_ext.train.schedule import learning_rate
from mindaudio_ext.train.step import make_optimizer, make_train_step

log = logging.getLogger("train")


@dataclass(frozen=True)
class Experiment:
    """The files of a training."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def history(self) -> Path:
        return self.folder / "history.jsonl"

    @property
    def best(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def model(self) -> Path:
        return self.folder / "model.json"


class Trainer:
    """Trains the model of a config on MindRecord sets, going on after the last finished epoch when there is one.

    Args:
        config: the whole config.
        train_dir: MindRecord directory to train on.
        valid_dir: MindRecord directory to choose the best epoch by.
        expdir: the experiment's folder.

    Raises:
        InputError: a set is damaged or does not fit the config, or the folder holds a training of another config.
    """

    def __init__(self, config: Config, *, train_dir: Path, valid_dir: Path, expdir: Path) -> None:
        self.config, self.experiment = config, Experiment(expdir)
        refuse_other_training(self.experiment.config, config)
        self.valid, train = _checked_set(valid_dir, config), _checked_set(train_dir, config)
        self.data = {str(manifest.path): manifest.source for manifest in (train, self.valid)}
        self.max_samples = None if config.cv_maxlen is None else round(config.cv_maxlen * config.sample_rate)
        if self.max_samples is not None and min(self.valid.num_samples) > self.max_samples:
            raise InputError(f"{valid_dir}: no utterance is as short as cv_maxlen ({config.cv_maxlen} s)")
        self.batches = TrainBatches(
            train,
            segment=round(config.segment * config.sample_rate),
            batch_size=config.batch_size,
            seed=config.seed,
            dynamic_mixing=config.dynamic_mixing,
            speed_perturb=config.speed_perturb,
        )
        ms.set_seed(config.seed)
        self.model = build_model(config)
        self.whole = WholeUtterance(self.model)
        self.optimizer = make_optimizer(config, self.model)
        self.step = make_train_step(self.model, self.optimizer, num_spks=config.num_spks, clip_norm=config.clip_norm)
        self.history = load_state(self.experiment.last, self.optimizer, self.data)

    def run(self) -> None:
        """Trains up to `config.epochs` and leaves the experiment's files."""
        save_config(self.config, self.experiment.config)
        self._write_model_facts()
        if len(self.history) >= self.config.epochs:
            log.info("already trained for %d epochs; nothing to do", len(self.history))
        while len(self.history) < self.config.epochs:
            self._run_epoch(len(self.history) + 1)

    def _run_epoch(self, epoch: int) -> None:
        started = time.monotonic()
        losses, norms, rate = self._train(epoch)
        seconds = time.monotonic() - started
        valid_loss, valid_si_snri = self._validate()
        audio = len(losses) * self.config.batch_size * self.config.segment
        entry = {
            "epoch": epoch,
            "train_loss": float(np.mean(losses)),
            "valid_loss": valid_loss,
            "valid_si_snri": valid_si_snri,
            "lr": rate,
            "grad_norm": float(np.mean(norms)),
            "seconds": round(time.monotonic() - started, 3),
            "audio_seconds_per_second": round(audio / seconds, 3),
        }
        improved = all(valid_loss < past["valid_loss"] for past in self.history)
        self.history.append(entry)
        self._save(improved)
        log.info(
            "epoch %d of %d: train loss %.2f, valid loss %.2f, valid SI-SNRi %.2f dB%s, gradient norm %.2f, lr %.2g, "
            "%.0f s, %.1f s of audio a second",
            *(epoch, self.config.epochs, entry["train_loss"], valid_loss, valid_si_snri, " (best)" * improved),
            *(entry["grad_norm"], rate, entry["seconds"], entry["audio_seconds_per_second"]),
        )

    def _train(self, epoch: int) -> tuple[list[float], list[float], float]:
        """Gives the loss and the gradient norm of each step, and the last rate."""
        self.model.set_train(True)
        losses: list[float] = []
        norms: list[float] = []
        rate = self.config.lr
        for number, batch in enumerate(self._shown(self.batches.epoch(epoch), epoch, losses), 1):
            rate = learning_rate(
                self.config,
                step=(epoch - 1) * len(self.batches) + number - 1,
                steps_per_epoch=len(self.batches),
                valid_losses=[past["valid_loss"] for past in self.history],
            )
            ops.assign(self.optimizer.learning_rate, Tensor(rate, ms.float32))  # a compiled step does not see set_data
            loss, norm = self.step(Tensor(batch.mixture), Tensor(batch.sources), Tensor(batch.lengths))
            losses.append(float(loss))
            norms.append(float(norm))
            if not math.isfinite(losses[-1] + norms[-1]):
                raise FloatingPointError(
                    f"epoch {epoch}, step {number}: loss {losses[-1]}, gradient norm {norms[-1]}; a lower lr may help. "
                    f"The best parameters so far are in {self.experiment.best}"
                )
            if number % self.config.log_interval == 0:
                recent = slice(-self.config.log_interval, None)
                log.info(
                    "epoch %d, step %d of %d: loss %.2f, gradient norm %.2f",
                    *(epoch, number, len(self.batches), np.mean(losses[recent]), np.mean(norms[recent])),
                )
        return losses, norms, rate

    def _shown(self, batches: Iterator[Batch], epoch: int, losses: list[float]) -> Iterator[Batch]:
        """Passes batches on with a progress bar, on a terminal."""
        bar = tqdm(
            batches,
            total=len(self.batches),
            desc=f"epoch {epoch}/{self.config.epochs}",
            disable=not sys.stderr.isatty(),
            leave=False,
        )
        for batch in bar:
            yield batch
            bar.set_postfix_str(f"loss {np.mean(losses[-20:]):.2f}", refresh=False)

    def _validate(self) -> tuple[float, float]:
        """Gives the mean loss and the mean SI-SNRi over the whole utterances of the validation set, in dB."""
        scores = [
            _utterance_scores(mixture, sources, self.whole.separate(mixture))
            for mixture, sources in whole_utterances(self.valid, self.max_samples)
        ]
        if len(scores) < len(self.valid.keys) and not self.history:
            log.info("validation: %d of %d utterances, the others are longer", len(scores), len(self.valid.keys))
        reached, improvement = np.mean(scores, axis=0)
        return -float(reached), float(improvement)

    def _save(self, improved: bool) -> None:
        """Writes the best parameters before the state: a kill in between repeats the epoch and writes them again."""
        if improved:
            save_parameters(self.model, self.experiment.best)
        save_state(self.experiment.last, self.optimizer, self.history, self.data)
        self._write_model_facts()

    def _write_model_facts(self) -> None:
        """Writes what follows from the state; a run that goes on writes it again."""
        if self.history:
            write_text(self.experiment.history, "".join(json.dumps(entry) + "\n" for entry in self.history))
        best = min(self.history, key=lambda entry: entry["valid_loss"], default={"epoch": 0})
        facts = {
            "parameters": sum(parameter.size for parameter in self.model.trainable_params()),
            "epoch": best["epoch"],
            "epochs": len(self.history),
            "train_seconds": round(sum(entry["seconds"] for entry in self.history), 1),
        }
        write_text(self.experiment.model, json.dumps(facts, indent=1) + "\n")


def _checked_set(path: Path, config: Config) -> Manifest:
    manifest = check_mindrecord(path)
    for key in ("sample_rate", "num_spks"):
        if getattr(manifest, key) != getattr(config, key):
            raise InputError(f"{path}: {key} is {getattr(manifest, key)}, the config says {getattr(config, key)}")
    return manifest


def _utterance_scores(mixture: np.ndarray, sources: np.ndarray, estimates: np.ndarray) -> tuple[float, float]:
    """Gives the mean SI-SNR over sources, and its improvement over the mixture's."""
    estimate, reference = np.broadcast_arrays(estimates[:, None], sources[None])  # [C, C, T]
    pairs = si_snr(estimate=estimate, reference=reference)
    reached = pairs[best_permutation(pairs), np.arange(len(sources))].mean()
    unprocessed = si_snr(estimate=np.broadcast_to(mixture, sources.shape), reference=sources).mean()
    return reached, reached - unprocessed


def log_to(path: str | os.PathLike) -> None:
    """Sends the log's lines to a file, appending, and to stderr."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        handlers=[logging.FileHandler(path, encoding="utf-8"), logging.StreamHandler()],
        force=True,
    )
