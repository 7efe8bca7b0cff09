"""Activations that MindSpore has only roughly, or whose gradients differ from run to run."""

import math

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops


class PReLU(nn.Cell):
    """max(x, 0) + weight * min(x, 0), with trainable weights (He et al., 2015, equation 1).

    MindSpore's own is slow on a CPU, and its gradient of the weight differs from run to run in the last digits.

    Args:
        n_weights: weights, each for an equal share of the last axis, in order.

    Inputs:
        x: any shape; the last axis a multiple of n_weights.

    Outputs:
        The same shape.
    """

    def __init__(self, n_weights: int = 1) -> None:
        super().__init__()
        self.n_weights = n_weights
        self.weight = Parameter(ops.full((n_weights,), 0.25, dtype=ms.float32), name="weight")
        self.rectify = _Rectify()

    def construct(self, x: Tensor) -> Tensor:
        if self.n_weights == 1:
            return self.rectify(x, self.weight)
        shares = x.reshape(-1, self.n_weights, x.shape[-1] // self.n_weights)  # [M, weights, N / weights]
        return self.rectify(shares, self.weight.reshape(-1, 1)).reshape(x.shape)


class _Rectify(nn.Cell):
    """`PReLU` with its weight as an input, [1], or [weights, 1] of x [M, weights, ...]; the gradient written out."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = ops.ReLU()  # MindSpore 2.10 finds the function `ops.relu` empty when two Cells have a `bprop`

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.relu(x) - weight * self.relu(-x)

    def bprop(self, x: Tensor, weight: Tensor, output: Tensor, d_output: Tensor) -> tuple[Tensor, Tensor]:
        products = (self.relu(-x) * d_output).astype(ms.float32)
        if weight.ndim == 1:  # one axis after the other: faster than both at once
            d_weight = -products.reshape(-1, x.shape[-1]).sum(axis=0).sum().reshape(1)
        else:
            d_weight = -products.sum(axis=0).sum(axis=1).reshape(-1, 1)
        where_positive = d_output * (x > 0).astype(d_output.dtype)
        d_x = where_positive + weight.astype(d_output.dtype) * (d_output - where_positive)
        return d_x.astype(x.dtype), d_weight


def tanh(x: Tensor) -> Tensor:
    """Returns the hyperbolic tangent to 1e-6: the CPU's own operator is wrong by up to 1e-4 beyond |x| = 2."""
    return ops.where(ops.abs(x) < 2.0, ops.tanh(x), 2 * ops.sigmoid(2 * x) - 1)


def gelu(x: Tensor) -> Tensor:
    """Returns x times the probability that a normal variable is below x (Hendrycks and Gimpel, 2016), by `erf`."""
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))
