"""What a training step costs, found out before the first one counts."""

import resource
import time

import mindspore as ms
import numpy as np
import psutil
from mindspore import Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.registry import get_separator
from mindaudio_ext.train.step import TrainStep


def measure_step(step: TrainStep, model: nn.Cell, config: Config, n_crops: int) -> tuple[float, float]:
    """Does some steps on noise and takes them back; the fastest after the first counts.

    Args:
        step: its state is afterwards as before.
        model: what it trains.
        config: of a crop.
        n_crops: of a batch.

    Returns:
        Seconds a step, and the largest memory in use so far, GiB: the process's, or the device's on Ascend.
    """
    before = [parameter.asnumpy().copy() for parameter in step.state]
    n_samples = round(config.segment * config.sample_rate)
    sources = np.random.default_rng(0).uniform(-0.1, 0.1, (n_crops, config.num_spks, n_samples))
    sources = sources.astype(np.float32)
    batch = Batch(sources.sum(axis=1), sources, np.full(n_crops, n_samples, np.int32))
    model.set_train(True)
    step(batch, rate=0.0)  # compiles
    times = [time.monotonic()]
    while len(times) <= 3 and times[-1] - times[0] < 10:  # on a CPU the first ones try numbers of threads
        step(batch, rate=0.0)
        times.append(time.monotonic())
    seconds = float(np.diff(times).min())
    for parameter, value in zip(step.state, before):
        ops.assign(parameter, Tensor(value))
    return seconds, _peak_memory() / 2**30


def expected_memory(config: Config, n_crops: int) -> float | None:
    """Returns the memory, GiB, that training takes on a CPU, as the separator's class says; None when it does not know.

    A class may have `training_memory(options, *, n_frames, n_crops, recompute)`, which returns it.

    Args:
        config: of the model and a crop.
        n_crops: of a batch, or of one of its parts.
    """
    if config.model != "tasnet" or config.device_target != "CPU" or config.mixed_precision:
        return None
    if config.recompute and not config.recompute_rnns:
        return None  # not measured
    known = getattr(get_separator(config.separator), "training_memory", None)
    stride = config.stride or config.kernel_size // 2
    n_frames = (round(config.segment * config.sample_rate) - config.kernel_size) // stride + 1
    options = config.separator_conf
    return known(options, n_frames=n_frames, n_crops=n_crops, recompute=config.recompute) if known else None


def describe_expected(gibibytes: float, config: Config) -> str:
    """Says `expected_memory`: "about", or "at least" for a config with what its measurements did not have."""
    has_more = config.dynamic_mixing or config.conversations or config.augmentation != "none" or config.ema_decay > 0
    words = "at least" if has_more or config.optimizer != "adam" else "about"
    return f"{words} {gibibytes:.1f} GiB"


def free_memory() -> float:
    """Returns the memory that new processes of this machine can have without swapping, GiB."""
    return psutil.virtual_memory().available / 2**30


def _peak_memory() -> int:
    """Bytes."""
    if ms.get_context("device_target") == "Ascend":
        return ms.runtime.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
