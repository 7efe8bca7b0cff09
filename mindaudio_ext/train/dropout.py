"""Dropout whose draws follow from a count of steps: MindSpore's own keeps a state that cannot be saved.

What is dropped is also the same when a block is computed again in the backward pass.
"""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

_GOLDEN = -1640531527  # 2^32 over the golden ratio, as int32: spreads neighbouring numbers


def count_dropout(model: nn.Cell, seed: int) -> Parameter | None:
    """Has the dropout of a model draw by a count; gives the count, which each step is to increase, or None.

    Args:
        model: its `nn.Dropout` cells are changed. The count does not become one of its parameters.
        seed: of the draws.
    """
    cells = [cell for _, cell in model.cells_and_names() if isinstance(cell, nn.Dropout) and 0 < cell.p < 1]
    if not cells:
        return None
    count = Parameter(Tensor(seed, ms.int32), name="dropout_count", requires_grad=False)
    for place, cell in enumerate(cells):
        cell.dropout = CountedDropout(cell.p, count, place)
    return count


class CountedDropout(nn.Cell):
    """Sets a share of its input to zero and scales up the rest; takes the place of `ops.Dropout`.

    Args:
        p: the share.
        count: int32 []; another count, another draw.
        place: number of this cell in the model.

    Attributes:
        offset: int32 [], added to `place`; None: nothing is.

    Inputs:
        x: of any shape.

    Outputs:
        The same shape, twice: `ops.Dropout` gives a mask too, which nobody reads.
    """

    def __init__(self, p: float, count: Parameter, place: int) -> None:
        super().__init__()
        object.__setattr__(self, "count", count)  # not to become a parameter of the model
        self.offset: Parameter | None = None
        self.place, self.scale, self.threshold = place + 1, 1 / (1 - p), round((1 - p) * 2**31)

    def draw_by(self, count: Parameter, offset: Parameter) -> None:
        """Has it draw by another count and at an offset, neither of which becomes a parameter of the model."""
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "offset", offset)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        place = self.place if self.offset is None else self.place + self.offset
        key = _scramble(_scramble(self.count + 0) + place * 7919)
        numbers = _scramble(ops.arange(x.size).astype(ms.int32) * _GOLDEN + key)
        kept = (numbers.reshape(x.shape) < self.threshold).astype(x.dtype) * self.scale
        return x * kept, kept


def _scramble(x: Tensor) -> Tensor:
    """A hash of int32 numbers to 0 ... 2^31 - 1: shifts and odd factors, in which every bit reaches all others."""
    x = ops.bitwise_and(x, 0x7FFFFFFF)
    x = ops.bitwise_xor(x, ops.bitwise_right_shift(x, 15)) * 739982445
    x = ops.bitwise_and(x, 0x7FFFFFFF)
    x = ops.bitwise_xor(x, ops.bitwise_right_shift(x, 12)) * 695872825
    x = ops.bitwise_and(x, 0x7FFFFFFF)
    return ops.bitwise_xor(x, ops.bitwise_right_shift(x, 15))
