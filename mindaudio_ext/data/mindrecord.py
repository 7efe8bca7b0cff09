"""MindRecord directories, read: the mixtures of a data directory in few large files, with a manifest that proves them.

Columns and manifest are described in docs/contracts.md. MindSpore is imported only where rows are read.
"""

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json, sha256_of

DIRECTORY_FORMAT = 2  # of the directory: columns and manifest
MANIFEST = "manifest.json"
SCHEMA = {
    "key": {"type": "string"},
    "index": {"type": "int64"},
    "sample_rate": {"type": "int32"},
    "num_samples": {"type": "int64"},
    "num_spks": {"type": "int32"},
    "mixture": {"type": "bytes"},
    "sources": {"type": "bytes"},
    "crc32": {"type": "int64"},
}


@dataclass(frozen=True)
class Manifest:
    """What a MindRecord directory holds; the rows of `files`, one file after the other, are in the order of `keys`.

    Attributes:
        path: the directory.
        set_name: name of the set.
        sample_rate: Hz.
        num_spks: sources per mixture.
        files: the MindRecord files, in order.
        keys: of the mixtures.
        num_samples: of each mixture.
        crc32: of each row's samples.
        speakers: of each row's sources; None when the data directory does not tell them.
        silent: key -> numbers, from 1, of its silent sources; only of mixtures that have some, and not in sets made
            before this was noted.
        digests: file name -> (bytes, sha256), of the MindRecord files and their indexes.
        source: digest of what was dumped.
    """

    path: Path
    set_name: str
    sample_rate: int
    num_spks: int
    files: tuple[Path, ...]
    keys: tuple[str, ...]
    num_samples: list[int]
    crc32: list[int]
    speakers: list[tuple[str, ...]] | None
    silent: dict[str, tuple[int, ...]]
    digests: dict[str, tuple[int, str]]
    source: str

    def shorter_than(self, num_samples: int) -> list[str]:
        """Returns the keys of the mixtures of fewer samples."""
        return [key for key, length in zip(self.keys, self.num_samples) if length < num_samples]


def read_manifest(path: str | os.PathLike) -> Manifest:
    """Reads the manifest of a MindRecord directory.

    Raises:
        InputError: when there is none, or it is not one of this format.
    """
    path = Path(path)
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(f"{file}: no such file; stage 1 makes it")
    try:
        fields = parse_json(file.read_text(encoding="utf-8"))
        found, utts = fields["format"], fields["utts"]
        digests = {entry["name"]: (entry["bytes"], entry["sha256"]) for entry in fields["files"]}
        manifest = Manifest(
            path=path,
            set_name=fields["set"],
            sample_rate=fields["sample_rate"],
            num_spks=fields["num_spks"],
            files=tuple(path / name for name in digests if not name.endswith(".db")),
            keys=tuple(key for key, *_ in utts),
            num_samples=[length for _, length, *_ in utts],
            crc32=[crc32 for _, _, crc32, *_ in utts],
            silent={key: tuple(numbers) for key, numbers in fields.get("silent", {}).items()},
            speakers=[tuple(speakers) for *_, speakers in utts] if utts and len(utts[0]) > 3 else None,
            digests=digests,
            source=fields["source"],
        )
        totals = (len(utts), sum(manifest.num_samples))
        if totals != (fields["num_utts"], fields["num_samples"]):
            raise ValueError("its totals are not those of its list")
        if not manifest.files or any("/" in name for name in digests):
            raise ValueError("its files are not files of this folder")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: is damaged ({error}); remove {path} and run stage 1 again") from error
    if found != DIRECTORY_FORMAT:
        raise InputError(
            f"{file}: is of format {found}, {DIRECTORY_FORMAT} is expected; remove {path} and run stage 1 again"
        )
    return manifest


def check_mindrecord(path: str | os.PathLike) -> Manifest:
    """Reads the manifest and proves every file against it.

    Raises:
        InputError: naming the file that is missing, of another size, or changed.
    """
    manifest = read_manifest(path)
    for name, (size, sha256) in manifest.digests.items():
        file = manifest.path / name
        if not file.is_file():
            raise InputError(f"{file}: is missing; run stage 1 again")
        if file.stat().st_size != size:
            raise InputError(f"{file}: has {file.stat().st_size} bytes instead of {size}; run stage 1 again")
        if sha256_of(file) != sha256:
            raise InputError(f"{file}: is damaged, its checksum differs; run stage 1 again")
    return manifest


def read_rows(manifest: Manifest, order: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields index, mixture int16 [T] and sources int16 [C, T] of the rows, in the given order."""
    if not order:
        return
    import mindspore.dataset as ds

    rows = ds.MindDataset(
        [str(file) for file in manifest.files],
        columns_list=list(SCHEMA),
        sampler=ds.SubsetSampler(list(order)),
        num_parallel_workers=1,
    )
    for row in rows.create_dict_iterator(num_epochs=1, output_numpy=True):
        yield int(row["index"]), *decode_row(row)


def decode_row(row: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the samples of a row that MindSpore's reader delivered as NumPy values.

    Args:
        row: column -> value, with all columns of the contract.

    Returns:
        the mixture int16 [T] and the sources int16 [C, T].

    Raises:
        InputError: naming the key, when the samples are not those that were written.
    """
    # A bytes column comes as |S<n>, whose item() would drop trailing zeros; tobytes() keeps them.
    mixture, sources = (np.asarray(row[name]).tobytes() for name in ("mixture", "sources"))
    num_samples, num_spks = int(row["num_samples"]), int(row["num_spks"])
    whole = len(mixture) == 2 * num_samples and len(sources) == 2 * num_spks * num_samples
    if not whole or zlib.crc32(sources, zlib.crc32(mixture)) != int(row["crc32"]):
        raise InputError(f"{row['key']}: its samples are damaged in the MindRecord file; run stage 1 again")
    return np.frombuffer(mixture, "<i2"), np.frombuffer(sources, "<i2").reshape(num_spks, num_samples)
