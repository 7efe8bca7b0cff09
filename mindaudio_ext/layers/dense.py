"""Dense layers that start as PyTorch's do."""

import math

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Uniform


class AddBias(nn.Cell):
    """Adds a bias to rows; its gradient is a plain sum: on a CPU MindSpore's own takes up to five times as long.

    Inputs:
        x: [M, N].
        bias: [N].

    Outputs:
        [M, N].
    """

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        return ops.bias_add(x, bias)

    def bprop(self, x: Tensor, bias: Tensor, output: Tensor, d_output: Tensor) -> tuple[Tensor, Tensor]:
        return d_output.astype(x.dtype), d_output.astype(ms.float32).sum(axis=0)


def dense(n_in: int, n_out: int, *, has_bias: bool = True) -> nn.Dense:
    """A dense layer with PyTorch's initial values."""
    scale = Uniform(1.0 / math.sqrt(n_in))
    layer = nn.Dense(n_in, n_out, weight_init=scale, bias_init=scale if has_bias else None, has_bias=has_bias)
    if has_bias:
        layer.bias_add = AddBias()
    return layer
