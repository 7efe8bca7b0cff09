"""Stage 0 of LibriMix: data directories from a tree of wavs, or from LibriSpeech and the published metadata."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mindaudio_ext.corpora.folders import (
    Signals,
    make_folders_data,
    match_folders,
    speakers_and_sexes,
    speakers_of_librispeech,
)
from mindaudio_ext.corpora.librimix import NOISY, MixRow, mixed_length, read_metadata
from mindaudio_ext.corpora.librimix_tree import Request, check_request, find_metadata, make_librimix, require_files
from mindaudio_ext.corpora.librispeech import read_sexes
from mindaudio_ext.data.csv_file import read_csv
from mindaudio_ext.data.kaldi_dir import CORPUS
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mix_csv import MIX_CSV, Mix, format_mix_csv
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import is_file, listed
from mindaudio_ext.keys import require_key
from mindaudio_ext.output_folder import new_folder

REPOSITORY = "https://github.com/JorisCos/LibriMix"

_FETCH_SECONDS = 600


@dataclass(frozen=True)
class Variant:
    """Which LibriMix: sources per mixture, rate in Hz, min or max, and one of its types of mixture."""

    n_src: int
    sample_rate: int
    mode: str
    mix_type: str

    @property
    def freq(self) -> str:
        """The rate as in the folders' names, such as 8k."""
        return f"{self.sample_rate // 1000}k" if self.sample_rate % 1000 == 0 else str(self.sample_rate)

    @property
    def place(self) -> str:
        """The folder of a tree, such as wav8k/min."""
        return f"wav{self.freq}/{self.mode}"

    @property
    def num_spks(self) -> int:
        """Sources that are separated."""
        return 1 if self.mix_type == "mix_single" else self.n_src

    @property
    def request(self) -> Request:
        """What the generator is asked for; `out` is to be replaced."""
        return Request(Path(), self.n_src, (self.freq,), (self.mode,), (self.mix_type,))

    def corpus(self, name: str) -> str:
        """Describes a set in one line."""
        return f"Libri{self.n_src}Mix {name}, {self.mix_type}, {self.freq}, {self.mode}"

    def speakers(self, key: str) -> tuple[str, ...] | None:
        """Reads the speakers of the separated sources off a key."""
        found = speakers_of_librispeech(key, self.n_src)
        return found and found[: self.num_spks]


def dirs_from_tree(
    tree: str | os.PathLike,
    data: str | os.PathLike,
    sets: Sequence[str],
    variant: Variant,
    *,
    sexes: Mapping[str, str] | None = None,
    nj: int = 1,
) -> None:
    """Makes `data/<set>` of each set of a LibriMix tree.

    Args:
        tree: the folder that holds Libri2Mix or Libri3Mix, or that folder.
        data: folder of the data directories.
        sets: train-100, train-360, dev, test.
        variant: which part of the tree.
        sexes: speaker -> f or m, as far as known.
        nj: processes.

    Raises:
        InputError: naming what is missing or wrong.
    """
    found = {name: tree_signals(tree, name, variant) for name in sets}
    for name, signals in found.items():
        make_folders_data(
            Path(data) / name,
            signals,
            sample_rate=variant.sample_rate,
            corpus=variant.corpus(name),
            speakers=variant.speakers,
            sexes=sexes,
            nj=nj,
        )


def tree_signals(tree: str | os.PathLike, name: str, variant: Variant) -> Signals:
    """Finds the signals of a set of a LibriMix tree: by its csv file when it has one, otherwise by the files' names.

    Raises:
        InputError: naming the folder or file that is missing.
    """
    folder = _find_set(Path(os.path.abspath(tree)), name, variant)
    sources = [f"s{i}" for i in range(1, variant.num_spks + 1)]
    noise = "noise" if variant.mix_type in NOISY else None
    table = folder.parent / "metadata" / f"mixture_{name}_{variant.mix_type}.csv"
    if not table.is_file():
        return match_folders(
            folder / variant.mix_type, [folder / source for source in sources], noise and folder / noise
        )
    columns = {"mixture_path": variant.mix_type}
    columns |= {f"source_{i}_path": source for i, source in enumerate(sources, 1)}
    columns |= {"noise_path": noise} if noise else {}
    signals = _read_table(table, folder, columns)
    return Signals(
        signals["mixture_path"],
        tuple(signals[f"source_{i}_path"] for i in range(1, variant.num_spks + 1)),
        signals.get("noise_path"),
    )


def _find_set(tree: Path, name: str, variant: Variant) -> Path:
    """Finds a set's folder below a tree; says what is there instead when it is not."""
    roots = [tree / f"Libri{variant.n_src}Mix", tree]
    root = next((root for root in roots if listed(root, "wav*")), None)
    if root is None:
        raise InputError(f"{roots[0]}: no such folder; a LibriMix tree holds Libri{variant.n_src}Mix/{variant.place}")
    folder = root / variant.place / name
    if not folder.is_dir():
        there = sorted(str(path.relative_to(root)) for path in root.glob("wav*/*/*") if path.name != "metadata")
        raise InputError(f"{folder}: no such folder; the tree has {', '.join(there) or 'no sets'}")
    if not (folder / variant.mix_type).is_dir():
        there = sorted(path.name for path in folder.iterdir() if path.name.startswith("mix"))
        raise InputError(
            f"{folder / variant.mix_type}: no such folder; the set has {', '.join(there) or 'no mixtures'}"
        )
    return folder


def _read_table(table: Path, folder: Path, columns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Reads a mixture_<set>_<type>.csv: column -> key -> path.

    The paths in it are those of the machine that made it. A file of the same name in the tree comes before them.
    """
    found: dict[str, dict[str, str]] = {column: {} for column in columns}
    there, rows = read_csv(table)
    for column in ("mixture_ID", *columns):
        if column not in there:
            raise InputError(f"{table}: has no column {column}")
    for row in rows:
        fields = {column: value or "" for column, value in row.fields.items()}
        key = fields["mixture_ID"]
        if key in found["mixture_path"]:
            raise InputError(f"{row.place}: the mixture {key} is there twice")
        require_key(key, row.place)
        if any(not fields[column] for column in columns):
            raise InputError(f"{row.place}: the paths of {key} are not those of a mixture")
        for column, part in columns.items():
            path = str(folder / part / os.path.basename(fields[column].replace("\\", "/")))
            if not is_file(path):
                if not is_file(fields[column]):
                    raise InputError(f"{path}: no such file; {key} in {table} needs it")
                path = os.path.abspath(fields[column])
            found[column][key] = path
    if not found["mixture_path"]:
        raise InputError(f"{table}: has no mixtures")
    return found


def dirs_from_librispeech(
    data: str | os.PathLike,
    sets: Sequence[str],
    variant: Variant,
    *,
    librispeech: str | os.PathLike,
    metadata: str | os.PathLike,
    wham: str | os.PathLike | None = None,
    out: str | os.PathLike,
    unwritten: Sequence[str] = (),
    nj: int = 1,
) -> None:
    """Makes the mixtures of LibriMix, or what is missing of them, and `data/<set>` of each set.

    Args:
        data: folder of the data directories.
        sets: train-100, train-360, dev, test.
        variant: which LibriMix.
        librispeech: LibriSpeech's folder.
        metadata: folder of LibriMix's metadata, as `metadata_folder` gives it.
        wham: folder wham_noise, when the type has noise.
        out: folder the tree of wavs goes to.
        unwritten: those of the sets that get no wavs but a mix.csv, from which stage 1 mixes.
        nj: processes.

    Raises:
        InputError: naming what is missing or wrong.
    """
    request = variant.request
    check_request(request, wham)
    files = find_metadata(metadata, variant.n_src)
    for name in sets:
        if name not in files:
            raise InputError(f"{metadata}: has no metadata of the set {name}; there is: {', '.join(sorted(files))}")
    sexes = read_sexes(librispeech) or {}
    for name in sets:
        sexes |= _sexes_of_metadata(files[name])
    noise = wham if request.noisy else None
    for name in unwritten:
        rows = read_metadata(files[name], variant.n_src, librispeech=librispeech, wham=noise)
        require_files(rows, files[name])
        _write_unwritten(Path(data) / name, rows, variant, sexes, nj)
    written = [name for name in sets if name not in unwritten]
    if written:
        request = Request(Path(out), *(getattr(request, field) for field in ("n_src", "freqs", "modes", "types")))
        make_librimix(request, metadata=metadata, librispeech=librispeech, wham=noise, sets=written, nj=nj)
        dirs_from_tree(out, data, written, variant, sexes=sexes, nj=nj)


def _write_unwritten(path: Path, rows: Sequence[MixRow], variant: Variant, sexes: Mapping[str, str], nj: int) -> None:
    """Writes a data directory with a mix.csv."""
    length = partial(mixed_length, sample_rate=variant.sample_rate, mode=variant.mode)
    lengths = list(parallel_map(length, rows, nj=nj, title=f"headers of {path.name}"))
    mixes = [Mix(row, variant.sample_rate, variant.mode, variant.mix_type) for row in rows]
    num_samples = {row.key: samples for row, samples in zip(rows, lengths)}
    src2spk, spk2gender = speakers_and_sexes(num_samples, variant.speakers, sexes)
    write_data_dir(
        path,
        num_samples=num_samples,
        src2spk=src2spk,
        spk2gender=spk2gender,
        extra={CORPUS: f"{variant.corpus(path.name)}\n", MIX_CSV: format_mix_csv(mixes)},
    )


def _sexes_of_metadata(path: Path) -> dict[str, str]:
    """Reads speaker -> f or m from the `_info.csv` beside a metadata file; empty when there is none."""
    info = path.with_name(f"{path.stem}_info.csv")
    if not info.is_file():
        return {}
    sexes: dict[str, str] = {}
    for row in read_csv(info)[1]:
        for column, speaker in row.fields.items():
            if column.startswith("speaker_") and column.endswith("_ID") and speaker:
                sex = (row.fields.get(column.removesuffix("ID") + "sex") or "").strip().lower()
                if sex in ("f", "m"):
                    sexes[speaker.removesuffix(".0")] = sex  # some columns were numbers with a gap once
    return sexes


def metadata_folder(given: str | os.PathLike, n_src: int, *, fetched: str | os.PathLike, url: str = REPOSITORY) -> Path:
    """Finds the folder of LibriMix's csv files.

    Args:
        given: that folder, one that holds Libri2Mix and so on, or a copy of LibriMix's repository; "" to fetch it.
        n_src: sources per mixture.
        fetched: where a fetched repository goes; one that is there is used.
        url: the repository.

    Raises:
        InputError: when it is not there and cannot be fetched.
    """
    root = Path(given) if str(given) else _fetch(Path(fetched), n_src, url)
    name = f"Libri{n_src}Mix"
    places = [root / "metadata" / name, root / name, root]
    found = next((place for place in places if listed(place, f"libri{n_src}mix_*.csv")), None)
    if found is None:
        raise InputError(f"{root}: holds no libri{n_src}mix_*.csv, nor does {name} or metadata/{name} in it")
    return found


def _fetch(folder: Path, n_src: int, url: str) -> Path:
    """Fetches LibriMix's repository by git, once."""
    if not folder.is_dir():
        with new_folder(folder) as clone:
            _clone(url, clone, f"give the folder of libri{n_src}mix_*.csv with --metadata DIR")
    return folder


def _clone(url: str, folder: Path, wanted: str) -> None:
    """Clones a repository into an empty folder; `wanted` is what helps when that fails."""
    try:
        ended = subprocess.run(
            ["git", "clone", "--quiet", "--depth", "1", url, str(folder)],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise InputError(f"LibriMix's metadata cannot be fetched: git is not installed; {wanted}") from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{url}: not fetched within {_FETCH_SECONDS} s; {wanted}") from error
    if ended.returncode != 0:
        said = " ".join(ended.stderr.split()) or f"git ended with status {ended.returncode}"
        raise InputError(f"{url}: LibriMix's metadata cannot be fetched ({said}); {wanted}")
