"""Estimates a DPRNN's training step on an Ascend 910, on paper: operations, sequential steps, bytes and what they take.

    tools/venv/bin/python tools/bench/on_ascend.py egs/librimix/dprnn/conf/{dprnn,dprnn_small}.yaml

Nothing here was run on an Ascend. What is assumed stands in `Machine`, with an option each; the count of operations is
checked against published figures (tests/test_bench.py).
"""

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mindaudio_ext.config import Config, load_config  # noqa: E402

HALF, SINGLE = 2, 4  # bytes of a number


@dataclass(frozen=True)
class Machine:
    """What is assumed of a device: the first two are an Ascend 910's data sheet, the rest is judgement."""

    peak_tflops: float = 256.0  # of float16 products
    memory_tbs: float = 1.2  # TB/s of its memory
    busy_large: float = 0.4  # share of the peak that large products reach
    busy_cell: float = 0.2  # share of the peak that the product of one RNN step reaches: 1000 rows at most
    memory_share: float = 0.6  # share of the memory's rate that operators reach
    step_us: float = 15.0  # from one RNN step to the next, beyond products and memory: the cores wait for each other
    operators_us: float = 10.0  # to start an operator


@dataclass(frozen=True)
class Network:
    """A DPRNN's sizes, from a config with the separator dprnn and its defaults for what is not given."""

    n_samples: int
    kernel: int
    stride: int
    filters: int
    width: int
    hidden: int
    chunk: int
    hop: int
    blocks: int
    sources: int

    @classmethod
    def of(cls, config: Config) -> "Network":
        """Reads a whole config."""
        conf = config.separator_conf
        stride = config.stride or config.kernel_size // 2
        return cls(
            round(config.segment * config.sample_rate),
            *(config.kernel_size, stride, config.n_filters, conf["bottleneck_size"], conf["hidden_size"]),
            *(conf["chunk_size"], conf["hop_size"] or conf["chunk_size"] // 2, conf["n_blocks"], config.num_spks),
        )

    @property
    def frames(self) -> int:
        """L."""
        return (self.n_samples - self.kernel) // self.stride + 1

    @property
    def chunks(self) -> int:
        """S, with a chunk of zeros on either side."""
        return (self.frames + self.chunk) // self.hop + 1

    @property
    def rnn_multiply_adds(self) -> int:
        """Of all RNNs, forward, one mixture."""
        return self.blocks * 2 * self.chunks * self.chunk * 2 * 4 * self.hidden * (self.width + self.hidden)

    @property
    def other_multiply_adds(self) -> int:
        """Of everything else, forward, one mixture."""
        cells = self.chunks * self.chunk
        dense = self.blocks * 2 * cells * 2 * self.hidden * self.width
        expand = cells * self.width * self.sources * self.width
        masks = self.frames * self.sources * (2 * self.width**2 + self.width * self.filters)
        ends = self.frames * self.filters * (self.kernel + self.width + self.sources * self.kernel)
        return dense + expand + masks + ends

    @property
    def sequential_steps(self) -> int:
        """Of the RNNs, forward: each direction is a call of its own on an Ascend."""
        return self.blocks * 2 * (self.chunk + self.chunks)

    def saved_bytes(self, batch: int) -> int:
        """What the backward pass needs of blocks: float16 in the RNNs (input, gates, cell, output), else float32."""
        rnn = HALF * (self.width + 2 * 7 * self.hidden)
        beside = SINGLE * (2 * self.hidden + 3 * self.width)
        return batch * self.blocks * 2 * self.chunks * self.chunk * (rnn + beside)


@dataclass(frozen=True)
class Estimate:
    """A training step: seconds by part, and their sum."""

    cells: float
    products: float
    memory: float
    starts: float

    @property
    def total(self) -> float:
        """Seconds."""
        return self.cells + self.products + self.memory + self.starts


def estimate(net: Network, batch: int, machine: Machine) -> Estimate:
    """Estimates forward and backward, which has twice the forward's operations and as many sequential steps."""
    flops = 2 * 3 * batch * net.rnn_multiply_adds
    other = 2 * 3 * batch * net.other_multiply_adds
    return Estimate(
        cells=flops / (machine.peak_tflops * 1e12 * machine.busy_cell)
        + 2 * net.sequential_steps * machine.step_us * 1e-6,
        products=other / (machine.peak_tflops * 1e12 * machine.busy_large),
        memory=4
        * net.saved_bytes(batch)
        / (machine.memory_tbs * 1e12 * machine.memory_share),  # written and read, twice
        starts=net.blocks * 2 * 40 * machine.operators_us * 1e-6,  # some 40 operators around an RNN, both ways
    )


def main() -> None:
    """Prints a table for the configs that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="+", help="confs of a DPRNN")
    parser.add_argument("--batch", type=int, default=4, help="mixtures on a device (%(default)s)")
    for field in dataclasses.fields(Machine):
        parser.add_argument(f"--{field.name}", type=float, default=field.default, help="assumed (%(default)s)")
    args = parser.parse_args()
    machine = Machine(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Machine)})
    print("assumed: " + ", ".join(f"{key} {value:g}" for key, value in dataclasses.asdict(machine).items()) + "\n")
    heads = ["conf", "batch", "operations, TFLOP", "RNN steps in a row", "kept, GiB"]
    heads += ["step, s", "in RNNs, s", "of it waiting, s"]
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|")
    for path in args.configs:
        net = Network.of(load_config(ROOT / "conf/base.yaml", Path(path), []))
        found = estimate(net, args.batch, machine)
        waiting = 2 * net.sequential_steps * machine.step_us * 1e-6
        operations = 6 * args.batch * (net.rnn_multiply_adds + net.other_multiply_adds) / 1e12
        print(
            f"| {Path(path).stem} | {args.batch} | {operations:.2f} | {2 * net.sequential_steps} "
            f"| {net.saved_bytes(args.batch) / 2**30:.1f} | {found.total:.2f} | {found.cells:.2f} | {waiting:.2f} |"
        )


if __name__ == "__main__":
    main()
