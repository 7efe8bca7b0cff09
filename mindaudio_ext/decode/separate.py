"""A trained model as a function of arrays: a mixture in, estimates out. MindSpore is imported when one is loaded."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindaudio_ext.config import Config, read_resolved
from mindaudio_ext.data.audio import FULL_SCALE
from mindaudio_ext.device import set_up_device
from mindaudio_ext.errors import InputError

if TYPE_CHECKING:
    from mindaudio_ext.models.tasnet import TasNet

LARGEST = (FULL_SCALE - 1) / FULL_SCALE  # what 16 bits can hold, of full scale 1


class Separator:
    """Separates whole mixtures of any length with a trained model.

    One graph with a free length serves all: its estimates are bit-equal to those of a graph for the very length.

    Args:
        model: its parameters are loaded.
        config: what the model was built from.

    Attributes:
        config: as given.
        checkpoint: where the parameters are from; None when unknown.
    """

    def __init__(self, model: "TasNet", config: Config, checkpoint: Path | None = None) -> None:
        from mindaudio_ext.models.whole import WholeUtterance

        self.config, self.checkpoint = config, checkpoint
        self._whole = WholeUtterance(model)

    @classmethod
    def from_expdir(
        cls,
        expdir: str | os.PathLike,
        model_path: str | os.PathLike | None = None,
        *,
        device_target: str | None = None,
        num_threads: int | None = None,
    ) -> "Separator":
        """Loads the model of an experiment and sets up its device.

        Args:
            expdir: the experiment's folder.
            model_path: a checkpoint; when None the config's `model_path`, or else the experiment's best.
            device_target: instead of the config's.
            num_threads: CPU threads; None leaves them to MindSpore.

        Raises:
            InputError: there is no model, its files do not belong together, or the device is not there.
        """
        config = read_experiment(expdir)
        checkpoint = find_checkpoint(expdir, config, model_path)
        set_up_device(device_target or config.device_target, config.device_id, num_threads)
        from mindaudio_ext.models.checkpoint import load_parameters
        from mindaudio_ext.models.tasnet import build_model

        model = build_model(config)
        load_parameters(model, checkpoint)
        return cls(model, config, checkpoint)

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

    def estimate(self, mixture: np.ndarray, *, name: str = "mixture") -> np.ndarray:
        """Gives the model's own output [C, T], the level of which is arbitrary; the rest is as in `__call__`."""
        require_length(len(mixture), self.config, name=name)
        estimates = self._whole.separate(np.ascontiguousarray(mixture, np.float32))  # [C, T]
        if not np.isfinite(estimates).all():
            raise InputError(f"{name}: the model {self.checkpoint or ''} gives NaN or infinity; train it again")
        return estimates


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
    centred = estimates.astype(np.float64) - estimates.mean(axis=1, keepdims=True, dtype=np.float64)  # [C, T]
    target = mixture.astype(np.float64) - mixture.mean(dtype=np.float64)  # [T]
    norms = np.linalg.norm(centred, axis=1)
    norms[norms == 0] = 1.0
    units = centred / norms[:, None]
    alone = units @ target  # [C], the gain of each unit estimate taken alone
    gains = np.linalg.lstsq(units @ units.T, alone, rcond=1e-6)[0]
    ratios = np.divide(gains, alone, out=np.ones_like(gains), where=alone != 0)
    if not ((ratios > 0.5) & (ratios < 2)).all():
        total = alone @ units  # [T]
        energy = total @ total
        gains = alone * (total @ target / energy if energy > 0 else 1.0)
    return (estimates * (gains / norms)[:, None]).astype(np.float32)


def limit_peak(estimates: np.ndarray) -> np.ndarray:
    """Scales all estimates of a mixture down by one factor when any sample would clip as 16 bits.

    >>> limit_peak(np.array([[0.5, -2.0], [0.25, 0.0]])).round(3).tolist()
    [[0.25, -1.0], [0.125, 0.0]]
    """
    peak = np.abs(estimates).max()
    return estimates * (LARGEST / peak) if peak > LARGEST else estimates
