"""Writes a file that `torch.load` reads, also with `weights_only=True`, without PyTorch."""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np

from mindaudio_ext.convert.torch_file import STORAGE_TYPES
from mindaudio_ext.files import atomic_path

FOLDER = "archive"  # the name is free; torch.load takes the only folder there is


def write_torch_file(path: str | os.PathLike, value: Any) -> None:
    """Writes plain Python values, ordered dictionaries and arrays (as tensors) in PyTorch's zip format, atomically.

    The same value gives the same bytes.

    Raises:
        TypeError: the value holds anything else.
    """
    encoder = _Encoder()
    pickled = pickle.PROTO + b"\x02" + encoder.encode(value) + pickle.STOP
    members = {"data.pkl": pickled, "byteorder": b"little"}
    members |= {f"data/{number}": values for number, values in enumerate(encoder.storages)}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**members, "version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}"), content)


class _Encoder:
    """Makes a pickle of protocol 2 from the few kinds of values a checkpoint has.

    Python's own pickler cannot name a class that is not there, and PyTorch's are not.

    Attributes:
        storages: the bytes of each array that was encoded, little-endian.
    """

    def __init__(self) -> None:
        self.storages: list[bytes] = []

    def encode(self, value: Any) -> bytes:
        if value is None:
            return pickle.NONE
        if isinstance(value, bool):
            return pickle.NEWTRUE if value else pickle.NEWFALSE
        if isinstance(value, int):
            return _integer(value)
        if isinstance(value, float):
            return pickle.BINFLOAT + struct.pack(">d", value)
        if isinstance(value, str):
            text = value.encode()
            return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
        if isinstance(value, np.ndarray):
            return self._tensor(value)
        return self._container(value)

    def _container(self, value: Any) -> bytes:
        if isinstance(value, dict):
            empty = _call("collections", "OrderedDict") if isinstance(value, OrderedDict) else pickle.EMPTY_DICT
            items = self._all(part for item in value.items() for part in item)
            return empty + pickle.MARK + items + pickle.SETITEMS
        if isinstance(value, list):
            return pickle.EMPTY_LIST + pickle.MARK + self._all(value) + pickle.APPENDS
        if isinstance(value, tuple):
            return pickle.MARK + self._all(value) + pickle.TUPLE
        raise TypeError(f"a {type(value).__name__} cannot be written to a PyTorch file")

    def _all(self, values: Iterable[Any]) -> bytes:
        return b"".join(map(self.encode, values))

    def _tensor(self, array: np.ndarray) -> bytes:
        """A call of PyTorch's rebuild function: storage, offset, shape, strides, requires_grad, hooks."""
        names = {np.dtype(dtype): name for name, dtype in STORAGE_TYPES.items()}
        array = np.asarray(array, order="C")
        if array.dtype not in names:
            raise TypeError(f"an array of {array.dtype} cannot be written to a PyTorch file")
        key = str(len(self.storages))
        self.storages.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        strides = tuple(step // array.itemsize for step in array.strides)
        persistent_id = (
            pickle.MARK
            + self.encode("storage")
            + _global("torch", names[array.dtype])
            + self._all((key, "cpu", array.size))
            + pickle.TUPLE
            + pickle.BINPERSID
        )
        rest = self._all((0, array.shape, strides, False, OrderedDict()))
        arguments = pickle.MARK + persistent_id + rest + pickle.TUPLE
        return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    content = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(content)]) + content


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _call(module: str, name: str) -> bytes:
    return _global(module, name) + pickle.EMPTY_TUPLE + pickle.REDUCE
