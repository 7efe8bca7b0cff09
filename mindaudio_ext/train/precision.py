"""Mixed precision: products in float16, all else in float32, and a scaled loss that keeps small gradients."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, Tensor, amp, nn, ops

FIRST_SCALE, LARGEST_SCALE = 2.0**16, 2.0**24
GROW_AFTER = 2000  # updates without an overflow


def in_half_precision(function: Callable) -> Callable:
    """Returns a function that computes what another one does with its matrix products in float16.

    Parameters stay float32, and so do norms, sums and powers, which MindSpore's list for mixed precision names, and the
    CPU's LSTM; an Ascend's is float16 always.

    Args:
        function: of Tensors; a Cell stays as it is.
    """

    def half(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return function(*inputs)

    return amp.auto_mixed_precision(half, "auto", ms.float16)


class LossScale(nn.Cell):
    """The factor of the loss: halved when gradients overflow, doubled after `GROW_AFTER` updates without that.

    Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2.

    Inputs:
        finite: whether all gradients of this update were finite, bool [].

    Outputs:
        The next factor, float32 [].
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.scale = Parameter(Tensor(FIRST_SCALE, ms.float32), name="loss_scale", requires_grad=False)
        self.finite_steps = Parameter(Tensor(0, ms.int32), name="loss_scale_steps", requires_grad=False)

    def construct(self, finite: Tensor) -> Tensor:
        steps = ops.where(finite, self.finite_steps + 1, 0)
        grows = steps >= GROW_AFTER
        scale = ops.where(finite, self.scale * ops.where(grows, 2.0, 1.0), self.scale * 0.5)
        ops.assign(self.finite_steps, ops.where(grows, 0, steps).astype(ms.int32))
        return ops.assign(self.scale, ops.clip_by_value(scale, Tensor(1.0), Tensor(LARGEST_SCALE)))
