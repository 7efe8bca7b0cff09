"""What makes training fit: half precision, and computing again instead of keeping."""

import mindspore as ms
from mindspore import nn

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.norm import Norm


def compute_in_float16(model: nn.Cell) -> None:
    """Has a model compute in float16, but its norms in float32. Parameters stay float32."""
    model.to_float(ms.float16)
    for _, cell in model.cells_and_names():
        if isinstance(cell, Norm):
            cell.to_float(ms.float32)


def recompute_blocks(model: nn.Cell) -> None:
    """Has the backward pass compute what is inside of a separator's blocks again, instead of keeping it.

    Raises:
        InputError: the separator has no `blocks`.
    """
    blocks = getattr(getattr(model, "separator", None), "blocks", None)
    if not isinstance(blocks, nn.CellList):
        raise InputError("recompute: this model has no blocks to compute again; set it to false")
    for block in blocks:
        block.recompute()
