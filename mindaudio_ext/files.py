"""Files that are either whole or not there: written under a temporary name in the same folder, then renamed."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindaudio_ext.errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path beside `path`; on success it takes the final name, on an error it is removed.

    The temporary name ends like the final one, because writers choose a format by it. It is fixed (`.tmp.<name>`), so
    what a killed process left behind is overwritten by the next attempt.

    Args:
        path: the final name. Its folder is made when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        # A full disk is reported of no file. What has no number says all in its message.
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        temporary.unlink(missing_ok=True)
        raise


def require_new(folder: str | os.PathLike) -> None:
    """Raises InputError when something of that name is there."""
    if os.path.lexists(folder):
        raise InputError(f"{folder}: is already there; give another name, or remove it")


@contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary folder beside `path` that takes its name at the end, or is removed on an error."""
    path = Path(os.path.abspath(path))
    temporary = path.with_name(f".tmp.{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: str | os.PathLike) -> str:
    """Gives the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
