"""Reads a safetensors file: the length of a header, a header in JSON, and the tensors' values end to end."""

import math
import os
from typing import Any

import numpy as np

from mindaudio_ext.convert.torch_file import BFLOAT16, open_checkpoint, values_of
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json

LONGEST_HEADER = 100_000_000  # bytes, as in the format's definition
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the tensors by name; bfloat16 as float32.

    Raises:
        InputError: the file is missing, no safetensors file, or cut short.
    """
    with open_checkpoint(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, LONGEST_HEADER):
            raise InputError(f"{path}: not a whole safetensors file: it has {size} bytes, its header {length}")
        header = file.read(length)
        content = file.read()
    try:
        entries = parse_json(header.decode())
        return {name: _tensor(content, entry) for name, entry in entries.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a whole safetensors file: {reason[:200]}") from error


def _tensor(content: bytes, entry: dict[str, Any]) -> np.ndarray:
    start, end = entry["data_offsets"]
    dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if not 0 <= start <= end <= len(content) or end - start != wanted:
        raise ValueError(f"a tensor of {wanted} bytes is at {start} to {end} of {len(content)}")
    return values_of(content[start:end], dtype).reshape(shape)
