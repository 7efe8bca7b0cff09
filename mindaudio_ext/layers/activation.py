"""Activations with parameters."""

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
