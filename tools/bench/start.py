"""Measures how soon a short recording is separated, and with how much memory: operator by operator, and compiled.

    tools/venv/bin/python tools/bench/start.py --seconds 5

Each figure is the median of some processes, taken in turns, with the least and the greatest. "The same again" is what
the same process takes for the recording once more.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WAYS = {"operator by operator": float("inf"), "compiled": 0.0}
ROWS = {
    "import": "import of MindSpore and the package, s",
    "load": "loading the model, s",
    "first": "the first separation, s",
    "again": "the same again, s",
    "process": "the whole process, s",
    "memory": "peak memory, MB",
}


def one(way: str, model: str, seconds: float) -> None:
    """Prints the figures of this process but its whole time, as JSON."""
    started = time.monotonic()
    sys.path.insert(0, str(ROOT))
    import numpy as np

    from mindaudio_ext.device import set_up_device

    set_up_device("CPU")
    from mindaudio_ext.inference.separator import Separator
    from mindaudio_ext.models import evaluation

    imported = time.monotonic()
    separator = Separator.load(model)
    for runner in (separator._whole, separator._batch):
        assert isinstance(runner, evaluation.Evaluation)
        runner.eager_seconds = WAYS[way]
    rate = separator.config.sample_rate
    mixture = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate)).astype(np.float32)
    loaded = time.monotonic()
    separator(mixture)
    first = time.monotonic()
    separator(mixture)
    again = time.monotonic()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    figures = (imported - started, loaded - imported, first - loaded, again - first, memory)
    print(json.dumps(dict(zip(("import", "load", "first", "again", "memory"), figures))))


def main() -> int:
    """Runs the command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dprnn_2spk_8k_conversation", help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="of the recording (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each way (%(default)s)")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, args.model, args.seconds)
        return 0
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    options = ["--model", args.model, "--seconds", str(args.seconds)]
    for _ in range(args.rounds):
        for way, figures in found.items():
            started = time.monotonic()
            command = [sys.executable, __file__, "--one", way, *options]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            figures.append({"process": time.monotonic() - started, **json.loads(printed.splitlines()[-1])})
    print(f"{args.model}, {args.seconds:g} s, {args.rounds} processes each")
    print(f"| | {' | '.join(WAYS)} |\n|---|---|---|")
    for row, title in ROWS.items():
        cells = []
        for figures in found.values():
            values = [each[row] for each in figures]
            form = ".0f" if row == "memory" else ".2f"
            cells.append(f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})")
        print(f"| {title} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
