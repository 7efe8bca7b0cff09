"""Measures the memory that training a DPRNN takes on a CPU.

    tools/venv/bin/python tools/bench/memory.py

Each figure is from a process that does a few steps: blocks, bottleneck, units, kernel, chunk, segment and batch varied,
without and with `recompute`. The largest resident memory counts.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = {"blocks": 6, "width": 64, "hidden": 128, "kernel": 16, "chunk": 100, "segment": 4, "batch": 2}
ROWS: list[dict[str, int]] = [
    {},
    {"blocks": 3},
    {"width": 128},
    {"hidden": 64},
    {"kernel": 32},
    {"kernel": 8, "chunk": 150},
    {"chunk": 50},
    {"chunk": 200},
    {"segment": 2},
    {"batch": 1},
    {"batch": 4},
]
OPTIONS = (
    "n_filters=64 kernel_size={kernel} segment={segment} batch_size={batch} separator_conf.bottleneck_size={width} "
    "separator_conf.hidden_size={hidden} separator_conf.chunk_size={chunk} separator_conf.n_blocks={blocks} "
)


def measure(options: str) -> None:
    """Prints the memory of one configuration, GiB."""
    sys.path.insert(0, str(ROOT))
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU")
    from mindaudio_ext.config import load_config
    from mindaudio_ext.models.tasnet import build_model
    from mindaudio_ext.train.estimate import measure_step
    from mindaudio_ext.train.step import TrainStep

    config = load_config(ROOT / "conf/base.yaml", None, [options])
    model = build_model(config)
    print(measure_step(TrainStep(config, model), model, config, config.batch_size)[1])


def main() -> int:
    """Runs the command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one)
        return 0
    print(f"| {' | '.join(BASE)} | kept | recompute |")
    print("|---" * (len(BASE) + 2) + "|", flush=True)
    for row in ROWS:
        values, cells = BASE | row, []
        for recompute in ("false", "true"):
            command = [sys.executable, __file__, "--one", OPTIONS.format(**values) + f"recompute={recompute}"]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            cells.append(f"{float(result.stdout.split()[-1]):.2f} GiB")
        print(f"| {' | '.join(map(str, values.values()))} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
