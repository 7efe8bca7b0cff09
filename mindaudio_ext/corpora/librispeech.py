"""Finds utterances in LibriSpeech's layout: `<subset>/<speaker>/<chapter>/<utterance>.flac`, or of another format."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import is_file
from mindaudio_ext.keys import require_key

SPLIT_SETS = ("train", "dev", "test")

_SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3")
_SPLIT_SHARE = 0.1  # of the speakers, for dev and for test
_SPLIT_LEAST = 2  # speakers: fewer cannot be mixed


@dataclass(frozen=True)
class Utterance:
    """One recording: its key, its speaker (a folder's name) and its file."""

    key: str
    speaker: str
    path: str


def list_subsets(root: str | os.PathLike) -> list[str]:
    """Names the subsets of a folder, sorted: folders with speech two folders below. "." is the folder itself.

    Raises:
        InputError: when there is no such folder or no speech in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; a folder in LibriSpeech's layout is expected")
    if _has_speech(root):
        return ["."]
    found = [child.name for child in _folders(root) if _has_speech(child)]
    if not found:
        raise InputError(
            f"{root}: no speech found; <subset>/<speaker>/<chapter>/*.flac ({', '.join(_SUFFIXES)}) is expected"
        )
    return found


def find_utterances(root: str | os.PathLike, subsets: Sequence[str]) -> list[Utterance]:
    """Lists the utterances of some subsets, sorted by key.

    Raises:
        InputError: when a subset is not there (says which are), has no speech, or two files have one key.
    """
    root = Path(root)
    there = list_subsets(root)
    if there == ["."] and list(subsets) == [root.resolve().name]:
        subsets = ["."]  # the subset's own folder was given
    found: dict[str, Utterance] = {}
    for subset in subsets:
        if subset not in there:
            listed = ", ".join(there) if there != ["."] else "speakers of one set ('.')"
            raise InputError(
                f"{root}: has no subset '{subset}'; there is: {listed}. Name what to use with --train_subsets, "
                "--dev_subsets and --test_subsets, or divide the speakers with --split_speakers true"
            )
        for utterance in _utterances(root / subset):
            if not is_file(utterance.path):
                raise InputError(f"{utterance.path}: is a link to nothing")
            if utterance.key in found:
                raise InputError(f"{utterance.path}: has the same name as {found[utterance.key].path}")
            found[utterance.key] = utterance
    return [found[key] for key in sorted(found)]


def split_speakers(utterances: Sequence[Utterance], name: str, seed: int) -> list[Utterance]:
    """Keeps the utterances of one part of the speakers: a tenth is dev, a tenth test (two at least), the rest train.

    Args:
        utterances: all of them.
        name: train, dev or test.
        seed: chooses who goes where.

    Raises:
        InputError: when there are fewer than six speakers.
    """
    if name not in SPLIT_SETS:
        raise InputError(f"speakers are split into {', '.join(SPLIT_SETS)}; got '{name}'")
    speakers = sorted({utterance.speaker for utterance in utterances})
    if len(speakers) < 3 * _SPLIT_LEAST:
        raise InputError(f"{len(speakers)} speakers are too few to split; {3 * _SPLIT_LEAST} is the least")
    shuffled = [speakers[i] for i in np.random.default_rng(seed).permutation(len(speakers))]
    part = max(_SPLIT_LEAST, round(_SPLIT_SHARE * len(speakers)))
    parts = {"dev": shuffled[:part], "test": shuffled[part : 2 * part], "train": shuffled[2 * part :]}
    return [utterance for utterance in utterances if utterance.speaker in set(parts[name])]


def read_sexes(root: str | os.PathLike) -> dict[str, str]:
    """Returns speaker -> f or m from SPEAKERS.TXT or SPEAKERS.csv in the folder or above it; empty without one."""
    root = Path(root).resolve()
    for folder in (root, root.parent):
        if (folder / "SPEAKERS.TXT").is_file():
            lines = (folder / "SPEAKERS.TXT").read_text(encoding="utf-8", errors="replace").splitlines()
            rows = [line.split("|") for line in lines if "|" in line and not line.startswith(";")]
            return _sexes(rows)
        if (folder / "SPEAKERS.csv").is_file():
            with open(folder / "SPEAKERS.csv", encoding="utf-8", errors="replace", newline="") as file:
                return _sexes(list(csv.reader(file)))
    return {}


def _sexes(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Takes the sex from the second column; a row with anything but f or m there, such as a heading, is left out."""
    pairs = [(row[0].strip(), row[1].strip().lower()) for row in rows if len(row) > 1]
    return {speaker: sex for speaker, sex in pairs if sex in ("f", "m")}


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _audio_files(folder: Path) -> list[Path]:
    return sorted(
        child for child in folder.iterdir() if child.suffix.lower() in _SUFFIXES and not child.name.startswith(".")
    )


def _has_speech(subset: Path) -> bool:
    return any(_audio_files(chapter) for speaker in _folders(subset) for chapter in _folders(speaker))


def _utterances(subset: Path) -> list[Utterance]:
    found = []
    for speaker in _folders(subset):
        for chapter in _folders(speaker):
            for path in _audio_files(chapter):
                # LibriSpeech's own names are unique; names such as 0001.wav get the folders' names in front.
                own = path.stem.startswith(f"{speaker.name}-")
                key = path.stem if own else f"{speaker.name}-{chapter.name}-{path.stem}"
                require_key(key, str(path))
                found.append(Utterance(key, speaker.name, str(path.resolve())))
    return found
