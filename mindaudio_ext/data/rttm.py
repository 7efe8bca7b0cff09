"""RTTM files: who speaks when, a line a turn, as NIST's Rich Transcription 2009 evaluation plan lays it out."""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

RTTM = "rttm"  # the file's name in a data directory and in a folder of estimates
_SHORTEST = 0.0005  # seconds: less is 0.000 in the file
_FIELDS = 9  # of a line, at least; later editions have a tenth
_OTHERS = {"SPKR-INFO", "LEXEME", "NON-LEX", "NON-SPEECH", "SEGMENT", "NOSCORE", "FILLER", "EDIT", "SU"}  # types


@dataclass(frozen=True, order=True)
class Turn:
    """A stretch in which somebody speaks: its start and end in seconds, and the speaker's name."""

    start: float
    end: float
    speaker: str


def rttm_name(name: str) -> str:
    """Returns a name as a field of RTTM can hold it: white space becomes _.

    >>> rttm_name("a talk.wav")
    'a_talk.wav'
    """
    return re.sub(r"\s", "_", name) or "_"


def rttm_lines(key: str, turns: Iterable[Turn]) -> list[str]:
    """Returns the lines of a recording's turns, by time; none for a turn shorter than half a millisecond."""
    return [
        f"SPEAKER {rttm_name(key)} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {rttm_name(turn.speaker)} "
        "<NA> <NA>"
        for turn in sorted(turns)
        if turn.end - turn.start >= _SHORTEST
    ]


def write_rttm(path: str | os.PathLike, recordings: Mapping[str, Iterable[Turn]]) -> None:
    """Writes the turns of recordings, key -> turns, atomically; one without turns has no line."""
    lines = [line for key, turns in recordings.items() for line in rttm_lines(key, turns)]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_rttm(path: str | os.PathLike) -> dict[str, list[Turn]]:
    """Reads key -> turns, by time. Lines of other types than SPEAKER, and comments (;;), are passed over.

    Raises:
        InputError: the file is missing or no text, or a line is none of RTTM's: another number of fields (a key with
            white space has one more), a time that is no number, a turn of no length.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as RTTM ({error})") from error
    found: dict[str, list[Turn]] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith(";") or fields[0] in _OTHERS:
            continue
        if fields[0] != "SPEAKER" or len(fields) not in (_FIELDS, _FIELDS + 1):
            raise InputError(
                f"{path}, line {number}: no line of RTTM, 'SPEAKER <key> 1 <start> <seconds> <NA> <NA> <speaker> <NA> "
                "<NA>'; a key has no white space"
            )
        try:
            start, length = float(fields[3]), float(fields[4])
        except ValueError as error:
            raise InputError(f"{path}, line {number}: start and seconds must be numbers, got {fields[3:5]}") from error
        if not (math.isfinite(start) and math.isfinite(length) and start >= 0 and length > 0):
            raise InputError(
                f"{path}, line {number}: a turn starts at 0 s or later and has a length, got {fields[3:5]}"
            )
        found.setdefault(fields[1], []).append(Turn(start, start + length, fields[7]))
    return {key: sorted(turns) for key, turns in found.items()}
