"""One block of a separator that can be any one of several which are alike: it is compiled once for all of them.

A sixth of the compiling for six blocks that are alike, and MindSpore's kernels, which keep their scratch memory, are
there once.
"""

import copy
from typing import Any

from mindspore import nn, ops


class LentBlock:
    """A copy of a block that is lent the parameters of each of several which are alike.

    Args:
        blocks: x -> x, of one kind and size.

    Attributes:
        cell: the copy.
        parameters: of the copy.
        sources: of each block, its parameters, in that order.
    """

    def __init__(self, blocks: list[nn.Cell]) -> None:
        self.sources = [list(block.get_parameters()) for block in blocks]
        self.cell = copy.deepcopy(blocks[0])
        self.parameters = list(self.cell.get_parameters())
        for parameter in self.parameters:
            parameter.name = f"lent.{parameter.name}"

    def take(self, number: int) -> None:
        """Makes the copy block `number`."""
        for own, parameter in zip(self.parameters, self.sources[number]):
            ops.assign(own, parameter)


def kinds_of_blocks(separator: Any) -> tuple[list[list[nn.Cell]], list[tuple[int, int]]]:
    """Returns a separator's blocks by kind, and for each block in order its kind and its place among these.

    Block i is of kind i % `block_period` if the separator has that, else all are of one.
    """
    blocks = list(separator.blocks)  # a slice of a CellList would give the parameters other names
    period = getattr(separator, "block_period", 1)
    return [blocks[kind::period] for kind in range(period)], [(i % period, i // period) for i in range(len(blocks))]
