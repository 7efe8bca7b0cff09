"""What a training step costs, found out before the first one counts."""

import math
import resource
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.train.step import TrainStep

MEMINFO = Path("/proc/meminfo")
# Of `expected_memory`: GiB of any DPRNN, and of each block; float32 values a frame and unit, and a frame and channel.
KEPT = (0.628, 0.122, 60.4, 38.2)
RECOMPUTED = (0.630, 0.044, 73.7, 59.4)


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
    """Gives the memory, GiB, that training a DPRNN with LSTMs takes on a CPU; None for what was not measured.

    Fitted to the table in docs/benchmarks.md, in frames (of all chunks of a batch), blocks and widths; of what a block
    keeps there is one with `recompute`, else one for each block.

    Args:
        config: of the model and a crop.
        n_crops: of a batch, or of one of its parts.
    """
    options = config.separator_conf
    measured = {"rnn_type": "LSTM", "rnn_layers": 1, "bidirectional": True}
    if config.model != "tasnet" or config.separator != "dprnn" or config.device_target != "CPU":
        return None
    if config.mixed_precision or any(options[key] != value for key, value in measured.items()):
        return None
    size = options["chunk_size"]
    hop = options["hop_size"] or size // 2
    stride = config.stride or config.kernel_size // 2
    n_frames = (round(config.segment * config.sample_rate) - config.kernel_size) // stride + 1
    n_frames = n_crops * ((n_frames + size) // hop + 1) * size
    base, of_block, of_unit, of_channel = RECOMPUTED if config.recompute else KEPT
    values = n_frames * (of_unit * options["hidden_size"] + of_channel * options["bottleneck_size"])
    n_blocks = options["n_blocks"]
    return base + n_blocks * of_block + (1 if config.recompute else n_blocks) * 4 * values / 2**30


def free_memory() -> float:
    """Gives the memory that this machine has left, GiB; infinity where it does not say."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable:")), math.inf)


def _peak_memory() -> int:
    """Bytes."""
    if ms.get_context("device_target") == "Ascend":
        return ms.runtime.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
