"""The mean of the parameters of several epochs (Izmailov et al., "Averaging weights leads to wider optima", 2018)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.files import atomic_path
from mindaudio_ext.models.parameters import read_checkpoint, save_parameters


def average_best(model: nn.Cell, history: Sequence[dict[str, Any]], *, n_best: int, folder: Path) -> None:
    """Keeps the parameters of the n best epochs in `epoch_<n>.ckpt` and writes their mean, `average.ckpt`.

    Args:
        model: as it is after the history's last epoch.
        history: an entry with `epoch` and `valid_loss` for each finished epoch.
        n_best: epochs to keep.
        folder: of the checkpoints.
    """
    best = sorted(history, key=lambda entry: entry["valid_loss"])[:n_best]
    kept = [folder / f"epoch_{entry['epoch']}.ckpt" for entry in best]
    newest = folder / f"epoch_{history[-1]['epoch']}.ckpt"
    if newest in kept:
        save_parameters(model, newest)
        write_average([path for path in kept if path.is_file()], folder / "average.ckpt")
    for path in folder.glob("epoch_*.ckpt"):
        if path not in kept and re.fullmatch(r"epoch_\d+\.ckpt", path.name):  # a copy of the user's stays
            path.unlink()


def write_average(paths: Sequence[Path], out: Path) -> None:
    """Writes the mean of the parameters of several checkpoints."""
    stored = [read_checkpoint(path) for path in paths]
    means = {name: np.mean([one[name].asnumpy() for one in stored], axis=0, dtype=np.float64) for name in stored[0]}
    tensors = [{"name": name, "data": Tensor(mean.astype(np.float32))} for name, mean in means.items()]
    with atomic_path(out) as temporary:
        ms.save_checkpoint(tensors, str(temporary), crc_check=True)
