"""The state of a training after an epoch, in one file: parameters, the optimizer's moments, and the history."""

import json
import os
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Parameter, nn

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path

HISTORY = "history"


def save_state(path: str | os.PathLike, optimizer: nn.Optimizer, history: list[dict[str, Any]]) -> None:
    """Writes the optimizer with the model's parameters, which are its own, and the history, atomically."""
    with atomic_path(path) as temporary:
        ms.save_checkpoint(optimizer, str(temporary), append_dict={HISTORY: json.dumps(history)}, crc_check=True)


def load_state(path: str | os.PathLike, optimizer: nn.Optimizer) -> list[dict[str, Any]]:
    """Fills the optimizer and the model; gives the history, one entry for each finished epoch.

    Without the file nothing is filled and the history is empty.

    Raises:
        InputError: the file is damaged, or belongs to another model or optimizer.
    """
    if not Path(path).is_file():
        return []
    try:
        stored = ms.load_checkpoint(str(path), crc_check=True)
        history = json.loads(stored.pop(HISTORY))
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a whole checkpoint ({reason}); remove it to start anew") from error
    wanted = {parameter.name: parameter for parameter in optimizer.get_parameters()}
    fits = {name: tuple(p.shape) for name, p in wanted.items()} == {n: tuple(p.shape) for n, p in stored.items()}
    if not fits:
        raise InputError(f"{path}: belongs to another model or optimizer; give another --expdir, or remove it")
    for name, parameter in wanted.items():
        _fill(parameter, stored[name])
    return history


def _fill(parameter: Parameter, stored: Parameter) -> None:
    parameter.set_data(ms.Tensor(stored.asnumpy(), parameter.dtype))
