"""Measures this project against Asteroid on PyTorch: the same weights, the same threads, runs in turn A B A B.

    tools/bench/setup_asteroid.sh
    tools/venv/bin/python tools/bench/against_asteroid.py --out docs/benchmarks.md

What is compared: a training step (2 x 4 s at 8 kHz, 1 x 2 s with kernel 2: forward, PIT SI-SNR, gradients, clipping,
Adam) with what the backward pass needs kept and with it computed again (`recompute`; Asteroid always keeps it),
inference on 4 s and 30 s and on many different lengths, the largest resident memory of a process that only trains or
only infers, and the time from the start of a process to the end of its first step. A ratio is ours to theirs, so below
1 is faster or smaller; it is the median over the rounds of the ratio of a round's two runs, with the smallest and the
largest, which show a machine that is busy with something else.

With `--last FILE.md` each row also shows the ratio of that file's table of the model, and the status is 1 when one is
worse now: its smallest ratio is above the last one's largest by more than a tenth. `tools/bench/run.sh` is the short
way to that.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS, THEIRS = ROOT / "tools/venv/bin/python", HERE / "venv/bin/python"

DUAL_PATH = {"n_src": 2, "n_filters": 64, "bn_chan": 128, "hid_size": 128, "n_repeats": 6, "sample_rate": 8000}
WORSE = 1.1  # times as much as the last run's largest ratio
CROPS = {"dprnn-k2": "1 2"}  # of a training step: how many, and seconds; else "2 4"
MODELS = {
    "dprnn-k16": ("DPRNNTasNet", {**DUAL_PATH, "kernel_size": 16, "stride": 8, "chunk_size": 100, "hop_size": 50}),
    "dprnn-k2": ("DPRNNTasNet", {**DUAL_PATH, "kernel_size": 2, "stride": 1, "chunk_size": 250, "hop_size": 125}),
    "convtasnet": ("ConvTasNet", {"n_src": 2, "sample_rate": 8000}),
    "tiny": (  # to see that the benchmark runs
        "DPRNNTasNet",
        {**DUAL_PATH, "n_filters": 8, "bn_chan": 8, "hid_size": 8, "n_repeats": 1, "kernel_size": 16, "stride": 8},
    ),
}


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, and the pairs (ours, theirs) of all rounds."""

    what: str
    unit: str
    pairs: tuple[tuple[float, float], ...]

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, of each round."""
        return [ours / theirs for ours, theirs in self.pairs]

    @property
    def ratio(self) -> str:
        """The median of the ratios, and their range."""
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        return f"{middle:.2f} ({low:.2f} to {high:.2f})" if len(self.pairs) > 1 else f"{middle:.2f}"

    def __str__(self) -> str:
        ours, theirs = (statistics.median(values) for values in zip(*self.pairs))
        return f"| {self.what} | {ours:.3g} {self.unit} | {theirs:.3g} {self.unit} | {self.ratio} |"

    def is_worse(self, last: str) -> bool:
        """Tells whether every round's ratio is more than a tenth above the last run's, as `ratio` wrote it."""
        return min(self.ratios) > WORSE * max(map(float, re.findall(r"[0-9.]+", last)))


def last_ratios(text: str, model: str) -> dict[str, str]:
    """Reads a model's table, below a heading `## MODEL` or `### MODEL`; gives the ratio of each row."""
    table = re.search(rf"^##+ {re.escape(model)}$(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    ratio = r"[0-9.]+(?: \([0-9. to]+\))?"
    rows = re.findall(rf"^\| (.+?) \| .+? \| .+? \| ({ratio}) \|", table[1] if table else "", re.MULTILINE)
    return dict(rows)


class Side:
    """A worker process of one toolkit."""

    def __init__(self, command: Sequence[str | os.PathLike], threads: int) -> None:
        limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self.born = time.perf_counter()
        self.process = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("BENCH_DEBUG") else None,
            text=True,
            env={**os.environ, **limits},
        )
        self._answer()

    def ask(self, request: str) -> dict[str, float]:
        """Has one thing done; gives seconds, result and the peak memory so far."""
        print(request, file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, float]:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[1]} ended with {self.process.wait()}; BENCH_DEBUG=1 shows why")
        return json.loads(line)


@contextmanager
def both(path: Path, threads: int, keys: Sequence[str] = ()) -> Iterator[tuple[Side, Side]]:
    """Starts a worker of each toolkit for the model of a file."""
    sides = (
        Side([OURS, HERE / "worker_ours.py", path, str(threads), *keys], threads),
        Side([THEIRS, HERE / "worker_asteroid.py", path, str(threads)], threads),
    )
    try:
        yield sides
    finally:
        for side in sides:
            side.close()


def in_turn(sides: tuple[Side, Side], request: str, rounds: int) -> tuple[tuple[float, float], ...]:
    """Asks ours, theirs, ours, theirs, ...; gives the seconds of each round."""
    return tuple(tuple(side.ask(request)["seconds"] for side in sides) for _ in range(rounds))


def measure_training(path: Path, threads: int, rounds: int, keys: Sequence[str], title: str) -> list[Row]:
    """Measures first step, step and memory of processes that only train."""
    train = f"train {CROPS.get(path.stem, '2 4')}"
    firsts = []
    for python, worker, more in ((OURS, "worker_ours.py", keys), (THEIRS, "worker_asteroid.py", ())):
        side = Side([python, HERE / worker, path, str(threads), *more], threads)
        side.ask(train)
        firsts.append(time.perf_counter() - side.born)
        side.close()
    with both(path, threads, keys) as sides:
        losses = [side.ask(train)["result"] for side in sides]
        if abs(losses[0] - losses[1]) > 1e-3:
            raise SystemExit(f"{path.stem}: the first losses differ: ours {losses[0]}, theirs {losses[1]}")
        in_turn(sides, train, 2)  # warm-up
        pairs = in_turn(sides, train, rounds)
        peaks = tuple(side.ask(train)["peak_mb"] for side in sides)
    return [
        Row(f"training step{title}", "s", pairs),
        Row(f"peak memory, training{title}", "MB", (peaks,)),
        Row(f"process start to end of first step{title}", "s", (tuple(firsts),)),
    ]


def measure_inference(path: Path, threads: int, rounds: int, lengths: int) -> list[Row]:
    """Measures inference on 4 s, 30 s and many lengths, and memory of processes that only infer."""
    rows = []
    with both(path, threads) as sides:
        for seconds in (4, 30):
            in_turn(sides, f"infer {seconds}", 2)
            rows.append(Row(f"inference, {seconds} s", "s", in_turn(sides, f"infer {seconds}", rounds)))
        peaks = tuple(side.ask("infer 4")["peak_mb"] for side in sides)
        rows.append(Row("peak memory, inference up to 30 s", "MB", (peaks,)))
    requests = [f"infer {3 + 11 * number / max(1, lengths - 1):.4f}" for number in range(lengths)]
    with both(path, threads) as sides:  # new processes: what compiling costs is part of it
        totals = tuple(sum(side.ask(request)["seconds"] for request in requests) for side in sides)
    return [*rows, Row(f"{lengths} lengths from 3 to 14 s, compiling included", "s", (totals,))]


def describe(threads: int) -> str:
    """Returns machine and versions in a line."""
    versions = {}
    for python, names in ((OURS, ("mindspore",)), (THEIRS, ("torch", "asteroid"))):
        code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
        found = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True).stdout.split()
        versions |= dict(zip(names, found))
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    machine = next(line.split(":")[1].strip() for line in text.splitlines() if "model name" in line)
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    cores = f"{os.cpu_count()} cores, {threads} threads on both sides"
    return f"{machine}, {cores}, Python {platform.python_version()}, {listed}"


def main() -> int:
    """Runs the command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["dprnn-k16", "convtasnet"], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7, help="of A B (%(default)s)")
    parser.add_argument("--lengths", type=int, default=200, help="different lengths to separate (%(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each side (%(default)s)")
    parser.add_argument("--only", choices=("train", "infer"), help="measure nothing else")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the tables there too")
    parser.add_argument("--last", type=Path, metavar="FILE.md", help="compare with the table in this file")
    args = parser.parse_args()
    worse: list[str] = []
    if not THEIRS.exists():
        print(f"{THEIRS} is missing; tools/bench/setup_asteroid.sh makes it", file=sys.stderr)
        return 2
    lines = [describe(args.threads) + f", {time.strftime('%Y-%m-%d')}", ""]
    steps: list[Callable[[Path], list[Row]]] = []
    if args.only != "infer":
        steps.append(lambda path: measure_training(path, args.threads, args.rounds, (), ""))
        steps.append(lambda path: measure_training(path, args.threads, args.rounds, ("recompute=true",), ", recompute"))
    if args.only != "train":
        steps.append(lambda path: measure_inference(path, args.threads, args.rounds, args.lengths))
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.models:
            path = Path(scratch) / f"{name}.pth"
            class_name, arguments = MODELS[name]
            command = [THEIRS, HERE / "worker_asteroid.py", "--make", path, class_name, json.dumps(arguments)]
            subprocess.run(command, check=True)
            command = [OURS, HERE / "worker_ours.py", path, "--cost"]
            cost = json.loads(subprocess.run(command, capture_output=True, check=True).stdout.splitlines()[-1])
            parameters, products = cost["parameters"] / 1e6, cost["multiply_adds"] / 1e9
            size = f"{parameters:.2f} M parameters, {products:.1f} G multiply-adds a second"
            lines += [
                f"## {name}",
                "",
                f"{size}; trained on {CROPS.get(name, '2 4').replace(' ', ' x ')} s",
                "",
                "| | ours | Asteroid | ratio |",
                "|---|---|---|---|",
            ]
            last = last_ratios(args.last.read_text(encoding="utf-8"), name) if args.last else {}
            if args.last:
                lines[-2:] = [f"{lines[-2]} last |", f"{lines[-1]}---|"]
            print("\n".join(lines[-6:]), flush=True)
            for row in (row for step in steps for row in step(path)):
                text = str(row)
                if args.last:
                    before = last.get(row.what)
                    text += f" {before or '-'} |"
                    if before and row.is_worse(before):
                        worse.append(f"{name}: {row.what}: {row.ratio}, last {before}")
                lines.append(text)
                print(text, flush=True)
            lines.append("")
    if args.out:
        args.out.write_text("\n".join(lines), encoding="utf-8")
    for line in worse:
        print(f"worse: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
