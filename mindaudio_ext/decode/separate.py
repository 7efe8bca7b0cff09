"""A trained model as a function of arrays: a mixture in, estimates out. MindSpore is imported when one is loaded."""

import functools
import numbers
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindaudio_ext.config import MOST_SHIFTS, Config, read_resolved
from mindaudio_ext.data.audio import FULL_SCALE
from mindaudio_ext.decode.chunking import Chunking
from mindaudio_ext.decode.long_form import Join, separate_blocks
from mindaudio_ext.decode.recording import of_length, require_channel, resampled, to_mono
from mindaudio_ext.decode.shifts import mean_over_shifts, starts_of
from mindaudio_ext.device import set_up_device
from mindaudio_ext.errors import InputError

if TYPE_CHECKING:
    from mindaudio_ext.models.streaming import StreamingModel
    from mindaudio_ext.models.tasnet import TasNet

LARGEST = (FULL_SCALE - 1) / FULL_SCALE  # what 16 bits can hold, of full scale 1
PRETRAINED = Path(__file__).parents[1] / "pretrained"  # experiments that come with the package, by name
_DEFAULT, _DEFAULT_STREAMING = "dprnn_2spk_8k", "dprnn_2spk_8k_causal"  # of these


class Separator:
    """Separates mixtures with a trained model: `separate` any recording, a call one whole mixture at the model's rate.

    One graph with a free length serves whole mixtures: its estimates are bit-equal to those of a graph for the very
    length.

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

    def __init__(
        self, model: "TasNet", config: Config, checkpoint: Path | None = None, shifts: int | None = None
    ) -> None:
        from mindaudio_ext.models.whole import Batch, WholeUtterance

        self.model, self.config, self.checkpoint = model, config, checkpoint
        self.shifts = config.shifts if shifts is None else shifts
        if not 1 <= self.shifts <= MOST_SHIFTS:
            raise InputError(f"shifts: must be 1 to {MOST_SHIFTS}, got {self.shifts}")
        self._whole, self._batch = WholeUtterance(model), Batch(model)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike | None = None,
        *,
        device_target: str | None = None,
        num_threads: int | None = None,
        shifts: int | None = None,
    ) -> "Separator":
        """Loads what `find_model` finds, by default dprnn_2spk_8k; the rest is as in `from_expdir`."""
        expdir, checkpoint = find_model(model)
        return cls.from_expdir(expdir, checkpoint, device_target=device_target, num_threads=num_threads, shifts=shifts)

    @classmethod
    def from_expdir(
        cls,
        expdir: str | os.PathLike,
        model_path: str | os.PathLike | None = None,
        *,
        device_target: str | None = None,
        n_devices_on: int = 0,
        num_threads: int | None = None,
        shifts: int | None = None,
    ) -> "Separator":
        """Loads the model of an experiment and sets up its device.

        Args:
            expdir: the experiment's folder.
            model_path: a checkpoint; when None the config's `model_path`, or else the experiment's best.
            device_target: instead of the config's.
            n_devices_on: how far the card is after the config's `device_id`.
            num_threads: CPU threads; None leaves them to MindSpore.
            shifts: as for the class.

        Raises:
            InputError: there is no model, its files do not belong together, or the device is not there.
        """
        config = read_experiment(expdir)
        checkpoint = find_checkpoint(expdir, config, model_path)
        set_up_device(device_target or config.device_target, config.device_id + n_devices_on, num_threads)
        from mindaudio_ext.models.checkpoint import load_parameters
        from mindaudio_ext.models.tasnet import build_model

        model = build_model(config)
        load_parameters(model, checkpoint)
        return cls(model, config, checkpoint, shifts)

    @functools.cached_property
    def streaming_model(self) -> "StreamingModel":
        """The model hop by hop, compiled once for all streams; raises InputError when it looks ahead."""
        from mindaudio_ext.models.streaming import StreamingModel

        return StreamingModel(self.model)

    def __call__(self, mixture: np.ndarray, *, name: str = "mixture") -> np.ndarray:
        """Gives estimates ready to be heard and written: at the mixture's level, within 16 bits.

        Args:
            mixture: float32 [T], full scale 1, at the config's `sample_rate`.
            name: what errors call it.

        Returns:
            Estimates, float32 [C, T].

        Raises:
            InputError: the mixture is too short, or the model is broken.
        """
        return limit_peak(fit_level(estimates=self.estimate(mixture, name=name), mixture=mixture))

    def separate(
        self,
        audio: np.ndarray,
        rate: int,
        *,
        channel: int | None = None,
        chunking: Chunking | None = None,
        name: str = "audio",
    ) -> np.ndarray:
        """Separates a recording of any rate, length and number of channels.

        Args:
            audio: [T], or [T, channels] as soundfile reads it; floats of full scale 1, or integers.
            rate: Hz, of the audio and of the estimates.
            channel: which one to separate, from 1; None for the mean of all.
            chunking: how a long recording is cut; None for the defaults.
            name: what errors call it.

        Returns:
            Estimates, float32 [C, T], at the mixture's level; peaks are at most 1.

        Raises:
            InputError: the audio is empty, too short, not finite or of another form, or the model is broken.
        """
        mixture = to_mono(*_checked_audio(audio, rate, channel, name))
        blocks = resampled([mixture], rate, self.config.sample_rate)
        blocks = (block.T for block in self.separate_blocks(blocks, chunking=chunking or Chunking(), name=name))
        estimates = list(of_length(resampled(blocks, self.config.sample_rate, rate), len(mixture)))  # [n, C] each
        return limit_peak(np.ascontiguousarray(np.concatenate(estimates).T))

    def separate_blocks(
        self, blocks: Iterable[np.ndarray], *, chunking: Chunking, name: str, joins: list[Join] | None = None
    ) -> Iterator[np.ndarray]:
        """Separates a signal at the model's rate that comes block by block.

        Args:
            blocks: float32 [n] each.
            chunking: lengths.
            name: what errors call the signal.
            joins: gets an entry for each pair of chunks.

        Yields:
            Estimates, float32 [C, n], at the mixture's level; a peak may be over 1.

        Raises:
            InputError: the signal is too short, or the model is broken.
        """

        def separate(mixtures: np.ndarray) -> np.ndarray:
            estimates = self._estimate(mixtures, name)
            return np.stack([fit_level(estimates=e, mixture=mixture) for e, mixture in zip(estimates, mixtures)])

        rate = self.config.sample_rate
        joins = [] if joins is None else joins
        yield from separate_blocks(separate, blocks, sample_rate=rate, chunking=chunking, joins=joins)

    def estimate(self, mixture: np.ndarray, *, name: str = "mixture") -> np.ndarray:
        """Gives the mean of the model's outputs over the shifts, [C, T], at any level; the rest is as in `__call__`."""
        return self._estimate(mixture[None], name)[0]

    def _estimate(self, mixtures: np.ndarray, name: str) -> np.ndarray:
        """Gives the mean over the shifts, [B, C, T]; a mixture by itself shares its graph with all lengths."""
        require_length(mixtures.shape[1], self.config, name=name)

        def separate(shifted: np.ndarray) -> np.ndarray:
            shifted = np.ascontiguousarray(shifted, np.float32)
            estimates = self._whole.separate(shifted[0])[None] if len(shifted) == 1 else self._batch.separate(shifted)
            if not np.isfinite(estimates).all():
                raise InputError(f"{name}: the model {self.checkpoint or ''} gives NaN or infinity; train it again")
            return estimates

        stride = self.config.stride or self.config.kernel_size // 2
        starts = starts_of(self.shifts, stride=stride, sample_rate=self.config.sample_rate)
        return mean_over_shifts(separate, mixtures, starts)


def find_model(model: str | os.PathLike | None = None, *, streaming: bool = False) -> tuple[Path, Path | None]:
    """Finds a model by what a user calls it.

    Args:
        model: an experiment's folder, a checkpoint in one or beside its config.yaml, or the name of a built-in model;
            None for dprnn_2spk_8k, or if `streaming` for dprnn_2spk_8k_causal.
        streaming: whether it is to separate a stream.

    Returns:
        The experiment's folder, and the checkpoint when that was given.

    Raises:
        InputError: there is none of that name.
    """
    built_in = {path.parent.name: path.parent for path in sorted(PRETRAINED.glob("*/config.yaml"))}
    if model is None:
        default = _DEFAULT_STREAMING if streaming else _DEFAULT
        if default not in built_in:
            raise InputError(f"the built-in model {default} is not in the package; name one with --model exp/NAME")
        return built_in[default], None
    path = Path(model)
    if path.is_file():
        for folder in (path.parent, path.parent.parent):
            if (folder / "config.yaml").is_file():
                return folder, path
        raise InputError(f"{path}: no config.yaml beside this checkpoint or one folder up; it says what the model is")
    return (path, None) if path.is_dir() or str(model) not in built_in else (built_in[str(model)], None)


def read_experiment(expdir: str | os.PathLike) -> Config:
    """Reads the config of an experiment.

    Raises:
        InputError: the folder is none, or no experiment, or its config is wrong.
    """
    expdir = Path(expdir)
    if not expdir.is_dir():
        raise InputError(f"{expdir}: no such experiment folder; stage 2 makes it")
    if not (expdir / "config.yaml").is_file():
        raise InputError(f"{expdir}: no model here: config.yaml is missing; stage 2 makes it")
    return read_resolved(expdir / "config.yaml")


def find_checkpoint(expdir: str | os.PathLike, config: Config, model_path: str | os.PathLike | None = None) -> Path:
    """Gives the checkpoint to use: `model_path`, or else the config's, or else its `decode_checkpoint`.

    Raises:
        InputError: it is not there.
    """
    chosen = model_path or config.model_path
    if chosen:
        if not Path(chosen).is_file():
            raise InputError(f"{chosen}: no such checkpoint (model_path)")
        return Path(chosen)
    checkpoint = Path(expdir) / "checkpoints" / f"{config.decode_checkpoint}.ckpt"
    if not checkpoint.is_file():
        raise InputError(f"{expdir}: no model here: checkpoints/{checkpoint.name} is missing; stage 2 makes it")
    return checkpoint


def _checked_audio(audio: np.ndarray, rate: int, channel: int | None, name: str) -> tuple[np.ndarray, int | None]:
    """Gives the audio as float32 [T, channels], and the channel."""
    audio = np.asarray(audio)
    if audio.ndim not in (1, 2) or audio.size == 0:
        raise InputError(f"{name}: expected [T] or [T, channels] with samples, got shape {audio.shape}")
    if audio.dtype.kind == "i":
        audio = audio / -float(np.iinfo(audio.dtype).min)
    elif audio.dtype.kind != "f":
        raise InputError(f"{name}: expected floats or signed integers, got {audio.dtype}")
    with np.errstate(over="ignore"):
        audio = audio.astype(np.float32).reshape(len(audio), -1)
    if not np.isfinite(audio).all():
        raise InputError(f"{name}: has NaN or infinity (as float32)")
    if not isinstance(rate, numbers.Real) or not 1 <= rate < np.inf:
        raise InputError(f"{name}: the rate must be a number of at least 1 Hz, got {rate!r}")
    require_channel(channel, audio.shape[1], name=name)
    return audio, channel


def require_length(n_samples: int, config: Config, *, name: str) -> None:
    """Raises InputError when a mixture of `n_samples` is shorter than one filter of the model."""
    if n_samples < config.kernel_size:
        raise InputError(f"{name}: has {n_samples} samples; the model needs at least {config.kernel_size}")


def fit_level(*, estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Brings each estimate to the level and polarity that it has in the mixture; no reference is used.

    A loss of SI-SNR leaves level and sign of each estimate free. What can be known of them is in the mixture: the
    estimates should add up to it, so the gains are those with the least |mixture - sum of gain * estimate|^2, means
    removed. Estimates that resemble each other (a model that hardly separates) make such gains arbitrary, also zero or
    of the wrong sign. When one is far from the gain with which its estimate alone comes nearest to the mixture, all
    take the latter gains, times the common factor with which the sum comes nearest.

    Args:
        estimates: [C, T].
        mixture: [T].

    Returns:
        [C, T], float32. A silent estimate stays silent; of a silent mixture all are.
    """
    levels = Levels(len(estimates))
    levels.add(estimates=estimates, mixture=mixture)
    return (estimates * levels.gains()[:, None]).astype(np.float32)


class Levels:
    """The gains of `fit_level` for a mixture that comes in parts.

    Args:
        n_src: sources, C.
    """

    def __init__(self, n_src: int) -> None:
        self._n_samples = 0
        self._sums = np.zeros(n_src + 1)  # of the estimates and the mixture
        self._products = np.zeros((n_src + 1, n_src + 1))

    def add(self, *, estimates: np.ndarray, mixture: np.ndarray) -> None:
        """Takes the next part: [C, n] and [n]."""
        signals = np.concatenate((estimates, mixture[None])).astype(np.float64)  # [C + 1, n]
        self._n_samples += len(mixture)
        self._sums += signals.sum(axis=1)
        self._products += signals @ signals.T

    def gains(self) -> np.ndarray:
        """Gives the factor of each estimate, [C]."""
        centred = self._products - np.outer(self._sums, self._sums) / max(1, self._n_samples)
        norms = np.sqrt(np.maximum(np.diag(centred)[:-1], 0))  # [C]
        norms[norms <= 1e-9 * np.sqrt(np.diag(self._products)[:-1])] = np.inf  # silent: its gain is 0
        alone = centred[:-1, -1] / norms  # [C], the gain of each unit estimate taken alone
        alike = centred[:-1, :-1] / np.outer(norms, norms)  # [C, C], the units' products
        gains = np.linalg.lstsq(alike, alone, rcond=1e-6)[0]
        ratios = np.divide(gains, alone, out=np.ones_like(gains), where=alone != 0)
        if not ((ratios > 0.5) & (ratios < 2)).all():
            energy = alone @ alike @ alone
            gains = alone * (alone @ alone / energy if energy > 0 else 1.0)
        return gains / norms


def limit_peak(estimates: np.ndarray) -> np.ndarray:
    """Scales all estimates of a mixture down by one factor when any sample would clip as 16 bits.

    >>> limit_peak(np.array([[0.5, -2.0], [0.25, 0.0]])).round(3).tolist()
    [[0.25, -1.0], [0.125, 0.0]]
    """
    peak = np.abs(estimates).max()
    return estimates * (LARGEST / peak) if peak > LARGEST else estimates
