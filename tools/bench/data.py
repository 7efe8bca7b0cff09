"""How fast data go through stage 1 and into the training step, and whether that takes more memory with more data.

    python tools/bench/data.py [--hours 1 4] [--nj 1] [--config conf/mini.yaml] [--steps 20]

Makes sets of noise in LibriMix's lengths (two sources, 3 to 14 s, 8 kHz) in a temporary folder, dumps each, reads an
epoch of the last as training does, and runs the training step of the config. "x real time" is the length of the
mixtures over the time.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # measures this checkout, whichever is installed

from mindaudio_ext.config import Config, load_config  # noqa: E402
from mindaudio_ext.data.audio import write_wav  # noqa: E402
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir  # noqa: E402

RATE = 8000  # Hz
SOURCES = 2
SHORTEST, LONGEST = 3.0, 14.0  # seconds of a mixture
WARM_UP = 3  # steps before the clock starts: the first compiles


def make_set(folder: Path, hours: float) -> float:
    """Makes `folder/data/train` and gives its length in seconds."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-8000, 8000, (SOURCES, round(2 * LONGEST * RATE))).astype(np.int16)
    scps: list[dict[str, str]] = [{} for _ in range(1 + SOURCES)]
    lengths: dict[str, int] = {}
    while sum(lengths.values()) < hours * 3600 * RATE:
        key, length = f"{len(lengths):06d}", round(rng.uniform(SHORTEST, LONGEST) * RATE)
        start = int(rng.integers(LONGEST * RATE))
        sources = noise[:, start : start + length]
        for name, scp, samples in zip(("mix", "s1", "s2"), scps, (sources.sum(axis=0, dtype=np.int16), *sources)):
            scp[key] = str(folder / "wav" / name / f"{key}.wav")
            write_wav(scp[key], samples, RATE)
        lengths[key] = length
    src2spk = {key: (f"{int(key) % 40}", f"{int(key) % 40 + 40}") for key in lengths}
    write_data_dir(folder / "data" / "train", mixtures=scps[0], sources=scps[1:], num_samples=lengths, src2spk=src2spk)
    return sum(lengths.values()) / RATE


def time_dump(folder: Path, seconds: float, nj: int) -> None:
    """Dumps a set in a process of its own and prints speed and memory."""
    command = [sys.executable, "-m", "mindaudio_ext.bin.dump", "--data", folder / "data" / "train"]
    command += ["--out", folder / "dump" / "train", "--nj", str(nj)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - started
    if status != 0:
        raise RuntimeError(f"the dump failed with status {status}")
    print(
        f"dump, nj {nj}: {seconds / 3600:.2f} h in {took:.1f} s, {seconds / took:.0f} x real time, "
        f"{seconds / took / nj:.0f} x a core, {took / seconds * 3600:.1f} s an hour; "
        f"peak memory {used.ru_maxrss / 1024:.0f} MB",
        flush=True,
    )


def time_loader(folder: Path, config: Config, *, dynamic_mixing: bool) -> float:
    """Reads an epoch as training does; prints and gives the seconds of audio a second."""
    from mindaudio_ext.data.dataset import TrainBatches
    from mindaudio_ext.data.mindrecord import check_mindrecord

    batches = TrainBatches(
        check_mindrecord(folder / "dump" / "train"),
        segment=round(config.segment * RATE),
        batch_size=config.batch_size,
        seed=0,
        dynamic_mixing=dynamic_mixing,
        speed_perturb=0.05 if dynamic_mixing else 0.0,
    )
    started = time.monotonic()
    memory = []
    for number, _ in enumerate(batches.epoch(1)):
        if number % max(1, len(batches) // 4) == 0:
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    rate = len(batches) * config.batch_size * config.segment / (time.monotonic() - started)
    name = f"loader{', dynamic mixing' * dynamic_mixing}"
    print(
        f"{name}: {len(batches)} batches of {config.batch_size} x {config.segment} s, {rate:.0f} s of audio a second; "
        f"peak memory at each quarter {_join(memory)} MB",
        flush=True,
    )
    return rate


def _join(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


def time_step(config: Config, steps: int) -> float:
    """Runs the training step; prints and gives the seconds of audio it takes a second."""
    from mindaudio_ext.device import set_up_device

    set_up_device(config.device_target, config.device_id)
    from mindaudio_ext.data.dataset import Batch
    from mindaudio_ext.models.tasnet import build_model
    from mindaudio_ext.train.step import TrainStep

    step = TrainStep(config, build_model(config))
    length = round(config.segment * config.sample_rate)
    rng = np.random.default_rng(0)
    sources = (0.1 * rng.standard_normal((config.batch_size, config.num_spks, length))).astype(np.float32)
    batch = Batch(sources.sum(axis=1), sources, np.full(config.batch_size, length, np.int32))
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            started = time.monotonic()
        step(batch, config.lr)
    rate = steps * config.batch_size * config.segment / (time.monotonic() - started)
    print(f"training step of the config: {rate:.2f} s of audio a second", flush=True)
    return rate


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 4.0], help="lengths of the sets (%(default)s)")
    parser.add_argument("--nj", type=int, nargs="+", default=[1], help="processes of the dump (%(default)s)")
    parser.add_argument("--config", type=Path, default=ROOT / "conf" / "mini.yaml", help="of the step (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="training steps to time (%(default)s)")
    args = parser.parse_args()
    config = load_config(ROOT / "conf" / "base.yaml", args.config)
    with tempfile.TemporaryDirectory() as work:
        for hours in args.hours:
            folder = Path(work) / f"{hours:g} h"
            seconds = make_set(folder, hours)
            for nj in args.nj:
                subprocess.run(["rm", "-rf", folder / "dump"], check=True)
                time_dump(folder, seconds, nj)
        rates = {mixing: time_loader(folder, config, dynamic_mixing=mixing) for mixing in (False, True)}
        needed = time_step(config, args.steps)
    for mixing, rate in rates.items():
        print(f"loader{', dynamic mixing' * mixing}: {rate / needed:.0f} x what the step takes")


if __name__ == "__main__":
    main()
