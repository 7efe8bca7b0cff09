"""Measures what MS_DEV_HOST_BLOCKING_RUN does for a training step on a CPU, alone and beside another training.

    tools/venv/bin/python tools/bench/waiting.py

`device.py` sets it to 1. With 0, MindSpore's default, the main thread waits for the end of a graph in a loop, and what
computes has a core less. Both run in turn; each process has a DPRNN of 3 blocks, 96 units, batches of 3 x 2 s.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = (
    "kernel_size=32 n_filters=128 separator_conf.bottleneck_size=64 separator_conf.hidden_size=96 "
    "separator_conf.chunk_size=50 separator_conf.n_blocks=3 segment=2 batch_size=3"
)


def step_seconds(n_steps: int) -> float:
    """Returns the median time of a step in this process, s."""
    sys.path.insert(0, str(ROOT))
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU")
    import numpy as np

    from mindaudio_ext.config import load_config
    from mindaudio_ext.data.dataset import Batch
    from mindaudio_ext.models.tasnet import build_model
    from mindaudio_ext.train.step import TrainStep

    config = load_config(ROOT / "conf/base.yaml", None, [MODEL])
    model = build_model(config)
    model.set_train(True)
    step, taken = TrainStep(config, model), []
    sources = 0.1 * np.random.default_rng(0).standard_normal((3, 2, 16000)).astype(np.float32)
    for _ in range(n_steps + 2):
        started = time.perf_counter()
        step(Batch(sources.sum(1), sources, np.full(3, 16000, np.int32)), 1e-3)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[2:])


def processes(n: int, value: str, n_steps: int) -> list[float]:
    """Runs n processes at once; gives the step time of each."""
    command = [sys.executable, __file__, "--step", "--n_steps", str(n_steps)]
    environment = {**os.environ, "MS_DEV_HOST_BLOCKING_RUN": value}
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(n)
    ]
    return [float(process.communicate()[0]) for process in running]


def main() -> int:
    """Runs the command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of 0, 1 (%(default)s)")
    parser.add_argument("--n_steps", type=int, default=20, help="of each process (%(default)s)")
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(step_seconds(args.n_steps))
        return 0
    for n in (1, 2):
        rounds = [[processes(n, value, args.n_steps) for value in "01"] for _ in range(args.rounds)]
        for value in (0, 1):
            steps = [seconds for one in rounds for seconds in one[value]]
            print(f"{n} at once, MS_DEV_HOST_BLOCKING_RUN={value}: step {statistics.median(steps):.3f} s", flush=True)
        ratios = [statistics.mean(one[1]) / statistics.mean(one[0]) for one in rounds]
        print(f"  1 to 0: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
