"""Two models of this project side by side: the time of separating, compiled, and of a training step.

    tools/venv/bin/python tools/bench/two_models.py CONF CONF [--first KEY=VALUE ...] [--second KEY=VALUE ...]

Both run in turns in one process, with random parameters and noise. A ratio is the first's time to the second's: the
median over the rounds, with the smallest and the largest. With `--seconds` one tells how long the audio is.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from against_asteroid import Row

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mindaudio_ext.config import load_config  # noqa: E402
from mindaudio_ext.device import set_up_device  # noqa: E402


def timed(function: Callable[[], object]) -> float:
    """Returns the seconds a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("confs", type=Path, nargs=2, metavar="CONF", help="two confs of recipes")
    for name in ("--first", "--second"):
        parser.add_argument(name, nargs="+", default=[], metavar="KEY=VALUE", help="keys of that model")
    parser.add_argument("--seconds", type=float, nargs="+", default=[4.0, 30.0], help="to separate (%(default)s)")
    parser.add_argument("--segment", type=float, default=4.0, help="seconds of a step's crops (%(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="crops of a step (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    args = parser.parse_args()
    set_up_device("CPU")
    from mindaudio_ext.data.dataset import Batch
    from mindaudio_ext.models.evaluation import WholeUtterance
    from mindaudio_ext.models.tasnet import build_model
    from mindaudio_ext.train.step import TrainStep

    keys = (args.first, args.second)
    configs = [load_config(ROOT / "conf/base.yaml", conf, own) for conf, own in zip(args.confs, keys)]
    rng = np.random.default_rng(0)

    def compare(what: str, functions: list[Callable[[], object]]) -> None:
        pairs: list[tuple[float, float]] = []
        for _ in range(args.rounds + 1):
            one, other = (timed(function) for function in functions)
            pairs.append((one, other))
        print(Row(what, "s", tuple(pairs[1:])), flush=True)  # the first compiles

    print("| | first | second | ratio |\n|---|---|---|---|")
    wholes = [WholeUtterance(build_model(config), eager_seconds=0) for config in configs]
    for length in args.seconds:
        mixture = rng.standard_normal(round(length * configs[0].sample_rate)).astype(np.float32)
        compare(f"separating {length:g} s", [partial(whole.separate, mixture) for whole in wholes])
    steps = []
    for config in configs:
        model = build_model(config)
        step = TrainStep(config, model)
        model.set_train(True)
        size = (args.batch, config.num_spks, round(args.segment * config.sample_rate))
        sources = rng.standard_normal(size).astype(np.float32)
        batch = Batch(sources.sum(axis=1), sources, np.full(args.batch, size[2], np.int32))
        steps.append(partial(step, batch, 1e-3))
    compare(f"a step of {args.batch} x {args.segment:g} s", steps)


if __name__ == "__main__":
    main()
