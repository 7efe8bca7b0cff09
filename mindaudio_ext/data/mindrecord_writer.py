"""A MindRecord directory made of a data directory: rows in files of about a gigabyte, and last the manifest.

MindSpore is imported only where it is used, so that the processes that read wavs start fast.
"""

import hashlib
import itertools
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mindaudio_ext.data.audio import files_of, to_pcm16
from mindaudio_ext.data.kaldi_dir import NUM_SAMPLES, SEGMENTS, DataDir, Entry, read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import DATA_FILES, MIXTURES_STAMP
from mindaudio_ext.data.mindrecord import DIRECTORY_FORMAT, MANIFEST, SCHEMA, Manifest, check_mindrecord, read_manifest
from mindaudio_ext.data.mix_csv import MIX_CSV
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.silence import silent_sources
from mindaudio_ext.data.validate_data_dir import read_mixture
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import sha256_of, write_text
from mindaudio_ext.keys import require_name
from mindaudio_ext.output_folder import OutputFolder

if TYPE_CHECKING:
    from mindspore.mindrecord import FileWriter

SHARD_BYTES = 1 << 30  # of samples in a file, about

_FILE = re.compile(r"\.mindrecord\d*(\.db)?$")  # what a MindRecord file and its index are called
_PAGE_LEAST, _PAGE_MOST = 1 << 20, 1 << 28  # bytes; MindRecord's own upper limit
_ROWS_IN_PAGE = 8  # at least, of the longest: a page is left with up to one row's length unused
_ROW_EXTRA = 64  # bytes of a row beside its samples, generously
_HEADER_LEAST, _HEADER_MOST = 1 << 16, 1 << 27
_HEADER_PER_PAGE = 512  # bytes; a page's entry in the header takes about 200
_BATCH_BYTES = 1 << 26  # handed to the writer at once


@dataclass(frozen=True)
class Row:
    """A mixture as it is stored: samples as little-endian int16."""

    key: str
    sample_rate: int
    num_samples: int
    num_spks: int
    mixture: bytes
    sources: bytes
    silent: tuple[int, ...] = ()

    @property
    def crc32(self) -> int:
        """Checksum of the mixture followed by the sources."""
        return zlib.crc32(self.sources, zlib.crc32(self.mixture))


class RowRecord(NamedTuple):
    """What is kept of a row whose samples are in a file; the attributes are those of `Row`."""

    key: str
    num_samples: int
    crc32: int
    sample_rate: int
    silent: tuple[int, ...]


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
        InputError: naming what is wrong with the data directory, or what is in the way.
    """
    read, out = read_data_dir(data, allow_pipes=allow_pipes, unwritten=True), Path(os.path.abspath(out))
    source = _source_digest(read)
    folder = OutputFolder(out, "MindRecord directory", _files_of_manifest)
    folder.recover()
    require_name(out.name if name is None else name, "--out" if name is None else "--name")
    name = name or out.name
    if _is_up_to_date(read, out, name, source):
        return read_manifest(out), False
    with folder.replaced() as new:
        _write(read, new, out.name, name, source, nj, shard_bytes)
    return read_manifest(out), True


def _files_of_manifest(folder: Path) -> list[str] | None:
    """Returns the files of a dump that was made before there were marks; None when it is none."""
    try:
        names = [*read_manifest(folder).digests]
    except (InputError, OSError):
        return None
    return [MANIFEST, *names] if all(_FILE.search(name) for name in names) else None


def _write(data: DataDir, folder: Path, set_name: str, stem: str, source: str, nj: int, shard_bytes: int) -> None:
    """Writes the files and, last, the manifest."""
    rows = _of_one_rate(parallel_map(_read_row, data.entries(), nj=nj, title=f"dump {set_name}"), data)
    shards = _shards(data, shard_bytes)
    page, header = _page_and_header([[_row_bytes(data, key) for key in keys] for keys in shards])
    written: list[RowRecord] = []
    for name, keys in zip(_file_names(stem, len(shards)), shards):
        with _errors_in_one_line(folder / name):
            writer = _open_writer(folder / name, page=page, header=header)
            written += _write_rows(writer, itertools.islice(rows, len(keys)), first=len(written))
            writer.commit()
            _require_rows(folder / name, written[-len(keys) :])
    files = sorted(folder.iterdir())
    write_text(folder / MANIFEST, _manifest_text(data, set_name, source, written, files))
    for file in files:  # MindRecord lets only their owner read them
        shutil.copymode(folder / MANIFEST, file)


def _of_one_rate(rows: Iterable[Row], data: DataDir) -> Iterator[Row]:
    """Yields rows; raises InputError at one whose rate is not that of the first."""
    rate = None
    for row in rows:
        rate = rate or row.sample_rate
        if row.sample_rate != rate:
            raise InputError(f"{data.path}: {row.key} is at {row.sample_rate} Hz, {data.keys[0]} at {rate} Hz")
        yield row


def _file_names(stem: str, n_files: int) -> list[str]:
    """Returns the names of the MindRecord files; that of a single one has no number.

    >>> _file_names("train", 1), _file_names("dev", 11)[9:]
    (['train.mindrecord'], ['dev.mindrecord09', 'dev.mindrecord10'])
    """
    digits = len(str(n_files - 1))
    return [f"{stem}.mindrecord" + (f"{number:0{digits}d}" if n_files > 1 else "") for number in range(n_files)]


def _write_rows(writer: "FileWriter", rows: Iterable[Row], *, first: int) -> list[RowRecord]:
    """Writes the rows of a file, of which the first has the number `first`; gives back what is kept of them."""
    written: list[RowRecord] = []
    for batch in _batches(rows):
        writer.write_raw_data([_columns(row, first + len(written) + i) for i, row in enumerate(batch)])
        written += [RowRecord(row.key, row.num_samples, row.crc32, row.sample_rate, row.silent) for row in batch]
    return written


def _manifest_text(
    data: DataDir, set_name: str, source: str, written: Sequence[RowRecord], files: Sequence[Path]
) -> str:
    """Returns the manifest as JSON with a line for each mixture."""
    silent = {row.key: row.silent for row in written if row.silent}
    manifest = {
        "format": DIRECTORY_FORMAT,
        "set": set_name,
        "sample_rate": written[0].sample_rate,
        "num_spks": len(data.sources),
        "num_utts": len(written),
        "num_samples": sum(data.num_samples.values()),
        "source": source,
        **({"silent": silent} if silent else {}),
        "files": [{"name": file.name, "bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in files],
    }
    members = [f" {json.dumps(key)}: {_indented(value)}" for key, value in manifest.items()]
    speakers = {} if data.src2spk is None else data.src2spk
    utts = [[row.key, row.num_samples, row.crc32, *([speakers[row.key]] if speakers else [])] for row in written]
    lines = ",\n  ".join(json.dumps(utt, ensure_ascii=False) for utt in utts)
    return "{\n" + ",\n".join([*members, f' "utts": [\n  {lines}\n ]']) + "\n}\n"


def _indented(value: Any) -> str:
    """Returns a member of a JSON object as `json.dumps` with an indent of 1 writes it."""
    return json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n ")


def _read_row(entry: Entry) -> Row:
    mixture, sources, rate = read_mixture(entry)
    return Row(
        key=entry.key,
        sample_rate=rate,
        num_samples=len(mixture),
        num_spks=len(sources),
        mixture=to_pcm16(mixture).astype("<i2").tobytes(),
        sources=to_pcm16(sources).astype("<i2").tobytes(),
        silent=silent_sources(sources),
    )


def _columns(row: Row, index: int) -> dict[str, str | int | bytes]:
    """Returns a row of the schema; plain Python values only, because MindRecord drops rows with NumPy's silently."""
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


def _open_writer(path: Path, *, page: int, header: int) -> "FileWriter":
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(path), shard_num=1, overwrite=True)
    writer.set_header_size(header)
    writer.set_page_size(page)
    writer.add_schema(SCHEMA, "mixtures and their sources")
    return writer


def _power_of_two(least: int, lower: int, upper: int) -> int:
    return min(max(1 << (least - 1).bit_length(), lower), upper)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Divides rows into batches of bounded size."""
    batch: list[Row] = []
    filled = 0
    for row in rows:
        batch.append(row)
        filled += len(row.mixture) + len(row.sources)
        if filled >= _BATCH_BYTES:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


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
    counted = "".join(f"{key} {data.num_samples[key]}\n" for key in data.keys).encode()
    for name, otherwise in ((NUM_SAMPLES, counted), ("src2spk", b"-"), (MIXTURES_STAMP, b"-")):
        file = data.path / name
        digest.update(file.read_bytes() if file.exists() else otherwise)
    for name in (MIX_CSV, SEGMENTS):
        file = data.path / name
        digest.update(file.read_bytes() if file.exists() else b"")
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
    # The numbers of samples are in the digest; their file may have been made from the count since.
    names = {*DATA_FILES, SEGMENTS} - {NUM_SAMPLES}  # a user may add what is not read
    files |= {str(data.path / name) for name in names if (data.path / name).exists()}
    return all(os.path.exists(file) and os.stat(file).st_mtime_ns <= made for file in files)
