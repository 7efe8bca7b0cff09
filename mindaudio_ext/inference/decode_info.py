"""What separating a set took, noted for RESULTS.md."""

import json
import os
import platform
from pathlib import Path

from mindaudio_ext.config import Config
from mindaudio_ext.experiment import SeparatedSet
from mindaudio_ext.files import write_text
from mindaudio_ext.inference.decode_set import DecodingCost

COUNTED_SECONDS = 4  # of the mixture whose multiply-adds are counted


def note_decoding(separated: SeparatedSet, decoded: DecodingCost, config: Config, *, multiply_adds: float) -> None:
    """Writes what separating a set took.

    Args:
        separated: the set.
        decoded: what decoding came to.
        config: with the device that was used.
        multiply_adds: of the model, a second of audio; see `count_for`.
    """
    values = {
        "audio_seconds": round(decoded.audio_seconds, 3),
        "seconds": round(decoded.seconds, 3),
        "peak_memory": decoded.peak_memory,
        "device": describe_device(config.device_target),
        "multiply_adds_per_second": multiply_adds,
        "shifts": config.shifts,
    }
    write_text(separated.decoding, json.dumps(values) + "\n")


def count_for(config: Config) -> float:
    """Returns the multiply-adds of a config's model for a second of audio, with all shifts, counted over 4 s."""
    from mindaudio_ext.models.cost import count_multiply_adds
    from mindaudio_ext.models.tasnet import build_model

    n_samples = max(COUNTED_SECONDS * config.sample_rate, config.kernel_size)
    return config.shifts * count_multiply_adds(build_model(config), n_samples) * config.sample_rate / n_samples


def describe_device(target: str) -> str:
    """Returns the device in words: the target, and of a CPU its name and the cores this process may use."""
    if target != "CPU":
        return target
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"CPU ({name}, {len(os.sched_getaffinity(0))} cores)"
