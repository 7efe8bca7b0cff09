"""Depthwise convolutions: the forms of layers/depthwise.py and MindSpore's own operator with groups.

    python tools/bench/depthwise.py [--kernels 3 5 17 65] [--channels 128] [--frames 2000] [--rounds 5]

Each is a compiled graph of the output's product with a constant and its gradients, for 2 sequences; they run in turn.
A ratio is the median over the rounds of a form's time over that of the form which `DepthwiseConv` takes, with the
smallest and the largest. Other work on the machine meets all of them.
"""

import argparse
import time
from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.device import set_up_device
from mindaudio_ext.layers import depthwise

N_BATCH = 2


class Operator(nn.Cell):
    """MindSpore's convolution with as many groups as channels; x as for `DepthwiseConv`, [B, L, H]."""

    def __init__(self, n_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_channels, n_channels, kernel_size, group=n_channels, pad_mode="same", has_bias=True)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(0, 2, 1)).transpose(0, 2, 1)


def forms(n_channels: int, kernel_size: int) -> dict[str, nn.Cell]:
    """Makes a layer of each form by its name; the first is the one that `DepthwiseConv` takes."""
    made = {"taken": depthwise.DepthwiseConv(n_channels, kernel_size)}
    for name, form in (("taps", depthwise._ByTaps), ("product", depthwise._ByProduct)):
        made[name] = depthwise.DepthwiseConv(n_channels, kernel_size)
        made[name].convolve = form(kernel_size, 1, 1)
    return made | {"operator": Operator(n_channels, kernel_size)}


def step_of(layer: nn.Cell, x: Tensor) -> Callable[[], None]:
    """Compiles forward and backward of a layer; gives a function that runs both."""
    parameters = ms.ParameterTuple(layer.trainable_params())

    def along(x: Tensor, d: Tensor) -> Tensor:
        return (layer(x) * d).sum()

    value_and_grad = ms.value_and_grad(along, 0, parameters)

    @ms.jit
    def compiled(x: Tensor, d: Tensor) -> tuple:
        return value_and_grad(x, d)

    def step() -> None:
        compiled(x, x)[0].asnumpy()

    step()
    return step


def seconds(step: Callable[[], None]) -> float:
    """Returns the seconds of one run."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    """Runs the comparison and prints a row of a table for each kernel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, nargs="+", default=[3, 5, 17, 65], help="(%(default)s)")
    parser.add_argument("--channels", type=int, default=128, help="(%(default)s)")
    parser.add_argument("--frames", type=int, default=2000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    args = parser.parse_args()
    set_up_device("CPU")
    shape = (N_BATCH, args.frames, args.channels)
    x = Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    print("| taps | form taken, ms | sum over taps | product of matrices | operator |\n|---|---|---|---|---|")
    for kernel_size in args.kernels:
        steps = {name: step_of(layer, x) for name, layer in forms(args.channels, kernel_size).items()}
        taken = np.array([[seconds(step) for step in steps.values()] for _ in range(args.rounds)])
        ratios = taken / taken[:, :1]
        cells = [f"{np.median(r):.2f} ({r.min():.2f}-{r.max():.2f})" for r in ratios.T[1:]]
        print(f"| {kernel_size} | {1000 * np.median(taken[:, 0]):.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
