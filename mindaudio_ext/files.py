"""Files that are either whole or not there: written under a temporary name in the same folder, then renamed."""

import fnmatch
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mindaudio_ext.errors import InputError
from mindaudio_ext.interrupt import removed_at_an_end

BACKUP = ".backup"  # a folder for what a file was before it was changed
TEMPORARY = ".tmp."  # what the name of an unfinished file or folder begins with


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Returns a temporary path beside `path`; on success it takes the final name, on an error it is removed.

    The temporary name ends like the final one, because writers choose a format by it. It is fixed (`.tmp.<name>`), so
    what a killed process left behind is overwritten by the next attempt. The file has the mode that the umask gives,
    whatever the writer gives it (MindSpore's are 0400); one that the writer makes executable is executable.

    Args:
        path: the final name. Its folder is made when missing.

    Raises:
        InputError: a folder, a device or a pipe has that name, or what should be its folder is none.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}; give another name")
    if not path.parent.is_dir():
        require_folders_above(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        with removed_at_an_end(temporary):
            temporary.unlink(missing_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            _set_mode(temporary, mode)
            os.replace(temporary, path)
    except BaseException as error:
        # A full disk is reported of no file. What has no number says all in its message.
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        temporary.unlink(missing_ok=True)
        raise


def _set_mode(path: Path, mode: int) -> None:
    """Returns a file a mode, with the right to execute for all who may read when it is executable now."""
    found = path.stat().st_mode
    wanted = mode | (mode & 0o444) >> 2 if found & 0o100 else mode
    if found != wanted:
        path.chmod(wanted & 0o777)


def require_folders_above(path: str | os.PathLike) -> None:
    """Raises InputError when something above a path is there and is no folder."""
    for parent in Path(os.path.abspath(path)).parents:
        if os.path.lexists(parent):
            if not parent.is_dir():
                raise InputError(f"{path}: cannot be made, because {parent} is no folder")
            return


def is_file(path: str | os.PathLike) -> bool:
    """Tells whether a path is a file, or a link to one.

    Raises:
        PermissionError: a folder above may not be searched; `os.path.isfile` says no then.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except PermissionError:
        raise
    except (OSError, ValueError):
        return False


def listed(folder: Path, pattern: str) -> list[Path]:
    """Lists what is in a folder and has a name of a pattern, sorted; nothing when there is no such folder.

    Raises:
        PermissionError: the folder may not be read; `Path.glob` finds nothing then.
    """
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if fnmatch.fnmatchcase(path.name, pattern))


def keep_copy(path: Path) -> None:
    """Copies a file that will be replaced to `.backup/` beside it, as `<name>` or, when that is there, `<name>.2`."""
    content = path.read_bytes()
    folder = path.parent / BACKUP
    names = itertools.chain([path.name], (f"{path.name}.{number}" for number in itertools.count(2)))
    for copy in (folder / name for name in names):
        if not os.path.lexists(copy):
            with atomic_path(copy) as temporary:
                temporary.write_bytes(content)
            return
        if copy.is_file() and copy.read_bytes() == content:
            return


def parse_json(text: str | bytes) -> Any:
    """Returns what a JSON text says, as `json.loads`; a text that is nested too deeply is a ValueError, too.

    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
