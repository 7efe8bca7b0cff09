"""A model's parameters on disk: strict in both directions, written atomically, with a checksum."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path


def save_parameters(model: nn.Cell, path: str | os.PathLike, *, half: bool = False) -> None:
    """Writes all parameters of a model as MindSpore's `.ckpt`, atomically and with a CRC.

    Args:
        model: what has them.
        path: the file.
        half: whether to write them in float16.

    Raises:
        InputError: float16 cannot hold a value.
    """
    halves = [{"name": p.name, "data": _in_half(p)} for p in model.get_parameters()] if half else None
    with atomic_path(path) as temporary:
        ms.save_checkpoint(halves or model, str(temporary), crc_check=True)


def _in_half(parameter: Parameter) -> Tensor:
    with np.errstate(over="ignore"):
        values = parameter.asnumpy().astype(np.float16)
    if not np.isfinite(values).all():
        raise InputError(f"{parameter.name}: has a value that float16 cannot hold")
    return Tensor(values)


def read_checkpoint(path: str | os.PathLike) -> dict[str, Parameter]:
    """Returns the parameters of a MindSpore checkpoint, by name.

    Raises:
        OSError: it may not be read; MindSpore tells that in two lines of its own.
        ValueError, RuntimeError, TypeError: it is none, or damaged.
    """
    with open(path, "rb"):
        return ms.load_checkpoint(str(path), crc_check=True)


def load_parameters(model: nn.Cell, path: str | os.PathLike) -> None:
    """Fills a model from what `save_parameters` wrote; float16 becomes the model's type.

    Raises:
        InputError: the file is missing or damaged, or its parameters are not the model's; names the first that differs.
    """
    _fill(model, _read(path), path)


def load_deeper(model: nn.Cell, path: str | os.PathLike, order: Sequence[int]) -> None:
    """Fills a model from a checkpoint of one with fewer blocks, so that at first it gives the same estimates.

    A block that comes again begins as a copy of the first that adds nothing to its input: Wu et al., "LLaMA Pro:
    progressive LLaMA with block expansion", ACL 2024.

    Args:
        model: its `separator.blocks` have `become_identity`.
        path: what `save_parameters` wrote.
        order: for each of the model's blocks the number of its block in the checkpoint, from 0.

    Raises:
        InputError: as `load_parameters`, or the separator cannot, or `order` is not all of the
            checkpoint's blocks in their order, each once or several times.
    """
    blocks = getattr(getattr(model, "separator", None), "blocks", ())
    if not all(hasattr(block, "become_identity") for block in blocks) or not len(blocks):
        raise InputError("init_blocks: this model has no blocks that can be added; leave it out")
    if len(order) != len(blocks):
        raise InputError(
            f"init_blocks: names {len(order)} blocks, the model has {len(blocks)} (separator_conf.n_blocks)"
        )
    ordered, found = {}, set()
    for name, value in _read(path).items():
        block = re.fullmatch(r"(separator\.blocks\.)(\d+)(\..*)", name)
        if not block:
            ordered[name] = value
            continue
        found.add(int(block[2]))
        for place, number in enumerate(order):
            if number == int(block[2]):
                copied = f"{block[1]}{place}{block[3]}"
                ordered[copied] = Parameter(Tensor(value.asnumpy()), name=copied)
    if list(dict.fromkeys(order)) != sorted(found):
        raise InputError(f"init_blocks: must have all blocks of {path}, 0 to {len(found) - 1}, in their order")
    _fill(model, ordered, path)
    for place, number in enumerate(order):
        if number in order[:place]:
            blocks[place].become_identity()


def _read(path: str | os.PathLike) -> dict[str, Parameter]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        return read_checkpoint(path)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: not a whole checkpoint: {' '.join(str(error).split())[:200]}") from error


def _fill(model: nn.Cell, stored: dict[str, Parameter], path: str | os.PathLike) -> None:
    wanted = {parameter.name: parameter for parameter in model.get_parameters()}
    for name in sorted(wanted.keys() ^ stored.keys()):
        where = "is missing from the checkpoint" if name in wanted else "is not a parameter of the model"
        raise InputError(f"{path}: parameter {name} {where}; does the config belong to it?")
    for name, parameter in wanted.items():
        found, expected = tuple(stored[name].shape), tuple(parameter.shape)
        if found != expected:
            raise InputError(f"{path}: parameter {name} has shape {found}, the model wants {expected}")
        if stored[name].dtype == ms.float16:
            stored[name] = Parameter(stored[name].astype(parameter.dtype), name=name)
    ms.load_param_into_net(model, stored, strict_load=True)
