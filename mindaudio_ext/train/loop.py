"""Training: epochs of compiled steps, validation on whole utterances, the best parameters kept.

It goes on exactly where it stopped, also within an epoch: what a step does follows from the saved state alone. Several
ranks train as one does: each takes its share of every batch and of the validation set, rank 0 writes the files.
"""

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import mindspore as ms
from mindspore import nn

from mindaudio_ext.config import Config, arguments_of, refuse_other_training, save_config
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.dataset import TrainBatches
from mindaudio_ext.data.mindrecord import Manifest, check_mindrecord
from mindaudio_ext.data.rooms import Rooms
from mindaudio_ext.data.silence import describe_silent, name_some
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.models.evaluation import WholeUtterance
from mindaudio_ext.models.parameters import load_deeper, load_parameters, save_parameters
from mindaudio_ext.models.tasnet import TasNet, build_model
from mindaudio_ext.registry import AUGMENTATIONS, LOSSES
from mindaudio_ext.train.average import average_best
from mindaudio_ext.train.charts import Charts
from mindaudio_ext.train.display import StepDisplay, duration, log_epoch
from mindaudio_ext.train.distributed import AllReduceMean, Ranks, agreed_config
from mindaudio_ext.train.divergence import best_loss, find_explosion, is_exploded
from mindaudio_ext.train.estimate import describe_expected, expected_memory, free_memory, measure_step
from mindaudio_ext.train.facts import Times, write_facts
from mindaudio_ext.train.level import fit_decoder
from mindaudio_ext.train.schedule import auxiliary_weight, epochs_since_best, learning_rate
from mindaudio_ext.train.state import Progress, StateFiles
from mindaudio_ext.train.step import TrainStep
from mindaudio_ext.train.stop import Stopped, StopSignals
from mindaudio_ext.train.validate import (
    N_EXAMPLES,
    Score,
    mean_scores,
    rows_by_length,
    score_utterances,
    write_examples,
)

log = logging.getLogger(__name__)
_MEASURED = 32  # examples, by which the decoder of a model to begin with is fitted


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
            self.experiment.require_own()
            if self.experiment.is_trained:
                refuse_other_training(self.experiment.config_file, config)
        self.valid, self.train = _checked_set(valid_dir, config), _checked_set(train_dir, config)
        self.data = {str(manifest.path): manifest.source for manifest in (self.train, self.valid)}
        _refuse_other_data(self.data, self.ranks)
        self.max_samples = None if config.cv_maxlen is None else round(config.cv_maxlen * config.sample_rate)
        self.valid_rows = rows_by_length(self.valid, shortest=config.kernel_size, longest=self.max_samples)
        if not self.valid_rows:
            longest = "" if config.cv_maxlen is None else f" and at most cv_maxlen ({config.cv_maxlen} s)"
            raise InputError(
                f"{valid_dir}: no utterance has at least kernel_size ({config.kernel_size}) samples{longest}"
            )
        self.takes_silence = getattr(LOSSES.get(config.loss), "silent_references", False)
        share = self.ranks.share(config.batch_size)
        self.n_crops = share.stop - share.start
        self.batches = TrainBatches(
            self.train,
            segment=round(config.segment * config.sample_rate),
            batch_size=config.batch_size,
            seed=config.seed,
            dynamic_mixing=config.dynamic_mixing,
            speed_perturb=config.speed_perturb,
            augmentation=AUGMENTATIONS.get(config.augmentation)(**arguments_of(config, "augmentation_conf")),
            share=share,
            keep_silent=self.takes_silence,
            conversations=asked_conversations(config),
            conversation_speakers=config.conversation_speakers,
            conversation_mixtures=config.conversation_mixtures,
            conversation_noise=config.conversation_noise,
            conversation_snr=tuple(config.conversation_snr),
            conversation_rooms=Rooms(tuple(config.conversation_rt60)) if config.conversation_rt60 else None,
        )
        self.states = StateFiles(self.experiment.checkpoints)
        self.progress, self.times = Progress(), Times(self.experiment.times, 0)  # what is there is loaded by `run`
        self.signals = StopSignals()
        self.model = build_model(config) if self.states.found() else self._initial_model()
        self.whole = WholeUtterance(self.model)
        self.step = TrainStep(config, self.model, AllReduceMean(self.ranks.size, self.n_crops / config.batch_size))

    def run(self) -> None:
        """Trains up to `config.epochs` and leaves the experiment's files.

        Raises:
            InputError: the saved state is damaged, or of another model or data; or the training exploded more often
                than `max_rollbacks`.
            Stopped: by SIGTERM or SIGINT; the state is saved.
        """
        self.progress = self._load()
        self.times = Times(self.experiment.times, len(self.progress.history))
        if self.ranks.is_first:
            save_config(self.config, self.experiment.config_file)
            self._write_facts()
        if self._is_finished():
            log.info("already trained for %d epochs; nothing to do", len(self.progress.history))
            return
        if self.progress.history or self.progress.step:
            log.info("going on after epoch %d, step %d", len(self.progress.history), self.progress.step)
        if self.max_samples is not None:
            log.info("%s", describe_validation(self.valid, self.max_samples))
        for line in describe_unfit(self.train, self.valid, self.config.kernel_size, keep_silent=self.takes_silence):
            log.warning("%s", line)
        self._estimate()
        charted = self.experiment if self.ranks.is_first else None
        with self.signals, Charts(charted) as charts:
            while not self._is_finished():
                self._train(charts)
                self._finish_epoch(charts)
        if len(self.progress.history) < self.config.epochs:
            log.info("no better validation for %d epochs: training ends early", self.config.early_stop)

    def _load(self) -> Progress:
        """Returns rank 0's progress and parameters to all."""
        progress = self.states.load(self.step.state, self.data) if self.ranks.is_first else Progress()
        progress = Progress(**self.ranks.broadcast(dataclasses.asdict(progress)))
        self.ranks.broadcast_parameters(self.step.state)
        return progress

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 1."""
        return len(self.progress.history) + 1

    def _is_finished(self) -> bool:
        history, patience = self.progress.history, self.config.early_stop
        waited = epochs_since_best([past["valid_loss"] for past in history])
        return len(history) >= self.config.epochs or (patience is not None and waited >= patience)

    def _initial_model(self) -> nn.Cell:
        """Makes the model a training begins with, the same each time; it is rank 0's that counts."""
        ms.set_seed(self.config.seed)
        model = build_model(self.config)
        if self.config.init_from and self.ranks.is_first:
            if self.config.init_blocks:
                load_deeper(model, self.config.init_from, self.config.init_blocks)
            else:
                load_parameters(model, self.config.init_from)
            if self.takes_silence and isinstance(model, TasNet):  # by a loss that asks for levels
                self._fit_decoder(model)
        return model

    def _fit_decoder(self, model: TasNet) -> None:
        """Brings what another loss has trained to the sources' levels and signs."""
        gain = fit_decoder(model, itertools.islice(self.batches.epoch(1), math.ceil(_MEASURED / self.n_crops)))
        if gain > 0:
            log.info(
                "the decoder of %s gets other filters, by least squares: its estimates were %.1f dB farther from the "
                "sources, by their levels or signs",
                self.config.init_from,
                gain,
            )

    def _estimate(self) -> None:
        """Says what the rest will cost, by a step that is undone."""
        expected, free = expected_memory(self.config, self.n_crops // self.config.accum_steps), free_memory()
        if expected is not None:
            said = describe_expected(expected, self.config)
            log.info("training takes %s of memory a process; %.1f GiB are free", said, free)
            if expected > free:
                log.warning("that is more than is free: recompute, a larger accum_steps or a smaller batch_size help")
        n_steps = len(self.batches) * (self.config.epochs - len(self.progress.history)) - self.progress.step
        seconds, memory = measure_step(self.step, self.model, self.config, self.n_crops)
        log.info(
            "a step takes %.2f s; %d are left, %s without validation; %.2f GiB of memory in use at most so far",
            *(seconds, n_steps, duration(n_steps * seconds), memory),
        )

    def _train(self, charts: Charts) -> None:
        """Does what is left of the running epoch's steps.

        Before each step the ranks have waited for each other: MindSpore's collectives do not wait long.
        """
        self.model.set_train(True)
        progress, n_steps = self.progress, len(self.batches)
        started = asked = time.monotonic()
        with StepDisplay(self.config, epoch=self.epoch, n_steps=n_steps, done=progress.step) as display:
            for batch in self.batches.epoch(self.epoch, start=progress.step):
                waited = time.monotonic() - asked
                rate = self._rate()
                if self.step.has_auxiliary:
                    self.step.weigh_auxiliary(self._at_step(auxiliary_weight))
                result = self.step(batch, rate)
                progress.count(result)
                now = time.monotonic()
                self.times.add(train=now - started, waiting=waited)
                display.show(result, rate, now - started)
                charts.add_step((self.epoch - 1) * n_steps + progress.step, result, rate)
                started = now
                if reason := find_explosion(self.config, progress):
                    self._roll_back(reason)
                if progress.step % self.config.save_every == 0 or progress.step == n_steps:
                    self._save()
                stop = self._stop_requested()
                if stop is not None:
                    self._stop(stop)
                asked = time.monotonic()

    def _rate(self) -> float:
        """The learning rate of the next step, or of the last when the epoch is through."""
        return 0.5**self.progress.rollbacks * self._at_step(learning_rate)

    def _at_step(self, schedule: Callable[..., float]) -> float:
        n_steps = len(self.batches)
        return schedule(
            self.config,
            step=(self.epoch - 1) * n_steps + min(self.progress.step, n_steps - 1),
            steps_per_epoch=n_steps,
            valid_losses=[past["valid_loss"] for past in self.progress.history],
        )

    def _finish_epoch(self, charts: Charts) -> None:
        """Validates, keeps the parameters if they are the best, and saves."""
        started = time.monotonic()
        self.ranks.broadcast_parameters(self.step.statistics)  # each rank has its own, of its share of the batches
        with self.step.ema_weights():
            scores, stop = self._validate()
            if stop is None:
                self.times.add(valid=time.monotonic() - started)
                self._end_epoch(scores)
        if stop is not None:
            self._stop(stop)
        *past, entry = self.progress.history
        log_epoch(self._history()[-1], self.config.epochs, best=entry["valid_loss"] < best_loss(past))
        if is_exploded(self.config, valid_loss=entry["valid_loss"], history=past):
            self._roll_back(f"the validation loss is {entry['valid_loss']:.2f} dB, the best was {best_loss(past):.2f}")
        self._save()
        if self.ranks.is_first:
            self._write_facts()
            charts.add_epoch(self._history())
        self.ranks.wait()

    def _validate(self) -> tuple[list[Score], int | None]:
        """Returns the scores of the validation set's whole utterances, and the signal that ended it.

        The ranks take the next utterances together, one each, so that they can stop together.
        """
        rows, size = self.valid_rows, self.ranks.size
        criterion = self.step.criterion if self.takes_silence else None
        own = score_utterances(self.whole, self.valid, rows[self.ranks.rank :: size], criterion)
        scores: list[Score] = []
        for _ in range(0, len(rows), size):
            scores += [Score(*score) for score in self.ranks.gather(next(own, None)) if score is not None]
            stop = self._stop_requested()
            if stop is not None:
                return scores, stop
        assert len(scores) == len(rows)
        return scores, None

    def _end_epoch(self, scores: Sequence[Score]) -> None:
        """Begins the next epoch, and writes what is to be kept of the model before the state that says so."""
        valid_loss, valid_si_snri = mean_scores(scores)
        if silent := sum(score.n_silent for score in scores):
            log.info(
                "validation: %d of %d sources are silent and not scored",
                silent,
                silent + sum(s.n_scored for s in scores),
            )
        past, rate = self.progress.history, self._rate()
        self.progress = self.progress.next_epoch(valid_loss=valid_loss, valid_si_snri=valid_si_snri, lr=rate)
        self.times.next_epoch()
        if not self.ranks.is_first:
            return
        if valid_loss < best_loss(past):
            save_parameters(self.model, self.experiment.checkpoint())
        if self.config.average_best > 1:
            folder = self.experiment.checkpoints
            average_best(self.model, self.progress.history, n_best=self.config.average_best, folder=folder)
        epoch, every = len(self.progress.history), self.config.examples_every
        if every and epoch % every == 0:
            rows = sorted(self.valid_rows)[:N_EXAMPLES]
            folder, at_level = self.experiment.examples(epoch), self.config.has_levels
            write_examples(self.whole, self.valid, rows, folder, at_level=at_level)

    def _roll_back(self, reason: str) -> None:
        """Returns to the best parameters, or the initial ones, with half the rate."""
        best = min(self.progress.history, key=lambda entry: entry["valid_loss"], default=None)
        place = "the initial parameters" if best is None else f"the parameters of epoch {best['epoch']}"
        if self.progress.rollbacks == self.config.max_rollbacks:
            raise InputError(
                f"epoch {self.epoch}, step {self.progress.step}: {reason}, after {self.progress.rollbacks} rollbacks "
                "(max_rollbacks): training ends. Begin anew with a lower lr or clip_norm"
                + (f"; {self.experiment.checkpoint('best')} has {place}" if best else "")
            )
        source = self._initial_model() if best is None else build_model(self.config)
        if best is not None and self.ranks.is_first:
            load_parameters(source, self.experiment.checkpoint())
        self.step.restart(source)
        self.ranks.broadcast_parameters(self.step.state)
        self.progress.note_rollback()
        log.warning(
            "epoch %d, step %d: %s; back to %s with half the rate (%d of %d times)",
            *(self.epoch, self.progress.step, reason, place, self.progress.rollbacks, self.config.max_rollbacks),
        )

    def _stop_requested(self) -> int | None:
        """The signal to stop by that any rank has received."""
        received = [number for number in self.ranks.gather(self.signals.received) if number is not None]
        return received[0] if received else None

    def _stop(self, number: int) -> NoReturn:
        self._save()
        stopped = Stopped(number)
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
        """The history, with the times; the first trainings have them in their history, and in no other file."""
        audio = len(self.batches) * self.config.batch_size * self.config.segment
        of_epochs = zip(self.progress.history, self.times.train, self.times.waiting, self.times.total)
        return [
            entry
            | {
                "seconds": round(total, 3),
                "audio_seconds_per_second": round(audio / train, 3) if train else None,
                "waiting_share": round(waiting / train, 5) if train and not math.isnan(waiting) else None,
            }
            | entry
            for entry, train, waiting, total in of_epochs
        ]

    def _write_facts(self) -> None:
        n_parameters = sum(parameter.size for parameter in self.model.trainable_params())
        write_facts(self.experiment, self._history(), n_parameters=n_parameters, n_devices=self.ranks.size)


def asked_conversations(config: Config) -> Statistics | None:
    """Returns what the conversations to train on are to be like; None when there are none."""
    asked = Statistics(
        silence=config.conversation_silence,
        overlap=config.conversation_overlap,
        mean_pause=config.conversation_mean_pause,
        mean_overlap=config.conversation_mean_overlap,
    )
    return asked if config.conversations else None


def describe_validation(valid: Manifest, max_samples: int) -> str:
    """Says which part of the validation set `cv_maxlen`, in samples, leaves and what it leaves out."""
    longer = [num_samples for num_samples in valid.num_samples if num_samples > max_samples]
    hours, left_out = (sum(samples) / valid.sample_rate / 3600 for samples in (valid.num_samples, longer))
    return (
        f"validation: {len(valid.keys) - len(longer)} of {len(valid.keys)} utterances; {len(longer)} are longer than "
        f"cv_maxlen ({max_samples / valid.sample_rate:g} s) and left out, {left_out:.2f} h of {hours:.2f} h"
    )


def describe_unfit(train: Manifest, valid: Manifest, kernel_size: int, *, keep_silent: bool = False) -> list[str]:
    """Says which mixtures cannot be trained on or scored, as they are, and what is done about it."""
    lines = []
    if train.silent and not keep_silent:
        lines.append(f"{train.path}: {describe_silent(train.silent)}; crops without one are trained on in their place")
    if valid.silent:
        lines.append(f"{valid.path}: {describe_silent(valid.silent)}; they are not scored")
    if short := valid.shorter_than(kernel_size):
        lines.append(
            f"{valid.path}: {len(short)} of {len(valid.keys)} utterances are shorter than a filter (kernel_size, "
            f"{kernel_size} samples) and left out: {name_some(short)}"
        )
    return lines


def _checked_set(path: Path, config: Config) -> Manifest:
    manifest = check_mindrecord(path)
    for key in ("sample_rate", "num_spks"):
        if getattr(manifest, key) != getattr(config, key):
            raise InputError(f"{path}: {key} is {getattr(manifest, key)}, the config says {getattr(config, key)}")
    return manifest


def _refuse_other_data(data: dict[str, str], ranks: Ranks) -> None:
    """Refuses sets that are not those of rank 0; machines may have them in folders of other names."""
    first = ranks.broadcast(list(data.values()))
    for (folder, digest), expected in zip(data.items(), first):
        if digest != expected:
            raise InputError(f"{folder}: not the data that rank 0 has; all machines need the same")
