"""A journal: a file that gets a line of JSON for each thing that is finished, so that an interrupted run can go on."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mindaudio_ext.files import parse_json


def journal_line(entry: Any) -> str:
    """Returns an entry as a line."""
    return json.dumps(entry) + "\n"


def read_journal(path: Path) -> list[Any]:
    """Returns the entries of a journal; none when there is no file. A line that a kill cut off is left out."""
    entries = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            entries.append(parse_json(line))
        except ValueError:
            continue
    return entries


@contextmanager
def appended_journal(path: Path) -> Iterator[Callable[[Any], None]]:
    """Returns a function that adds an entry to a journal, which is made when missing."""
    with open(path, "a+b") as journal:
        if journal.tell() and os.pread(journal.fileno(), 1, journal.tell() - 1) != b"\n":
            journal.write(b"\n")  # a kill cut the last line off; the next one stands alone

        def add(entry: Any) -> None:
            journal.write(journal_line(entry).encode())
            journal.flush()

        yield add
