"""A model's parameters on disk: strict in both directions, written atomically, with a checksum."""

import os
from pathlib import Path

import mindspore as ms
from mindspore import nn

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path


def save_parameters(model: nn.Cell, path: str | os.PathLike) -> None:
    """Writes all parameters of a model as MindSpore's `.ckpt`, atomically and with a CRC."""
    with atomic_path(path) as temporary:
        ms.save_checkpoint(model, str(temporary), crc_check=True)


def load_parameters(model: nn.Cell, path: str | os.PathLike) -> None:
    """Fills a model from what `save_parameters` wrote.

    Raises:
        InputError: the file is missing or damaged, or its parameters are not the model's; names the first that differs.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        stored = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: not a whole checkpoint: {' '.join(str(error).split())[:200]}") from error
    wanted = {parameter.name: parameter for parameter in model.get_parameters()}
    for name in sorted(wanted.keys() ^ stored.keys()):
        where = "is missing from the checkpoint" if name in wanted else "is not a parameter of the model"
        raise InputError(f"{path}: parameter {name} {where}; does the config belong to it?")
    for name, parameter in wanted.items():
        found, expected = tuple(stored[name].shape), tuple(parameter.shape)
        if found != expected:
            raise InputError(f"{path}: parameter {name} has shape {found}, the model wants {expected}")
    ms.load_param_into_net(model, stored, strict_load=True)
