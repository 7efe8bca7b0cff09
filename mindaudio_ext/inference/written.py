"""Which files of a folder are estimates that were written there, so that a user's own are never replaced.

A list beside them has a line for each file, its name and the SHA-256 of its bytes: one that was changed since is the
user's. Lines are added before the files take their names; a kill between the two costs nothing.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json, sha256_of
from mindaudio_ext.journal import appended_journal

LIST = ".mindaudio-separate.jsonl"


def refuse_others(outputs: Sequence[Path], name: str) -> None:
    """Raises InputError, which begins with `name`, when a file is there that is not as it was written."""
    for path in outputs:
        if os.path.lexists(path) and not _is_written(path):
            raise InputError(
                f"{name}: {path} is there and was not written by this command, or was changed since; "
                "--overwrite replaces it, or choose another -o"
            )


def remove_written(paths: Iterable[Path]) -> None:
    """Removes the files that are as they were written there."""
    for path in paths:
        if os.path.lexists(path) and _is_written(path):
            path.unlink()


def note(outputs: Sequence[Path], finished: Sequence[Path]) -> None:
    """Adds files to the lists of their folders.

    Args:
        outputs: the names they are going to have.
        finished: where they are now.
    """
    for path, file in zip(outputs, finished):
        digest = sha256_of(file)
        if digest in _digests(path):
            continue
        with appended_journal(path.parent / LIST) as add:
            add({"name": path.name, "sha256": digest})


def _is_written(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    digests = _digests(path)
    return bool(digests) and sha256_of(path) in digests


def _digests(path: Path) -> set[str]:
    """Returns the digests of all that was written under a file's name."""
    known = _list_of(os.path.abspath(path.parent))
    known.read_on()
    return known.digests[path.name]


class _List:
    """A folder's list. In one process it is read once: later only what was added, which others may do, too.

    Attributes:
        digests: name -> digests of what was written under it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._inode, self._n_read = path, -1, 0
        self.digests: dict[str, set[str]] = defaultdict(set)

    def read_on(self) -> None:
        """Reads the lines that were added."""
        status = os.stat(self._path) if self._path.is_file() else None
        if status is None or status.st_ino != self._inode or status.st_size < self._n_read:  # it is another one
            self._inode, self._n_read = -1 if status is None else status.st_ino, 0
            self.digests.clear()
        if status is None or status.st_size == self._n_read:
            return
        with open(self._path, "rb") as file:
            file.seek(self._n_read)
            added = file.read()
        self._n_read += added.rfind(b"\n") + 1  # the rest may be half a line
        for line in added.splitlines():
            try:
                values = parse_json(line)
                self.digests[values["name"]].add(values["sha256"])
            except (ValueError, KeyError, TypeError):  # half a line, or somebody else's
                continue


@cache
def _list_of(folder: str) -> _List:
    return _List(Path(folder, LIST))
