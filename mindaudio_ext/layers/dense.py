"""Dense layers that start as PyTorch's do."""

import math

from mindspore import nn
from mindspore.common.initializer import Uniform


def dense(n_in: int, n_out: int, *, has_bias: bool = True) -> nn.Dense:
    """A dense layer with PyTorch's initial values."""
    scale = Uniform(1.0 / math.sqrt(n_in))
    return nn.Dense(n_in, n_out, weight_init=scale, bias_init=scale if has_bias else None, has_bias=has_bias)
