"""Reads a PyTorch file (`torch.save`, zip or the older format) without PyTorch and without running anything in it."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

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
ZIP_START = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = pickle.dumps(LEGACY_MAGIC, protocol=2)
LEGACY_VERSION = 1001


def is_torch_file(path: str | os.PathLike) -> bool:
    """Whether a file begins like one of PyTorch's; raises InputError when it cannot be opened."""
    with _open(path) as file:
        start = file.read(len(LEGACY_START))
    return start.startswith(ZIP_START) or start == LEGACY_START


def read_torch_file(path: str | os.PathLike) -> Any:
    """Gives what was saved, tensors as NumPy arrays.

    Only plain Python values, ordered dictionaries and tensors are understood; anything else in the pickle is refused,
    so a hostile file cannot run code.

    Raises:
        InputError: the file is missing, no PyTorch file, cut short, or holds something else.
    """
    with _open(path) as file:
        try:
            return _read_zip(file) if file.read(4) == ZIP_START else _read_legacy(file)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # what damaged pickles raise has no end: IndexError, AttributeError, MemoryError, ...
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: not a whole PyTorch checkpoint: {reason[:200]}") from error


def _open(path: str | os.PathLike) -> BinaryIO:
    try:
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a checkpoint") from error


def _read_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        listings = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(listings) != 1:
            raise ValueError("the zip file has no data.pkl")
        folder = listings[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")

        def storage(pid: tuple) -> np.ndarray:
            _, dtype, key, _, size = pid
            values = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
            if len(values) != size:
                raise ValueError(f"tensor {key} has {len(values)} values, not {size}")
            return values

        return _Unpickler(io.BytesIO(archive.read(listings[0])), storage).load()


def _read_legacy(file: BinaryIO) -> Any:
    """Reads the format before PyTorch 1.6: pickles one after the other, then the tensors' values.

    The values come last, so the pickle that refers to them is read twice.
    """
    file.seek(0)
    if file.read(len(LEGACY_START)) != LEGACY_START:
        raise ValueError("it does not begin like a file of torch.save")
    if _load_plain(file) != LEGACY_VERSION or _load_plain(file).get("little_endian") is not True:
        raise ValueError("it is of an unknown version")
    start = file.tell()
    storages: dict[str, Any] = {}

    def note(pid: tuple) -> None:
        _, dtype, key, _, size, view = pid
        if view is not None:
            raise ValueError("it holds a view of a storage, which is not read")
        storages[key] = (dtype, size)

    _Unpickler(file, note, rebuild=_nothing).load()
    for key in _load_plain(file):
        dtype, size = storages[key]
        stored = int.from_bytes(file.read(8), "little")
        values = np.frombuffer(file.read(size * np.dtype(dtype).itemsize), dtype)
        if not len(values) == size == stored:
            raise ValueError(f"tensor {key} has {len(values)} values, not {size}")
        storages[key] = values
    file.seek(start)
    return _Unpickler(file, lambda pid: storages[pid[2]]).load()


def _load_plain(file: BinaryIO) -> Any:
    return _Unpickler(file, _nothing).load()


def _nothing(*_: Any) -> None:
    return None


class _Unpickler(pickle.Unpickler):
    """Unpickles what a checkpoint may hold and nothing else.

    Args:
        file: holds the pickle.
        storage: gives a storage's values, flat, for its persistent id.
        rebuild: gives a tensor of a storage, an offset, a shape and strides.
    """

    def __init__(
        self, file: BinaryIO, storage: Callable[[tuple], Any], rebuild: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self.storage = storage
        self.known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild or _tensor,
            ("torch._utils", "_rebuild_parameter"): _first,
            ("torch.torch_version", "TorchVersion"): str,
            **{("torch", name): dtype for name, dtype in STORAGE_TYPES.items()},
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise pickle.UnpicklingError(f"it holds a {module}.{name}, which is not read")
        return self.known[module, name]

    def persistent_load(self, pid: tuple) -> Any:
        return self.storage(pid)


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    end = offset + sum((n - 1) * step for n, step in zip(shape, strides)) + 1
    if min(shape, default=1) > 0 and (offset < 0 or min(strides, default=0) < 0 or end > len(storage)):
        raise ValueError("a tensor reaches beyond its values")
    view = np.lib.stride_tricks.as_strided(storage[offset:], shape, [step * storage.itemsize for step in strides])
    return view.copy()


def _first(tensor: np.ndarray, *_: Any) -> np.ndarray:
    """A Parameter is its tensor."""
    return tensor
