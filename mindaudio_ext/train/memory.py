"""What makes training fit: computing again instead of keeping."""

from mindspore import nn

from mindaudio_ext.errors import InputError


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
