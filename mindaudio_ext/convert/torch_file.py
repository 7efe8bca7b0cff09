"""Reads a PyTorch file (`torch.save`, zip format) without PyTorch and without running anything in it."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.errors import InputError

STORAGE_TYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_torch_file(path: Path) -> Any:
    """Gives what was saved, tensors as NumPy arrays.

    Only plain Python values, ordered dictionaries and tensors are understood; anything else in the pickle is refused,
    so a hostile file cannot run code.

    Raises:
        InputError: the file is missing, no PyTorch zip file, cut short, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (listing,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return _Unpickler(archive, listing.removesuffix("data.pkl"), archive.read(listing)).load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a whole PyTorch checkpoint: {error}") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled), encoding="utf-8")
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch.torch_version", "TorchVersion"):
            return str
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise pickle.UnpicklingError(f"it holds a {module}.{name}, which is not read")

    def persistent_load(self, pid: tuple) -> np.ndarray:
        _, dtype, key, _, size = pid
        values = np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), dtype)
        if len(values) != size:
            raise ValueError(f"tensor {key} has {len(values)} values, not {size}")
        return values


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    end = offset + sum((n - 1) * step for n, step in zip(shape, strides)) + 1
    if min(shape, default=1) > 0 and (offset < 0 or min(strides, default=0) < 0 or end > len(storage)):
        raise ValueError("a tensor reaches beyond its values")
    view = np.lib.stride_tricks.as_strided(storage[offset:], shape, [step * storage.itemsize for step in strides])
    return view.copy()
