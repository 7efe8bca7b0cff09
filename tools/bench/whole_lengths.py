"""Many utterances of different lengths: the dynamic graph of stage 3 against static graphs of their lengths.

    python tools/bench/whole_lengths.py [--config conf/mini.yaml] [--n_utts 200] [--seed 0]

Lengths are drawn uniformly from 3 to 14 s, those of Libri2Mix's test set. The static graphs, compiled beforehand, run
utterances of four lengths in between those of the dynamic graph, so that other work on the machine meets both. Printed
are the seconds that a second of audio takes each, and their ratio, also with the dynamic graph's compilation counted;
once by the clock and once by the processor time of this process. Parameters are random: they do not change the time.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mindaudio_ext.config import load_config
from mindaudio_ext.device import set_up_device

ROOT = Path(__file__).resolve().parents[2]
STATIC_SECONDS = (4.0, 7.0, 10.0, 13.0)


def timed(function: Callable[[], object]) -> np.ndarray:
    """Returns the seconds a call takes, by the clock and of the processor."""
    before = np.array((time.perf_counter(), time.process_time()))
    function()
    return np.array((time.perf_counter(), time.process_time())) - before


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "conf/mini.yaml", help="(%(default)s)")
    parser.add_argument("--n_utts", type=int, default=200, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of lengths and signals (%(default)s)")
    args = parser.parse_args()
    config = load_config(ROOT / "conf/base.yaml", args.config)
    set_up_device("CPU")
    from mindaudio_ext.models.evaluation import BatchRunner, WholeUtterance
    from mindaudio_ext.models.tasnet import build_model

    rng = np.random.default_rng(args.seed)
    rate = config.sample_rate
    lengths = np.sort(rng.integers(3 * rate, 14 * rate, args.n_utts))[::-1]  # falling, as in stage 3
    signal = 0.1 * rng.standard_normal(14 * rate).astype(np.float32)
    statics = {round(seconds * rate): BatchRunner(build_model(config), eager_seconds=0) for seconds in STATIC_SECONDS}
    for length, static in statics.items():
        static.separate(signal[None, :length])

    whole = WholeUtterance(build_model(config), eager_seconds=0)
    compiling = timed(lambda: whole.separate(signal[: lengths[0]]))
    dynamic, static_time, static_samples = np.zeros(2), np.zeros(2), 0
    for number, length in enumerate(lengths):
        dynamic += timed(lambda length=length: whole.separate(signal[:length]))
        if number % 5 == 0:
            of_static = list(statics)[number // 5 % len(statics)]
            static_time += timed(lambda n=of_static: statics[n].separate(signal[None, :n]))
            static_samples += of_static
    static = static_time / (static_samples / rate)
    steady = dynamic / (lengths.sum() / rate)
    counted = (dynamic + compiling) / (lengths.sum() / rate)
    seconds = lengths.sum() / rate
    print(f"{args.config.name}: {args.n_utts} utterances, {seconds:.0f} s; compiled in {compiling[0]:.1f} s")
    for i, clock in enumerate(("by the clock", "processor")):
        print(
            f"{clock}: a second of audio takes the static graphs {static[i]:.4f} s, the dynamic one {steady[i]:.4f} s "
            f"({steady[i] / static[i]:.2f} times), with its compilation {counted[i]:.4f} s "
            f"({counted[i] / static[i]:.2f} times)"
        )


if __name__ == "__main__":
    main()
