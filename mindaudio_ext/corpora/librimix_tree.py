"""LibriMix's tree of wavs and csv files, made from LibriSpeech, WHAM's noise and the published metadata.

OUT/Libri2Mix/wav8k/min/{train-100,...}/{s1,s2,mix_clean,mix_both,mix_single,noise}/<mixture_ID>.wav
OUT/Libri2Mix/wav8k/min/metadata/{mixture,metrics}_<set>_<type>.csv
OUT/Libri2Mix/.<set>.jsonl       a line for each finished mixture, which is why an interrupted run goes on
"""

import csv
import io
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from mindaudio_ext.corpora.librimix import (
    MODES,
    NOISY,
    TYPES,
    MixRow,
    add,
    fit_lengths,
    parts_of,
    read_metadata,
    read_scaled,
    resample,
    snrs,
)
from mindaudio_ext.data.audio import WAV_HEADER, is_whole_wav, to_pcm16, write_wav
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import is_file, listed, write_text
from mindaudio_ext.journal import appended_journal, read_journal
from mindaudio_ext.keys import MAX_SOURCES, file_name, require_name
from mindaudio_ext.lock import locked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is to be made of each mixture.

    Attributes:
        out: the folder that Libri2Mix or Libri3Mix goes to.
        n_src: sources per mixture.
        freqs: rates as in the folders' names: 8k, 16k.
        modes: min, max.
        types: of `TYPES`.
    """

    out: Path
    n_src: int
    freqs: tuple[str, ...]
    modes: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The tree's own folder, such as OUT/Libri2Mix."""
        return Path(os.path.abspath(self.out)) / f"Libri{self.n_src}Mix"

    @property
    def noisy(self) -> bool:
        """Whether noise is asked for."""
        return any(mix_type in NOISY for mix_type in self.types)

    def places(self) -> list[str]:
        """Names the folders of a rate and a mode below the root, such as wav8k/min."""
        return [f"wav{freq}/{mode}" for freq in self.freqs for mode in self.modes]


# What is known of a finished mixture: place -> {"length": samples, type: [[SNR in dB, whether it is float64], ...]}.
Places = dict[str, dict]


def find_metadata(folder: str | os.PathLike, n_src: int) -> dict[str, Path]:
    """Lists LibriMix's metadata files in a folder: name of the set, such as train-100, -> csv file.

    Raises:
        InputError: when there is no folder or none in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold LibriMix's metadata, libri{n_src}mix_*.csv")
    files = [file for file in listed(folder, "*.csv") if "info" not in file.name and not file.name.startswith(".")]
    if not files:
        raise InputError(f"{folder}: holds no csv file of LibriMix's metadata, libri{n_src}mix_*.csv")
    found: dict[str, Path] = {}
    for file in files:
        name = file.name.replace(f"libri{n_src}mix_", "").replace("-clean", "").replace(".csv", "")
        require_name(name, f"{file}: the set it makes")
        if name in found:
            raise InputError(f"{file}: makes the set {name}, and so does {found[name].name}")
        found[name] = file
    return found


def make_librimix(
    request: Request,
    *,
    metadata: str | os.PathLike,
    librispeech: str | os.PathLike,
    wham: str | os.PathLike | None = None,
    sets: Sequence[str] | None = None,
    nj: int = 1,
) -> dict[str, int]:
    """Makes a LibriMix tree, or what is missing of it; the same bytes for any `nj` and after any interruption.

    Args:
        request: what is to be made.
        metadata: folder of the csv files; all without `info` in their name are made.
        librispeech: LibriSpeech's folder, with dev-clean and so on in it.
        wham: folder wham_noise; only needed for mix_both and mix_single.
        sets: names of the sets to make; all when None.
        nj: processes.

    Returns:
        mixtures of each set.

    Raises:
        InputError: naming the file or mixture that is wrong, or a wav that is there and was not made by this command.
    """
    check_request(request, wham)
    files = find_metadata(metadata, request.n_src)
    for name in sets or ():
        if name not in files:
            raise InputError(f"{metadata}: has no metadata of the set {name}; there is: {', '.join(sorted(files))}")
    noise = wham if request.noisy else None
    rows = {
        name: read_metadata(files[name], request.n_src, librispeech=librispeech, wham=noise) for name in sets or files
    }
    for name, of_set in rows.items():
        require_files(of_set, files[name])
    with locked(request.root.parent, request.root.name):
        for name, of_set in rows.items():
            _make_set(request, name, of_set, nj)
    return {name: len(of_set) for name, of_set in rows.items()}


def check_request(request: Request, wham: str | os.PathLike | None) -> None:
    """Refuses what cannot be made.

    Raises:
        InputError: saying what is wrong.
    """
    if not 2 <= request.n_src <= MAX_SOURCES:
        raise InputError(f"n_src: LibriMix has mixtures of 2 to {MAX_SOURCES} sources; got {request.n_src}")
    for freq in request.freqs:
        if not re.fullmatch(r"[1-9]\d?k", freq):
            raise InputError(f"freqs: 8k or 16k is expected; got '{freq}'")
    for what, given, known in (("modes", request.modes, MODES), ("types", request.types, TYPES)):
        for value in given:
            if value not in known:
                raise InputError(f"{what}: {', '.join(known)} are known; got '{value}'")
    noisy = [mix_type for mix_type in request.types if mix_type in NOISY]
    if noisy and wham is None:
        raise InputError(f"{noisy[0]} needs noise: give --wham DIR, the folder wham_noise, or make mix_clean only")


def require_files(rows: Sequence[MixRow], metadata: str | os.PathLike) -> None:
    """Requires every file the rows name before any work is done.

    Raises:
        InputError: naming the first that is missing, and how many are.
    """
    named = {path: (row.key, what) for row in reversed(rows) for what, path in row.files().items()}
    missing = [path for path in reversed(named) if not is_file(path)]
    if missing:
        key, what = named[missing[0]]
        raise InputError(
            f"{missing[0]}: no such file; it is the {what} of {key} in {metadata} "
            f"({len(missing)} of the {len(named)} files are missing)"
        )


def _make_set(request: Request, name: str, rows: Sequence[MixRow], nj: int) -> None:
    """Makes the mixtures that are missing, noting each as it is finished, then the csv files.

    Wavs of a mixture that the journal does not note are LibriMix's own, or of a run that was killed before it could
    note them: they are kept if they are what would be written, and refused if not.
    """
    journal = request.root / f".{name}.jsonl"
    made, noted, kept = _read_journal(journal, rows)
    missing = [row for row in rows if not _is_made(request, name, row, made[row.key])]
    if len(missing) < len(rows):
        n_there = len(rows) - len(missing)
        log.info("Libri%dMix %s: %d of %d mixtures are there", request.n_src, name, n_there, len(rows))
    if missing:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with appended_journal(journal) as add:
            if not noted:  # csv files that are there now are not ours
                kept |= {str(path.relative_to(request.root)) for path in _csv_files(request, name) if path.is_file()}
                add({"kept": sorted(kept)})
            jobs = [(row, noted.get(row.key, set())) for row in missing]
            results = parallel_map(
                partial(_make_mixture, request, name), jobs, nj=nj, title=f"Libri{request.n_src}Mix {name}"
            )
            for row, result in zip(missing, results):
                add({"key": row.key, "row": row.digest, "made": result})
                _merge(made[row.key], result)
    for place in request.places():
        _write_csvs(request, name, place, [(row.key, made[row.key][place]) for row in rows], kept)


def _read_journal(path: Path, rows: Sequence[MixRow]) -> tuple[dict[str, Places], dict[str, set[str]], set[str]]:
    """Reads what was made of each key, in which places anything was ever made of it, and which csv files are not ours.

    What was made from another row of metadata does not count as made.
    """
    digests = {row.key: row.digest for row in rows}
    made: dict[str, Places] = {key: {} for key in digests}
    ever: dict[str, set[str]] = {}
    kept: set[str] = set()
    for noted in read_journal(path):
        if "kept" in noted:
            kept.update(noted["kept"])
            continue
        ever.setdefault(noted["key"], set()).update(noted["made"])
        if digests.get(noted["key"]) == noted["row"]:
            _merge(made[noted["key"]], noted["made"])
    return made, ever, kept


def _merge(made: Places, more: Places) -> None:
    for place, known in more.items():
        made.setdefault(place, {}).update(known)


def _is_made(request: Request, name: str, row: MixRow, made: Mapping[str, dict]) -> bool:
    """Tells whether a mixture is noted as finished and all its wavs are there in their full size."""
    for place in request.places():
        known = made.get(place, {})
        if any(mix_type not in known for mix_type in request.types):
            return False
        for folder in _folders(request):
            if not is_whole_wav(_wav(request, place, name, folder, row.key), known["length"]):
                return False
    return True


def _folders(request: Request) -> list[str]:
    """Names the folders of wavs in a set."""
    sources = [f"s{i}" for i in range(1, request.n_src + 1)]
    return [*sources, *request.types, *(["noise"] if request.noisy else [])]


def _wav(request: Request, place: str, name: str, folder: str, key: str) -> Path:
    return request.root / place / name / folder / f"{file_name(key)}.wav"


def _make_mixture(request: Request, name: str, job: tuple[MixRow, set[str]]) -> Places:
    """Writes all wavs of a mixture, over those in places where it was made before; gives its lengths and SNRs."""
    row, noted = job
    scaled = read_scaled(row)
    made: Places = {}
    for freq in request.freqs:
        rate = 1000 * int(freq.removesuffix("k"))
        resampled = resample(scaled, rate)
        for mode in request.modes:
            signals = fit_lengths(resampled, mode)
            place = f"wav{freq}/{mode}"
            wavs = dict(zip(_folders(Request(request.out, request.n_src, (), (), ())), signals))
            if request.noisy:
                wavs["noise"] = signals[-1]
            known: dict = {"length": len(signals[0])}
            for mix_type in request.types:
                parts = parts_of(mix_type, signals, request.n_src)
                wavs[mix_type] = add(parts)
                known[mix_type] = [[float(str(snr)), snr.dtype == np.float64] for snr in snrs(wavs[mix_type], parts)]
            for folder, samples in wavs.items():
                path = _wav(request, place, name, folder, row.key)
                if place in noted or not _is_there(path, to_pcm16(samples), rate):
                    write_wav(path, samples, rate)
            made[place] = known
    return made


def _is_there(path: Path, samples: np.ndarray, rate: int) -> bool:
    """Tells whether a wav holds these samples, int16 [T]; one that was cut off does not yet.

    Raises:
        InputError: it holds others.
    """
    if not os.path.lexists(path):
        return False
    try:
        found, found_rate = soundfile.read(os.fsencode(path), dtype="int16")
    except (soundfile.SoundFileError, OSError):
        found, found_rate = np.zeros(0, np.int16), rate if _is_stub(path) else 0
    if found_rate != rate or not np.array_equal(found, samples[: len(found)]):
        raise InputError(
            f"{path}: is there, was not made by this command, and is not what the metadata say; move the tree away, or "
            "give another folder"
        )
    return len(found) == len(samples)


def _is_stub(path: Path) -> bool:
    """Tells whether a file is no more than the beginning of a wav's header."""
    return path.is_file() and path.stat().st_size < WAV_HEADER and path.read_bytes()[:4] in (b"", b"RIFF")


def _csv_files(request: Request, name: str) -> list[Path]:
    """Lists the csv files of a set."""
    folders = [request.root / place / "metadata" for place in request.places()]
    kinds = [f"{kind}_{name}_{mix_type}.csv" for mix_type in request.types for kind in ("mixture", "metrics")]
    return [folder / kind for folder in folders for kind in kinds]


def _write_csvs(request: Request, name: str, place: str, made: Sequence[tuple[str, dict]], kept: set[str]) -> None:
    """Writes the two csv files of each type, with paths as they are on this machine; those that are not ours stay."""
    for mix_type in request.types:
        n_src = 1 if mix_type == "mix_single" else request.n_src
        names = [f"source_{i}" for i in range(1, n_src + 1)] + ([] if mix_type == "mix_clean" else ["noise"])
        folders = [f"s{i}" for i in range(1, n_src + 1)] + ([] if mix_type == "mix_clean" else ["noise"])
        paths = [
            [key, *(str(_wav(request, place, name, part, key)) for part in (mix_type, *folders)), known["length"]]
            for key, known in made
        ]
        heads = ["mixture_ID", "mixture_path", *(f"{part}_path" for part in names), "length"]
        mixture, metrics = (f"{place}/metadata/{kind}_{name}_{mix_type}.csv" for kind in ("mixture", "metrics"))
        _write_csv(request.root / mixture, heads, paths, keep=mixture in kept)
        columns = [snr_column(values) for values in zip(*(known[mix_type] for _, known in made))]
        _write_csv(
            request.root / metrics,
            ["mixture_ID", *(f"{part}_SNR" for part in names)],
            [[key, *values] for (key, _), values in zip(made, zip(*columns))],
            keep=metrics in kept,
        )


def snr_column(values: Sequence[tuple[float, bool]]) -> list[str]:
    """Formats a column as pandas 3.1 does: all values have the type of the first (pandas 2 widens all if any is)."""
    if values[0][1]:
        return [repr(value if wide else float(np.float32(value))) for value, wide in values]
    return [str(np.float32(value)) for value, _ in values]


def _write_csv(path: Path, heads: Sequence[str], rows: Iterable[Sequence[object]], *, keep: bool) -> None:
    """Writes a csv file unless it is there with these very lines, or is there at all and is to be kept."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([heads, *rows])
    text = buffer.getvalue()
    if keep and os.path.lexists(path):
        log.info("%s: was there and stays as it is", path)
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
