"""Reads a PyTorch file (`torch.save`, zip or the older format) without PyTorch and without running anything in it."""

import io
import math
import os
import pickle
import re
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
# What NumPy and MindSpore have no type for is read as what its bits are, and turned into float32.
BFLOAT16 = "<u2"
ZIP_START = b"PK\x03\x04"
LFS_START = b"version https://git-lfs"
_LIGHTNING = (
    "pytorch_lightning.utilities.parsing",
    "lightning.pytorch.utilities.parsing",
    "lightning_fabric.utilities.data",
    "lightning.fabric.utilities.data",
)
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = pickle.dumps(LEGACY_MAGIC, protocol=2)
LEGACY_VERSION = 1001


def is_torch_file(path: str | os.PathLike) -> bool:
    """Whether a file begins like one of PyTorch's; raises InputError when it cannot be opened."""
    with open_checkpoint(path) as file:
        start = file.read(len(LEGACY_START))
    return start.startswith(ZIP_START) or start == LEGACY_START


def read_torch_file(path: str | os.PathLike) -> Any:
    """Returns what was saved, tensors as NumPy arrays.

    Plain Python values, ordered dictionaries, tensors, NumPy's scalars and dtypes (as Python's values and as text) and
    Lightning's AttributeDict (as a dictionary) are understood; anything else in the pickle is refused, so a hostile
    file cannot run code. A tensor of bfloat16 becomes one of float32, which holds all its values.

    Raises:
        InputError: the file is missing, no PyTorch file, cut short, or holds something else.
    """
    with open_checkpoint(path) as file:
        try:
            return _read_zip(file) if file.read(4) == ZIP_START else _read_legacy(file)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # what damaged pickles raise has no end: IndexError, AttributeError, MemoryError, ...
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: not a whole PyTorch checkpoint: {reason[:200]}") from error


def open_checkpoint(path: str | os.PathLike) -> BinaryIO:
    """Opens a file of parameters; raises InputError when there is none, or what Git LFS leaves in its place."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(LFS_START))
        if start != LFS_START:
            return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a checkpoint") from error
    raise InputError(f"{path}: is a pointer of Git LFS, not the file itself; `git lfs pull` brings it")


def _read_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("the zip file is compressed, which torch.save's are not")
        listings = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(listings) != 1:
            raise ValueError("the zip file has no data.pkl")
        folder = listings[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")

        def storage(pid: tuple) -> np.ndarray:
            _, dtype, key, _, size = pid
            values = values_of(archive.read(f"{folder}data/{key}"), dtype)
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
        values = values_of(file.read(size * np.dtype(dtype).itemsize), dtype)
        if not len(values) == size == stored:
            raise ValueError(f"tensor {key} has {len(values)} values, not {size}")
        storages[key] = values
    file.seek(start)
    return _Unpickler(file, lambda pid: storages[pid[2]]).load()


def values_of(content: bytes, dtype: Any) -> np.ndarray:
    """Returns the values that bytes hold, flat; bfloat16 as float32."""
    values = np.frombuffer(content, dtype)
    if dtype is BFLOAT16:  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


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
            ("torch", "BFloat16Storage"): BFLOAT16,
            ("torch", "Size"): tuple,
            ("_codecs", "encode"): _bytes,
            ("numpy", "dtype"): _DType,
            **dict.fromkeys(((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")), _scalar),
            **dict.fromkeys(((module, "AttributeDict") for module in _LIGHTNING), _AttributeDict),
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
    if math.prod(shape) > len(storage):
        raise ValueError("a tensor has more values than are stored")
    view = np.lib.stride_tricks.as_strided(storage[offset:], shape, [step * storage.itemsize for step in strides])
    return view.copy()


class _DType(str):
    """A dtype's name: a number's, a boolean's or text's, such as "f8". NumPy itself would take any.

    Attributes:
        order: of its bytes, "<" or ">".
    """

    order = "<"

    def __new__(cls, name: str, *_: Any) -> "_DType":
        if not re.fullmatch(r"[fiu][1248]|b1|[SU]\d{1,4}", name):
            raise pickle.UnpicklingError(f"it holds a numpy.dtype {name[:40]!r}, which is not read")
        return super().__new__(cls, name)

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _scalar(dtype: _DType, content: bytes) -> Any:
    """Returns a scalar of NumPy as Python's value."""
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("it holds a numpy scalar of no dtype, which is not read")
    (value,) = np.frombuffer(content, dtype.order + dtype)
    return value.item()


def _bytes(text: str, encoding: str) -> bytes:
    """Protocol 2 has no bytes; pickle writes them as text that is to be encoded."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes as {encoding}, which is not read")
    return text.encode(encoding)


class _AttributeDict(dict):
    """Lightning's dictionary of hyperparameters, whose items are attributes too there."""

    def __setstate__(self, state: Any) -> None:
        """Attributes are left out."""


def _first(tensor: np.ndarray, *_: Any) -> np.ndarray:
    """A Parameter is its tensor."""
    return tensor
