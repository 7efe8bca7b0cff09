#!/usr/bin/env python
"""Whether MindSpore's compile cache can be trusted: the same four steps of a small training with and without it.

Prints, for each run, the seconds of the first step and the last loss. With a cache that can be trusted, runs of one
weight decay end with one loss. Training leaves the cache off because they do not.
"""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

RUNS = (("without", 0.0), ("first with", 0.0), ("second with", 0.0), ("without", 0.01), ("third with", 0.01))


def train(weight_decay: float) -> None:
    """Does the steps in this process."""
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU")
    import mindspore as ms

    from mindaudio_ext.config import make_config
    from mindaudio_ext.data.dataset import Batch
    from mindaudio_ext.models.tasnet import build_model
    from mindaudio_ext.train.step import TrainStep

    separator_conf = {"bottleneck_size": 16, "hidden_size": 16, "chunk_size": 20, "n_blocks": 2}
    values = {"kernel_size": 16, "separator_conf": separator_conf, "weight_decay": weight_decay}
    config = make_config(values, "bench")
    ms.set_seed(0)
    model = build_model(config)
    step = TrainStep(config, model)
    model.set_train(True)
    sources = np.random.default_rng(0).standard_normal((2, 2, 4000)).astype(np.float32)
    batch = Batch(sources.sum(axis=1), sources, np.full(2, 4000, np.int32))
    started = time.monotonic()
    step(batch, 1e-3)
    seconds = time.monotonic() - started
    results = [step(batch, 1e-3) for _ in range(3)]
    print(f"first step {seconds:.1f} s, loss after four {results[-1].loss:.4f} dB", flush=True)


def main() -> None:
    """Starts a process for each run."""
    with tempfile.TemporaryDirectory() as folder:
        for words, weight_decay in RUNS:
            print(f"{words} cache, weight_decay {weight_decay}: ", end="", flush=True)
            cache = {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": folder} if words != "without" else {}
            subprocess.run([sys.executable, __file__, str(weight_decay)], env=os.environ | cache, check=True)


if __name__ == "__main__":
    train(float(sys.argv[1])) if len(sys.argv) > 1 else main()
