"""MindRecord directories: the mixtures of a data directory in few large files, with a manifest that proves them whole.

Columns and manifest are described in docs/contracts.md. MindSpore is imported only where it is used, so that the
processes that read wavs start fast.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import files_of, to_pcm16
from mindaudio_ext.data.kaldi_dir import DataDir, Entry, read_data_dir, read_mixture, recover_dir, replace_dir
from mindaudio_ext.data.mix_csv import MIX_CSV
from mindaudio_ext.data.mixture import STAMP
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

FORMAT = 2  # of the directory: columns and manifest
MANIFEST = "manifest.json"
SHARD_BYTES = 1 << 30  # of samples in a file, about
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

_PAGE_LEAST, _PAGE_MOST = 1 << 20, 1 << 28  # bytes; MindRecord's own upper limit
_ROWS_IN_PAGE = 8  # at least, of the longest: a page is left with up to one row's length unused
_ROW_EXTRA = 64  # bytes of a row beside its samples, generously
_HEADER_LEAST, _HEADER_MOST = 1 << 16, 1 << 27
_HEADER_PER_PAGE = 512  # bytes; a page's entry in the header takes about 200
_BATCH_BYTES = 1 << 26  # handed to the writer at once


@dataclass(frozen=True)
class Manifest:
    """What a MindRecord directory holds; the rows of `files`, one file after the other, are in the order of `keys`.

    Attributes:
        path: the directory.
        set_name: name of the set.
        sample_rate: Hz.
        num_spks: sources a mixture.
        files: the MindRecord files, in order.
        keys: of the mixtures.
        num_samples: of each mixture.
        crc32: of each row's samples.
        speakers: of each row's sources; None when the data directory does not tell them.
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
    digests: dict[str, tuple[int, str]]
    source: str


@dataclass(frozen=True)
class Row:
    """A mixture as it is stored: samples as little-endian int16."""

    key: str
    sample_rate: int
    num_samples: int
    num_spks: int
    mixture: bytes
    sources: bytes

    @property
    def crc32(self) -> int:
        """Checksum of the mixture followed by the sources."""
        return zlib.crc32(self.sources, zlib.crc32(self.mixture))


def dump(
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    name: str | None = None,
    nj: int = 1,
    shard_bytes: int = SHARD_BYTES,
    allow_pipes: bool = False,
) -> tuple[Manifest, bool]:
    """Makes a MindRecord directory of a data directory, unless a whole one of the same data is there.

    The same data give the same bytes.

    Args:
        data: the data directory; it is checked while it is read.
        out: the MindRecord directory; its last part names the set. One that is there stays until the new one is whole.
        name: of the files, `<name>.mindrecord*`; the set's name when None.
        nj: processes that read.
        shard_bytes: of samples in a file, about.
        allow_pipes: run the commands in scp files.

    Returns:
        the manifest, and whether anything was written.

    Raises:
        InputError: naming what is wrong with the data directory.
    """
    read, out = read_data_dir(data, allow_pipes=allow_pipes, unwritten=True), Path(os.path.abspath(out))
    source = _source_digest(read)
    recover_dir(out)
    name = name or out.name
    if _is_up_to_date(read, out, name, source):
        return read_manifest(out), False
    temporary = out.with_name(f".tmp.{out.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write(read, temporary, out.name, name, source, nj, shard_bytes)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    replace_dir(temporary, out)
    return read_manifest(out), True


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
        fields = json.loads(file.read_text(encoding="utf-8"))
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
            speakers=[tuple(speakers) for *_, speakers in utts] if utts and len(utts[0]) > 3 else None,
            digests=digests,
            source=fields["source"],
        )
        totals = (len(utts), sum(manifest.num_samples))
        if totals != (fields["num_utts"], fields["num_samples"]):
            raise ValueError("its totals are not those of its list")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is damaged ({error}); remove {path} and run stage 1 again") from error
    if found != FORMAT:
        raise InputError(f"{file}: is of format {found}, {FORMAT} is expected; remove {path} and run stage 1 again")
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
        if _sha256(file) != sha256:
            raise InputError(f"{file}: is damaged, its checksum differs; run stage 1 again")
    return manifest


def decode_row(row: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Gives the samples of a row that MindSpore's reader delivered as NumPy values.

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


def _write(data: DataDir, folder: Path, set_name: str, stem: str, source: str, nj: int, shard_bytes: int) -> None:
    """Writes the files and, last, the manifest."""
    rows = parallel_map(_read_row, data.entries(), nj=nj, title=f"dump {set_name}")
    shards = _shards(data, shard_bytes)
    page, header = _page_and_header([[_row_bytes(data, key) for key in keys] for keys in shards])
    utts: list[list[str | int]] = []
    rate = None
    for number, keys in enumerate(shards):
        digits = len(str(len(shards) - 1))
        name = f"{stem}.mindrecord" + (f"{number:0{digits}d}" if len(shards) > 1 else "")
        with _errors_in_one_line(folder / name):
            writer = _open_writer(folder / name, page=page, header=header)
            for batch in _batches(rows, len(keys)):
                rate = rate or batch[0].sample_rate
                for row in batch:
                    if row.sample_rate != rate:
                        raise InputError(
                            f"{data.path}: {row.key} is at {row.sample_rate} Hz, {data.keys[0]} at {rate} Hz"
                        )
                writer.write_raw_data([_columns(row, len(utts) + i) for i, row in enumerate(batch)])
                utts += [[row.key, row.num_samples, row.crc32, *_speakers(data, row.key)] for row in batch]
            writer.commit()
            _require_rows(folder / name, utts[-len(keys) :])
    names = sorted(file.name for file in folder.iterdir())
    manifest = {
        "format": FORMAT,
        "set": set_name,
        "sample_rate": rate,
        "num_spks": len(data.sources),
        "num_utts": len(utts),
        "num_samples": sum(data.num_samples.values()),
        "source": source,
        "files": [
            {"name": name, "bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in names
        ],
    }
    lines = ",\n  ".join(json.dumps(utt, ensure_ascii=False) for utt in utts)
    head = json.dumps(manifest, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_text(folder / MANIFEST, f'{head},\n "utts": [\n  {lines}\n ]\n}}\n')
    for name in names:  # MindRecord lets only their owner read them
        shutil.copymode(folder / MANIFEST, folder / name)


def _speakers(data: DataDir, key: str) -> list[tuple[str, ...]]:
    """Gives what a row of the manifest ends with: a list of speakers, when they are known."""
    return [data.src2spk[key]] if data.src2spk else []


def _read_row(entry: Entry) -> Row:
    mixture, sources, rate = read_mixture(entry)
    return Row(
        key=entry.key,
        sample_rate=rate,
        num_samples=len(mixture),
        num_spks=len(sources),
        mixture=to_pcm16(mixture).astype("<i2").tobytes(),
        sources=to_pcm16(sources).astype("<i2").tobytes(),
    )


def _columns(row: Row, index: int) -> dict[str, str | int | bytes]:
    """Gives a row of the schema; plain Python values only, because MindRecord drops rows with NumPy's silently."""
    return {
        "key": row.key,
        "index": index,
        "sample_rate": int(row.sample_rate),
        "num_samples": row.num_samples,
        "num_spks": row.num_spks,
        "mixture": row.mixture,
        "sources": row.sources,
        "crc32": row.crc32,
    }


def _shards(data: DataDir, shard_bytes: int) -> list[list[str]]:
    """Divides the keys, in order, into files of about `shard_bytes`."""
    shards: list[list[str]] = [[]]
    filled = 0
    for key in data.keys:
        if shards[-1] and filled + _row_bytes(data, key) > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(key)
        filled += _row_bytes(data, key)
    return shards


def _row_bytes(data: DataDir, key: str) -> int:
    size = 2 * data.num_samples[key] * (1 + len(data.sources)) + _ROW_EXTRA
    if size > _PAGE_MOST:
        raise InputError(f"{data.path}: {key}: {data.num_samples[key]} samples are too many for a row of a MindRecord")
    return size


def _page_and_header(shards: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Chooses the bytes of a page, which takes the longest row, and of a header, which takes the entries of all pages.

    They are the same for all files of a set, or MindSpore refuses to read them together.

    Args:
        shards: the bytes of the rows of each file.
    """
    page = _power_of_two(_ROWS_IN_PAGE * max(max(rows) for rows in shards), _PAGE_LEAST, _PAGE_MOST)
    pages = 2 * (max(sum(rows) for rows in shards) // page + 2)  # rows leave a page half empty at the worst
    return page, _power_of_two(_HEADER_PER_PAGE * pages, _HEADER_LEAST, _HEADER_MOST)


def _open_writer(path: Path, *, page: int, header: int) -> "mindspore.mindrecord.FileWriter":  # noqa: F821
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(path), shard_num=1, overwrite=True)
    writer.set_header_size(header)
    writer.set_page_size(page)
    writer.add_schema(SCHEMA, "mixtures and their sources")
    return writer


def _power_of_two(least: int, lower: int, upper: int) -> int:
    return min(max(1 << (least - 1).bit_length(), lower), upper)


def _batches(rows: Iterator[Row], count: int) -> Iterator[list[Row]]:
    """Takes `count` rows in batches of bounded size."""
    batch: list[Row] = []
    filled = 0
    for i in range(count):
        row = next(rows)
        batch.append(row)
        filled += len(row.mixture) + len(row.sources)
        if filled >= _BATCH_BYTES or i == count - 1:
            yield batch
            batch, filled = [], 0


@contextmanager
def _errors_in_one_line(path: Path) -> Iterator[None]:
    """Turns what MindRecord raises, a report of many lines, into an OSError: the disk is full or broken."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.removeprefix("[ERROR]").strip() for line in str(error).split("\n")]
        reason = next((line for line, raw in zip(lines, str(error).split("\n")) if raw.startswith("[ERROR]")), lines[0])
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OSError(f"{path}: could not be written: {reason}; {free:.1f} MB are free there") from error


def _require_rows(path: Path, expected: Sequence[Sequence]) -> None:
    """Reads a file back: rows the writer did not like, and what a full disk did not take, are missing without an error.

    Args:
        path: the file.
        expected: key, samples and checksum of each row, in order.
    """
    from mindspore.mindrecord import FileReader

    reader = FileReader(str(path))
    found = 0
    for row, (key, num_samples, crc32, *_) in zip(reader.get_next(), expected):
        if (row["key"], row["num_samples"]) != (key, num_samples) or _crc32_of(row) != crc32:
            raise OSError(f"{path}: row {found}, {key}, is not what was written")
        found += 1
    rows = reader.len()
    reader.close()
    if found != len(expected) or rows != len(expected):
        raise OSError(f"{path}: has {rows} rows, {found} of them whole; {len(expected)} were written")


def _crc32_of(row: Mapping[str, bytes]) -> int:
    return zlib.crc32(row["sources"], zlib.crc32(row["mixture"]))


def _source_digest(data: DataDir) -> str:
    """A digest of what a data directory says of its samples; the same wherever the directory lies."""
    digest = hashlib.sha256()
    for name in ("utt2num_samples", "src2spk", STAMP):
        file = data.path / name
        digest.update(file.read_bytes() if file.exists() else b"-")
    if data.mixes is not None:
        digest.update((data.path / MIX_CSV).read_bytes())
    return digest.hexdigest()


def _is_up_to_date(data: DataDir, out: Path, name: str, source: str) -> bool:
    """Tells whether a whole dump of this data is there: same lists, and nothing it was made from is newer."""
    try:
        manifest = check_mindrecord(out)
    except InputError:
        return False
    lengths = [data.num_samples[key] for key in data.keys]
    if (manifest.source, manifest.set_name, manifest.num_spks) != (source, out.name, len(data.sources)):
        return False
    if not all(file.name.startswith(f"{name}.mindrecord") for file in manifest.files):
        return False
    if manifest.keys != data.keys or manifest.num_samples != lengths:
        return False
    made = (out / MANIFEST).stat().st_mtime_ns
    files = {file for entry in data.entries() for value in entry.signals.values() for file in files_of(value)}
    files |= {str(file) for file in data.path.iterdir() if file.is_file()}
    return all(os.path.exists(file) and os.stat(file).st_mtime_ns <= made for file in files)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
