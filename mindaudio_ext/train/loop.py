"""Training: epochs of compiled steps, validation on whole utterances, the best parameters kept.

It goes on exactly where it stopped, also within an epoch: what a step does follows from the saved state alone. Several
ranks train as one does: each takes its share of every batch and of the validation set, rank 0 writes the files.
"""

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindaudio_ext.config import Config, refuse_other_training, save_config
from mindaudio_ext.data.dataset import TrainBatches
from mindaudio_ext.data.mindrecord import Manifest, check_mindrecord
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.checkpoint import save_parameters
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.models.whole import WholeUtterance
from mindaudio_ext.train.checkpoint import Progress, StateFiles
from mindaudio_ext.train.display import StepDisplay
from mindaudio_ext.train.distributed import Average, Ranks, agreed_config
from mindaudio_ext.train.experiment import Experiment, Times
from mindaudio_ext.train.schedule import learning_rate
from mindaudio_ext.train.step import TrainStep
from mindaudio_ext.train.stop import Stopped, StopSignals
from mindaudio_ext.train.validate import score_utterances, short_enough

log = logging.getLogger("train")


class Trainer:
    """Trains the model of a config on MindRecord sets, going on where an earlier training of it stopped.

    Args:
        config: the whole config.
        train_dir: MindRecord directory to train on.
        valid_dir: MindRecord directory to choose the best epoch by.
        expdir: the experiment's folder; only rank 0 uses it.
        ranks: among which this process is one; None when it is alone.

    Raises:
        InputError: a set is damaged or does not fit the config, the folder holds a training of another config, or the
            ranks differ in config or data.
    """

    def __init__(
        self, config: Config, *, train_dir: Path, valid_dir: Path, expdir: Path, ranks: Ranks | None = None
    ) -> None:
        self.ranks = ranks or Ranks()
        self.config = config = agreed_config(config, self.ranks)
        self.experiment = Experiment(expdir)
        if self.ranks.is_first:
            refuse_other_training(self.experiment.config, config)
        self.valid, train = _checked_set(valid_dir, config), _checked_set(train_dir, config)
        self.data = {str(manifest.path): manifest.source for manifest in (train, self.valid)}
        _refuse_other_data(self.data, self.ranks)
        self.max_samples = None if config.cv_maxlen is None else round(config.cv_maxlen * config.sample_rate)
        self.valid_rows = short_enough(self.valid, self.max_samples)
        if not self.valid_rows:
            raise InputError(f"{valid_dir}: no utterance is as short as cv_maxlen ({config.cv_maxlen} s)")
        self.batches = TrainBatches(
            train,
            segment=round(config.segment * config.sample_rate),
            batch_size=config.batch_size,
            seed=config.seed,
            dynamic_mixing=config.dynamic_mixing,
            speed_perturb=config.speed_perturb,
            share=self.ranks.share(config.batch_size),
        )
        ms.set_seed(config.seed + self.ranks.rank)  # each has its own dropout; the parameters will be rank 0's
        self.model = build_model(config)
        self.whole = WholeUtterance(self.model)
        self.step = TrainStep(config, self.model, Average(self.ranks.size))
        self.states = StateFiles(self.experiment.checkpoints)

    def run(self) -> None:
        """Trains up to `config.epochs` and leaves the experiment's files.

        Raises:
            InputError: the saved state is damaged, or of another model or data.
            Stopped: by SIGTERM or SIGINT; the state is saved.
        """
        self.progress = self._load()
        self.times = Times(self.experiment.times, len(self.progress.history))
        if self.ranks.is_first:
            save_config(self.config, self.experiment.config)
            self._write_facts()
        if len(self.progress.history) >= self.config.epochs:
            log.info("already trained for %d epochs; nothing to do", len(self.progress.history))
            return
        if self.progress.history or self.progress.step:
            log.info("going on after epoch %d, step %d", len(self.progress.history), self.progress.step)
        if self.max_samples is not None:
            log.info("%s", describe_validation(self.valid, self.max_samples))
        with StopSignals() as self.signals:
            while len(self.progress.history) < self.config.epochs:
                self._train()
                self._finish_epoch()

    def _load(self) -> Progress:
        """Gives rank 0's progress and parameters to all."""
        progress = self.states.load(self.step.state, self.data) if self.ranks.is_first else Progress()
        progress = Progress(**self.ranks.from_first(dataclasses.asdict(progress)))
        self.ranks.share_parameters(self.step.state)
        return progress

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 1."""
        return len(self.progress.history) + 1

    def _train(self) -> None:
        """Does what is left of the running epoch's steps.

        Before each step the ranks have waited for each other: MindSpore's collectives do not wait long.
        """
        self.model.set_train(True)
        progress, started, n_steps = self.progress, time.monotonic(), len(self.batches)
        with StepDisplay(self.config, epoch=self.epoch, n_steps=n_steps, done=progress.step) as display:
            for batch in self.batches.epoch(self.epoch, start=progress.step):
                rate = self._rate()
                result = self.step(batch, rate)
                progress.step += 1
                if result.applied:
                    progress.losses.append(result.loss)
                    progress.grad_norms.append(result.grad_norm)
                else:
                    progress.skipped += 1
                now = time.monotonic()
                self.times.add(train=now - started)
                display.show(result, rate, now - started)
                started = now
                if progress.step % self.config.save_every == 0 or progress.step == n_steps:
                    self._save()
                self._stop_if_told()

    def _rate(self) -> float:
        """The learning rate of the next step, or of the last when the epoch is through."""
        n_steps = len(self.batches)
        return learning_rate(
            self.config,
            step=(self.epoch - 1) * n_steps + min(self.progress.step, n_steps - 1),
            steps_per_epoch=n_steps,
            valid_losses=[past["valid_loss"] for past in self.progress.history],
        )

    def _finish_epoch(self) -> None:
        """Validates, and keeps the parameters if they are the best."""
        started = time.monotonic()
        valid_loss, valid_si_snri = self._validate()
        self.times.add(valid=time.monotonic() - started)
        past, losses = self.progress.history, self.progress.losses
        entry = {
            "epoch": self.epoch,
            "train_loss": float(np.mean(losses)) if losses else None,
            "valid_loss": valid_loss,
            "valid_si_snri": valid_si_snri,
            "lr": self._rate(),
            "grad_norm": float(np.mean(self.progress.grad_norms)) if losses else None,
            "skipped_steps": self.progress.skipped,
        }
        improved = all(valid_loss < before["valid_loss"] for before in past)
        self.progress = Progress(history=[*past, entry], data=self.data)
        self.times.next_epoch()
        if self.ranks.is_first:
            if improved:  # before the state: a kill in between repeats the validation and writes it again
                save_parameters(self.model, self.experiment.best)
            self._save()
            self._write_facts()
        _log_epoch(self._history()[-1], self.config.epochs, improved)
        self.ranks.wait()

    def _validate(self) -> tuple[float, float]:
        """Gives the mean loss and the mean SI-SNRi over the whole utterances of the validation set, in dB.

        The ranks take the next utterances together, one each, so that they can stop together.
        """
        rows, size = self.valid_rows, self.ranks.size
        own = score_utterances(self.whole, self.valid, rows[self.ranks.rank :: size])
        scores: list[tuple[float, float]] = []
        for _ in range(0, len(rows), size):
            scores += [score for score in self.ranks.gather(next(own, None)) if score is not None]
            self._stop_if_told()
        assert len(scores) == len(rows)
        reached, improvement = np.mean(scores, axis=0)
        return -float(reached), float(improvement)

    def _stop_if_told(self) -> None:
        received = [number for number in self.ranks.gather(self.signals.received) if number is not None]
        if not received:
            return
        self._save()
        stopped = Stopped(received[0])
        log.info(
            "%s at epoch %d, step %d of %d; the same command goes on from here",
            *(stopped, self.epoch, self.progress.step, len(self.batches)),
        )
        raise stopped

    def _save(self) -> None:
        """Saves the state; does nothing on any rank but 0."""
        if not self.ranks.is_first:
            return
        self.times.save()
        self.states.save(self.step.state, self.progress)

    def _history(self) -> list[dict[str, Any]]:
        """The history, with the times."""
        audio = len(self.batches) * self.config.batch_size * self.config.segment
        return [
            entry | {"seconds": round(total, 3), "audio_seconds_per_second": round(audio / train, 3) if train else None}
            for entry, train, total in zip(self.progress.history, self.times.train, self.times.total)
        ]

    def _write_facts(self) -> None:
        n_parameters = sum(parameter.size for parameter in self.model.trainable_params())
        self.experiment.write_facts(self._history(), n_parameters)


def describe_validation(valid: Manifest, max_samples: int) -> str:
    """Says which part of the validation set `cv_maxlen`, in samples, leaves and what it leaves out."""
    longer = [num_samples for num_samples in valid.num_samples if num_samples > max_samples]
    hours, left_out = (sum(samples) / valid.sample_rate / 3600 for samples in (valid.num_samples, longer))
    return (
        f"validation: {len(valid.keys) - len(longer)} of {len(valid.keys)} utterances; {len(longer)} are longer than "
        f"cv_maxlen ({max_samples / valid.sample_rate:g} s) and left out, {left_out:.2f} h of {hours:.2f} h"
    )


def _checked_set(path: Path, config: Config) -> Manifest:
    manifest = check_mindrecord(path)
    for key in ("sample_rate", "num_spks"):
        if getattr(manifest, key) != getattr(config, key):
            raise InputError(f"{path}: {key} is {getattr(manifest, key)}, the config says {getattr(config, key)}")
    return manifest


def _refuse_other_data(data: dict[str, str], ranks: Ranks) -> None:
    """Refuses sets that are not those of rank 0; machines may have them in folders of other names."""
    first = ranks.from_first(list(data.values()))
    for (folder, digest), expected in zip(data.items(), first):
        if digest != expected:
            raise InputError(f"{folder}: not the data that rank 0 has; all machines need the same")


def _log_epoch(entry: dict[str, Any], epochs: int, improved: bool) -> None:
    shown = {key: float("nan") if value is None else value for key, value in entry.items()}
    log.info(
        "epoch %d of %d: train loss %.2f, valid loss %.2f, valid SI-SNRi %.2f dB%s, gradient norm %.2f, lr %.2g, "
        "%.0f s, %.1f s of audio a second%s",
        *(shown["epoch"], epochs, shown["train_loss"], shown["valid_loss"], shown["valid_si_snri"]),
        *(" (best)" * improved, shown["grad_norm"], shown["lr"], shown["seconds"], shown["audio_seconds_per_second"]),
        f", {entry['skipped_steps']} steps skipped" * bool(entry["skipped_steps"]),
    )
