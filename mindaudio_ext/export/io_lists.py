"""Folders of `.bin` files with a list, between the three steps of the 310 kit; docs/contracts.md has the format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

LIST_FORMAT = 1
TYPES = ("float32", "float16")


@dataclass(frozen=True)
class Layout:
    """What all files of a folder have in common: type and number of a chunk's samples, sources of its mixture."""

    dtype: str
    samples: int
    num_spks: int


@dataclass(frozen=True)
class ChunkedUtterance:
    """A line of a list. `seconds` is what its inference took; None in a list of inputs."""

    key: str
    file: str
    num_samples: int
    chunks: int
    seconds: float | None = None


def write_list(path: Path, layout: Layout, utterances: Sequence[ChunkedUtterance]) -> None:
    """Writes `inputs.txt` or `outputs.txt`, which is the sign that the folder is whole."""
    lines = [f"{path.stem} {LIST_FORMAT} {layout.dtype} {layout.samples} {layout.num_spks}"]
    for each in utterances:
        time = "" if each.seconds is None else f" {each.seconds:.6f}"
        lines.append(f"{each.key} {each.file} {each.num_samples} {each.chunks}{time}")
    write_text(path, "\n".join(lines) + "\n")


def read_list(path: Path) -> tuple[Layout, list[ChunkedUtterance]]:
    """Reads what `write_list` or the C++ runner wrote.

    Raises:
        InputError: it is missing, lists nothing or is something else, naming the line.
    """
    if not path.is_file():
        made_by = "preprocessing" if path.stem == "inputs" else "inference"
        raise InputError(f"{path}: no such file; {made_by} makes it")
    head, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    try:
        kind, number, dtype, samples, num_spks = head.split(" ")
        layout = Layout(dtype, int(samples), int(num_spks))
        if (kind, int(number)) != (path.stem, LIST_FORMAT) or dtype not in TYPES:
            raise ValueError("of another kind")
    except ValueError as error:
        raise InputError(f"{path}:1: '{head}' is not '{path.stem} {LIST_FORMAT} <type> <samples> <sources>'") from error
    utterances = [_parse(line, f"{path}:{row}") for row, line in enumerate(lines, 2)]
    if not utterances:
        raise InputError(f"{path}: lists no utterance")
    return layout, utterances


def _parse(line: str, where: str) -> ChunkedUtterance:
    try:
        key, file, num_samples, chunks, *seconds = line.split(" ")
        return ChunkedUtterance(key, file, int(num_samples), int(chunks), float(seconds[0]) if seconds else None)
    except ValueError as error:
        raise InputError(f"{where}: '{line}' is not '<key> <file> <samples> <chunks>'") from error


def read_bin(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads little-endian samples; gives float32 of the shape.

    Raises:
        InputError: the file is missing or has another size.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; repeat the step that makes it")
    values = np.fromfile(path, np.dtype(dtype).newbyteorder("<"))
    if values.nbytes != path.stat().st_size or values.size != np.prod(shape):
        raise InputError(f"{path}: has {path.stat().st_size} bytes; {dtype} {list(shape)} is expected")
    return values.reshape(shape).astype(np.float32)
