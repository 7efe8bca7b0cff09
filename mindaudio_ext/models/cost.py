"""What a model costs to run: multiply-adds, counted while it runs."""

import math
from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.device import one_at_a_time

_FROM_INPUT = (nn.Conv1dTranspose, nn.Conv2dTranspose)  # they apply their weight at each frame that comes in
_CHANNELS_SECOND = (nn.Conv1d, nn.Conv2d, nn.Conv1dTranspose, nn.Conv2dTranspose)


@one_at_a_time
def count_multiply_adds(model: nn.Cell, n_samples: int) -> int:
    """Returns the multiply-adds of a model on one mixture, by running it on zeros, in PyNative mode.

    Counted are the products with trained matrices (dense layers, convolutions, RNNs), each as often as it is applied,
    also to frames that only fill up a chunk, and those between frames in attention. Norms, activations, biases, masks
    and overlap-add are not: about a hundredth.

    A cell with products of another kind says all of its own by a method `own_multiply_adds(x)` of its input; one that
    applies its weight at each frame that comes in, not at each that goes out, has `weight_is_per_input`.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
        n_samples: T.
    """
    counts: list[int] = []
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    handles = [cell.register_forward_hook(_counter(counts)) for _, cell in model.cells_and_names()]
    try:
        model.set_train(False)
        model(Tensor(np.zeros((1, n_samples), np.float32)))
    finally:
        for handle in handles:
            handle.remove()
        ms.set_context(mode=mode)
    return sum(counts)


def _counter(counts: list[int]) -> Callable[..., None]:
    """Makes a hook that appends the multiply-adds of one call of a cell, its children's left to them."""

    def count(cell: nn.Cell, inputs: tuple, output: Tensor | tuple) -> None:
        x = inputs[0]
        weights = sum(
            parameter.size for parameter in cell.parameters_dict(recurse=False).values() if parameter.ndim > 1
        )
        if hasattr(cell, "own_multiply_adds"):
            counts.append(cell.own_multiply_adds(x))
        elif weights:
            per_input = isinstance(cell, _FROM_INPUT) or getattr(cell, "weight_is_per_input", False)
            at = x if per_input else output
            counts.append(weights * _positions(at[0] if isinstance(at, tuple) else at, cell))

    return count


def _positions(x: Tensor, cell: nn.Cell) -> int:
    return math.prod(x.shape) // x.shape[1 if isinstance(cell, _CHANNELS_SECOND) else -1]
