"""The state of a training after an epoch, in one file: parameters, the optimizer's moments, history, and its data."""

import json
import os
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Parameter, nn

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path

PROGRESS = "progress"


def save_state(
    path: str | os.PathLike, optimizer: nn.Optimizer, history: list[dict[str, Any]], data: dict[str, str]
) -> None:
    """Writes the optimizer with the model's parameters, which are its own, and the progress, atomically.

    Args:
        path: the file.
        optimizer: of all the model's parameters.
        history: an entry for each finished epoch.
        data: a digest of each set, by the set's folder.
    """
    progress = json.dumps({"history": history, "data": data})
    with atomic_path(path) as temporary:
        ms.save_checkpoint(optimizer, str(temporary), append_dict={PROGRESS: progress}, crc_check=True)


def load_state(path: str | os.PathLike, optimizer: nn.Optimizer, data: dict[str, str]) -> list[dict[str, Any]]:
    """Fills the optimizer and the model; gives the history, one entry for each finished epoch.

    Without the file nothing is filled and the history is empty.

    Raises:
        InputError: the file is damaged, belongs to another model or optimizer, or to other data.
    """
    if not Path(path).is_file():
        return []
    try:
        stored = ms.load_checkpoint(str(path), crc_check=True)
        progress = json.loads(stored.pop(PROGRESS))
        history, trained_on = progress["history"], progress["data"]
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a whole checkpoint ({reason}); remove it to start anew") from error
    for (folder, digest), before in zip(data.items(), trained_on.values()):
        if digest != before:
            raise InputError(f"{folder}: {path} was trained on other data; give another --expdir, or remove it")
    wanted = {parameter.name: parameter for parameter in optimizer.get_parameters()}
    fits = {name: tuple(p.shape) for name, p in wanted.items()} == {n: tuple(p.shape) for n, p in stored.items()}
    if not fits:
        raise InputError(f"{path}: belongs to another model or optimizer; give another --expdir, or remove it")
    for name, parameter in wanted.items():
        _fill(parameter, stored[name])
    return history


def _fill(parameter: Parameter, stored: Parameter) -> None:
    parameter.set_data(ms.Tensor(stored.asnumpy(), parameter.dtype))
