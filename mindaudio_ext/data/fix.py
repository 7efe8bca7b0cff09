"""A data directory made consistent, as Kaldi's utils/fix_data_dir.sh does, with the sources' lists as well."""

import os
from dataclasses import dataclass
from pathlib import Path

from mindaudio_ext.data.kaldi_dir import SEGMENTS
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import keep_copy, write_text
from mindaudio_ext.keys import MAX_SOURCES

_OF_MIXTURES = (
    "wav.scp",
    *(f"spk{number}.scp" for number in range(1, MAX_SOURCES + 1)),
    *("noise1.scp", SEGMENTS, "utt2spk", "utt2num_samples", "src2spk"),
)


@dataclass(frozen=True)
class FixReport:
    """What a data directory has now: mixtures kept, mixtures there were, files changed, and why lines were left out."""

    kept: int
    total: int
    changed: tuple[str, ...]
    left_out: tuple[str, ...]


def fix_data_dir(path: str | os.PathLike) -> FixReport:
    """Sorts the files of a data directory and keeps the mixtures that all of them have.

    A line that is there twice counts once; a line that is not `<key> <value>` and a key with two values are left out.
    With `segments`, the scp files keep the recordings that are used. `spk2utt` is made from `utt2spk`, and `spk2gender`
    keeps the speakers of `src2spk`. What a file was before it was changed is in `.backup`. A file that need not change
    is left alone, so that another run changes nothing.

    Args:
        path: the folder.

    Raises:
        InputError: no `wav.scp`, `spk1.scp` or `utt2spk`, a file is not UTF-8, or no mixture is in all files.
    """
    path = Path(path)
    for name in ("wav.scp", "spk1.scp", "utt2spk"):
        if not (path / name).is_file():
            raise InputError(f"{path / name}: no such file; a data directory needs it")
    left_out: list[str] = []
    found = {name: _read(path / name, left_out) for name in _OF_MIXTURES if (path / name).is_file()}
    files, total = _made_consistent(found)
    kept = len(files["utt2spk"])
    if not kept:
        mixtures_in = [name for name in found if SEGMENTS not in found or not name.endswith(".scp")]
        raise InputError(f"{path}: no mixture is in all of {', '.join(mixtures_in)}; nothing was changed")
    files["spk2utt"] = _utterances_of(files["utt2spk"])
    if (path / "spk2gender").is_file():
        files["spk2gender"] = _read(path / "spk2gender", left_out)
        if "src2spk" in files:
            speakers = {speaker for value in files["src2spk"].values() for speaker in value.split()}
            files["spk2gender"] = _only(files["spk2gender"], speakers)
    changed = tuple(name for name, values in files.items() if _write(path / name, values))
    return FixReport(kept, total, changed, tuple(left_out))


def _made_consistent(files: dict[str, dict[str, str]]) -> tuple[dict[str, dict[str, str]], int]:
    """Returns the files with those mixtures alone that all have, and how many mixtures any has.

    With `segments`, scp files list recordings: one that is not in all of them has no mixtures, and only those that are
    used stay.
    """
    recordings = {name: values for name, values in files.items() if SEGMENTS in files and name.endswith(".scp")}
    files = {name: values for name, values in files.items() if name not in recordings}
    if recordings:
        complete = set.intersection(*map(set, recordings.values()))
        of_complete = {key: value for key, value in files[SEGMENTS].items() if value.split()[0] in complete}
        files = files | {SEGMENTS: of_complete}
    everywhere = set.intersection(*map(set, files.values()))
    total = len(set.union(*map(set, files.values())))
    files = {name: _only(values, everywhere) for name, values in files.items()}
    used = {value.split()[0] for value in files.get(SEGMENTS, {}).values()}
    return files | {name: _only(values, used) for name, values in recordings.items()}, total


def _only(values: dict[str, str], keys: set[str]) -> dict[str, str]:
    """Returns the values of these keys, in their order."""
    return {key: value for key, value in values.items() if key in keys}


def _read(path: Path, left_out: list[str]) -> dict[str, str]:
    """Reads `<key> <value>` lines in any order; adds to `left_out` why a line was."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error})") from error
    found: dict[str, str] = {}
    doubtful = set()
    for number, line in enumerate(lines, 1):
        key, *value = line.split(maxsplit=1)[:2] or [""]
        if not value:
            left_out += [f"{path}:{number}: '{line.strip()}' is not '<key> <value>'"] if key else []
        elif found.setdefault(key, value[0].rstrip()) != value[0].rstrip():
            doubtful.add(key)
            left_out.append(f"{path}:{number}: {key} has another value than before; which is right is not known")
    return {key: value for key, value in found.items() if key not in doubtful}


def _utterances_of(utt2spk: dict[str, str]) -> dict[str, str]:
    utterances: dict[str, list[str]] = {}
    for key in sorted(utt2spk):
        utterances.setdefault(utt2spk[key], []).append(key)
    return {speaker: " ".join(keys) for speaker, keys in utterances.items()}


def _write(path: Path, values: dict[str, str]) -> bool:
    """Writes a file sorted and tells whether that changed it; what it was goes to the backup first."""
    text = "".join(f"{key} {values[key]}\n" for key in sorted(values))
    before = path.read_bytes() if path.is_file() else None
    if before == text.encode():
        return False
    if before is not None:
        keep_copy(path)
    write_text(path, text)
    return True
