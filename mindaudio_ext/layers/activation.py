"""Activations that MindSpore has only roughly, or whose gradients differ from run to run."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops


class PReLU(nn.Cell):
    """max(x, 0) + weight * min(x, 0), with one trainable weight (He et al., 2015, equation 1).

    MindSpore's own on a CPU gives a gradient of the weight that differs from run to run in the last digits; this one
    does not.

    Inputs:
        x: any shape.

    Outputs:
        The same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter(ops.full((1,), 0.25, dtype=ms.float32), name="weight")

    def construct(self, x: Tensor) -> Tensor:
        return ops.relu(x) - self.weight * ops.relu(-x)


def tanh(x: Tensor) -> Tensor:
    """Gives tanh(x) to 1e-6: the CPU's own operator is wrong by up to 1e-4 beyond |x| = 2."""
    return ops.where(ops.abs(x) < 2.0, ops.tanh(x), 2 * ops.sigmoid(2 * x) - 1)
