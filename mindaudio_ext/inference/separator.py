"""A trained model as a function of arrays: a mixture in, estimates out. MindSpore is imported when one is loaded."""

import functools
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindaudio_ext.config import MOST_SHIFTS, Config
from mindaudio_ext.device import one_at_a_time, set_up_device
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.hub.model import public_model
from mindaudio_ext.hub.name import is_hub_name
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.chunks import Join, Joiner, cut, take
from mindaudio_ext.inference.level import fit_level, limit_peak, loudest
from mindaudio_ext.inference.link import linked
from mindaudio_ext.inference.models import built_in
from mindaudio_ext.inference.recording import as_samples, of_length, require_channel, require_rate, resampled, to_mono
from mindaudio_ext.inference.shifts import delayed, mean_of, starts_of

if TYPE_CHECKING:
    from mindaudio_ext.models.streaming import StreamingModel
    from mindaudio_ext.models.tasnet import TasNet

_DEFAULT, _DEFAULT_STREAMING = "dprnn_2spk_8k_conversation", "dprnn_2spk_8k_causal"  # of those in the package


class Separator:
    """Separates mixtures with a trained model: `separate` any recording, a call one whole mixture at the model's rate.

    One graph with a free length serves whole mixtures: its estimates are bit-equal to those of a graph for the very
    length. Threads may share a separator, and have several: one of them computes at a time.

    Args:
        model: its parameters are loaded.
        config: what the model was built from.
        shifts: how often a mixture is separated, each time a little later; None for the config's.

    Raises:
        InputError: the shifts are not 1 to 16.

    Attributes:
        model, config: as given.
        checkpoint: where the parameters are from; None when unknown.
        shifts: how often a mixture is separated.
    """

    @one_at_a_time
    def __init__(
        self, model: "TasNet", config: Config, checkpoint: Path | None = None, shifts: int | None = None
    ) -> None:
        from mindaudio_ext.models.evaluation import BatchRunner, WholeUtterance

        self.model, self.config, self.checkpoint = model, config, checkpoint
        self.shifts = config.shifts if shifts is None else shifts
        if not 1 <= self.shifts <= MOST_SHIFTS:
            raise InputError(f"shifts: must be 1 to {MOST_SHIFTS}, got {self.shifts}")
        self._whole, self._batch = WholeUtterance(model), BatchRunner(model)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike | None = None,
        *,
        device_target: str | None = None,
        num_threads: int | None = None,
        shifts: int | None = None,
        num_spks: int | None = None,
    ) -> "Separator":
        """Loads what `find_model` finds, by default dprnn_2spk_8k_conversation; the rest is as in `from_expdir`.

        Raises:
            InputError: also when the model cannot separate `num_spks` people; see `require_num_spks`.
        """
        expdir, checkpoint = find_model(model, device_target=device_target, num_spks=num_spks)
        if num_spks is not None:
            require_num_spks(num_spks, Experiment(expdir).read_config(), model=str(model or expdir.name))
        return cls.from_expdir(expdir, checkpoint, device_target=device_target, num_threads=num_threads, shifts=shifts)

    @classmethod
    @one_at_a_time
    def from_expdir(
        cls,
        expdir: str | os.PathLike,
        model_path: str | os.PathLike | None = None,
        *,
        device_target: str | None = None,
        device_id: int | None = None,
        num_threads: int | None = None,
        shifts: int | None = None,
    ) -> "Separator":
        """Loads the model of an experiment and sets up its device.

        Args:
            expdir: the experiment's folder.
            model_path: a checkpoint; by default that of `Experiment.find_checkpoint`.
            device_target: instead of the config's.
            device_id: the card, instead of the config's.
            num_threads: CPU threads; None leaves them to MindSpore.
            shifts: as for the class.

        Raises:
            InputError: there is no model, its files do not belong together, or the device is not there.
        """
        config = Experiment(Path(expdir)).read_config()
        checkpoint = Experiment(Path(expdir)).find_checkpoint(config, model_path)
        card = config.device_id if device_id is None else device_id
        set_up_device(device_target or config.device_target, card, num_threads)
        from mindaudio_ext.models.parameters import load_parameters
        from mindaudio_ext.models.tasnet import build_model

        model = build_model(config)
        load_parameters(model, checkpoint)
        return cls(model, config, checkpoint, shifts)

    @functools.cached_property
    @one_at_a_time
    def streaming_model(self) -> "StreamingModel":
        """The model hop by hop, compiled once for all streams; raises InputError when it looks ahead."""
        from mindaudio_ext.models.streaming import StreamingModel

        return StreamingModel(self.model)

    def __call__(self, mixture: np.ndarray, *, name: str = "mixture") -> np.ndarray:
        """Returns estimates ready to be heard and written: at the mixture's level, within 16 bits.

        Args:
            mixture: float32 [T], full scale 1, at the config's `sample_rate`.
            name: what errors call it.

        Returns:
            Estimates, float32 [C, T].

        Raises:
            InputError: the mixture is too short, or the model is broken.
        """
        return limit_peak(self.levelled(self.estimate(mixture, name=name), mixture))

    def separate(
        self,
        audio: np.ndarray,
        rate: int,
        *,
        channel: int | None = None,
        chunking: Chunking | None = None,
        num_spks: int | None = None,
        name: str = "audio",
    ) -> np.ndarray:
        """Separates a recording of any rate, length and number of channels.

        Args:
            audio: [T], or [T, channels] as soundfile reads it; floats of full scale 1, or int8, int16 or int32. What
                has more columns than rows is taken for torchaudio's [channels, T], with a warning.
            rate: Hz, of the audio and of the estimates.
            channel: which one to separate, from 1; None for the mean of all.
            chunking: how a long recording is cut; None for the defaults.
            num_spks: people in it, C; None for as many as the model has outputs. See `require_num_spks`.
            name: what errors call it.

        Returns:
            Estimates, float32 [C, T], at the mixture's level; peaks are at most 1.

        Raises:
            InputError: the audio is empty, too short, not finite or of another form, the model is broken, or it cannot
                give so many voices.
        """
        if num_spks is not None:
            require_num_spks(num_spks, self.config, model="this model")
        samples = as_samples(audio, name=name)
        if samples.size == 0:
            raise InputError(f"{name}: expected [T] or [T, channels] with samples, got shape {samples.shape}")
        if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
            text = f"{name}: the shape {samples.shape} is taken for [channels, T]; [T, channels] is expected"
            warnings.warn(text, stacklevel=2)
            samples = samples.T
        require_rate(rate, name=name)
        samples = samples.reshape(len(samples), -1)
        require_channel(channel, samples.shape[1], name=name)
        mixture = to_mono(samples, channel)
        blocks = resampled([mixture], rate, self.config.sample_rate)
        blocks = (block.T for block in self.separate_blocks(blocks, chunking=chunking or Chunking(), name=name))
        estimates = list(of_length(resampled(blocks, self.config.sample_rate, rate), len(mixture)))  # [n, C] each
        voices = np.ascontiguousarray(np.concatenate(estimates).T)
        return limit_peak(voices[loudest(np.square(voices).sum(axis=1), num_spks or len(voices))])

    def separate_blocks(
        self,
        blocks: Iterable[np.ndarray],
        *,
        chunking: Chunking,
        name: str,
        joins: list[Join] | None = None,
        scratch: str | None = None,
    ) -> Iterator[np.ndarray]:
        """Separates a signal at the model's rate that comes block by block.

        The chunks of a model for conversations are put in order by who speaks, too, over the whole signal.

        Args:
            blocks: float32 [n] each.
            chunking: lengths.
            name: what errors call the signal.
            joins: gets an entry for each pair of chunks.
            scratch: a folder for estimates that wait; None for the system's.

        Yields:
            Estimates, float32 [C, n], at the mixture's level; a peak may be over 1.

        Raises:
            InputError: the signal is too short, or the model is broken.
        """
        rate = self.config.sample_rate
        size, overlap = round(chunking.chunk * rate), max(1, round(chunking.overlap * rate))
        blocks = iter(blocks)
        start, is_whole = take(blocks, round(chunking.longest_whole * rate))
        joins, separated = [] if joins is None else joins, self._separate_whole(start, name)
        if not is_whole:
            chunks = cut(itertools.chain([start], blocks), size, size - overlap)
            separated = self._separate_chunks(chunks, size, chunking.batch, name=name)
        if self.config.conversations:
            yield from linked(separated, sample_rate=rate, joins=joins, scratch=scratch)
            return
        joiner = Joiner(joins)
        for position, estimates in separated:
            yield joiner.add(position, estimates)
        yield joiner.rest()

    def _separate_whole(self, mixture: np.ndarray, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yields 0 and the estimates of all of it."""
        yield 0, self.separate_batch(mixture[None], name=name)[0]

    def _separate_chunks(
        self, chunks: Iterator[tuple[int, np.ndarray]], size: int, n_at_once: int, *, name: str
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the first sample and the estimates of each chunk."""
        while group := list(itertools.islice(chunks, n_at_once)):
            batch = np.zeros((n_at_once, size), np.float32)  # one shape for all, also for the last few chunks
            batch[: len(group)] = [chunk for _, chunk in group]
            for (position, _), estimates in zip(group, self.separate_batch(batch, name=name)):
                yield position, estimates

    def separate_batch(self, mixtures: np.ndarray, *, name: str) -> np.ndarray:
        """Returns estimates [B, C, T] of mixtures [B, T], each at the level that it has in its mixture."""
        estimates = self._estimate(mixtures, name)
        return np.stack([self.levelled(e, mixture) for e, mixture in zip(estimates, mixtures)])

    def levelled(self, estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
        """Returns estimates [C, T] at the level in their mixture [T]; of some models they have it already."""
        return estimates if self.config.has_levels else fit_level(estimates=estimates, mixture=mixture)

    def estimate(self, mixture: np.ndarray, *, name: str = "mixture") -> np.ndarray:
        """Returns the mean of the model's outputs over the shifts, [C, T], at any level; otherwise as `__call__`."""
        return self._estimate(mixture[None], name)[0]

    def _estimate(self, mixtures: np.ndarray, name: str) -> np.ndarray:
        """Returns the mean over the shifts, [B, C, T], at any level."""
        require_length(mixtures.shape[1], self.config, name=name)
        stride = self.config.stride or self.config.kernel_size // 2
        starts = starts_of(self.shifts, stride=stride, sample_rate=self.config.sample_rate)
        length = mixtures.shape[1]
        shifted = (self._run(delayed(mixtures, start, room=starts[-1]), name) for start in starts)
        return mean_of(estimates[..., start : start + length] for start, estimates in zip(starts, shifted))

    def _run(self, mixtures: np.ndarray, name: str) -> np.ndarray:
        """Returns what the network gives, [B, C, T]; a mixture by itself shares its graph with all lengths."""
        estimates = self._whole.separate(mixtures[0])[None] if len(mixtures) == 1 else self._batch.separate(mixtures)
        if not np.isfinite(estimates).all():
            raise InputError(f"{name}: the model {self.checkpoint or ''} gives NaN or infinity; train it again")
        return estimates


def find_model(
    model: str | os.PathLike | None = None,
    *,
    streaming: bool = False,
    device_target: str | None = None,
    num_spks: int | None = None,
) -> tuple[Path, Path | None]:
    """Finds a model by what a user calls it.

    Args:
        model: an experiment's folder, a checkpoint in one or beside its config.yaml, the name of a built-in model, or
            hf:ORG/NAME[@REVISION], a public model; None for dprnn_2spk_8k_conversation, or if `streaming`
            for dprnn_2spk_8k_causal.
        streaming: whether it is to separate a stream.
        device_target: what MindSpore is set up for if a public model has to be converted.
        num_spks: people in the recordings. Without `model` it is the first in the package that can separate so many:
            the default, or, if not `streaming`, another.

    Returns:
        The experiment's folder, and the checkpoint when that was given.

    Raises:
        InputError: there is none of that name, or none in the package for so many. A `model` is not checked.
    """
    in_the_package = built_in()
    if model is None:
        default = _DEFAULT_STREAMING if streaming else _DEFAULT
        if default not in in_the_package:
            raise InputError(f"the built-in model {default} is not in the package; name one with --model exp/NAME")
        return in_the_package[_for_so_many(in_the_package, default, streaming, num_spks)], None
    if is_hub_name(model):
        return public_model(str(model), device_target=device_target), None
    path = Path(model)
    if path.is_file():
        for folder in (path.parent, path.parent.parent):
            if Experiment(folder).has_config:
                return folder, path
        raise InputError(f"{path}: no config.yaml beside this checkpoint or one folder up; it says what the model is")
    return (path, None) if path.is_dir() or str(model) not in in_the_package else (in_the_package[str(model)], None)


def _for_so_many(in_the_package: dict[str, Path], default: str, streaming: bool, num_spks: int | None) -> str:
    """Returns the name of the default model, or of another in the package that can separate so many people."""
    others = [] if streaming else [name for name in in_the_package if name != default]
    told = []
    for name in (default, *others):
        config = Experiment(in_the_package[name]).read_config()
        told.append(f"{name} gives {config.num_spks}")
        if num_spks is None or can_give(num_spks, config):
            return name
    raise InputError(
        f"num_spks {num_spks}: no model in the package does that ({', '.join(told)}); name one with --model"
    )


def can_give(num_spks: int, config: Config) -> bool:
    """Tells whether a model can separate so many people. See `require_num_spks`."""
    if num_spks >= config.num_spks:
        return num_spks == config.num_spks
    from mindaudio_ext.registry import LOSSES

    return getattr(LOSSES.get(config.loss), "silent_references", False)


def require_num_spks(num_spks: int, config: Config, *, model: str) -> None:
    """Raises InputError when a model cannot separate so many people.

    A model gives a voice for each of its outputs. Of fewer people its loudest outputs are taken, if it was trained with
    sources that may be silent (`loss: pit_thresholded_snr`). Any other model shares one voice out among all outputs, so
    that leaving one out would lose a part of it.
    """
    if can_give(num_spks, config):
        return
    why = "" if num_spks > config.num_spks else ", never fewer: all of them spoke in what it was trained on"
    raise InputError(f"num_spks {num_spks}: {model} gives {config.num_spks} voices{why}")


def require_length(n_samples: int, config: Config, *, name: str) -> None:
    """Raises InputError when a mixture of `n_samples` is shorter than one filter of the model."""
    if n_samples < config.kernel_size:
        needed = f"at least {config.kernel_size} at {config.sample_rate} Hz"
        raise InputError(f"{name}: has {n_samples} samples; the model needs {needed}")
