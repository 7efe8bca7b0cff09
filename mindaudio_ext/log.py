"""Where progress, notes and warnings go: to stderr, apart from what a command is there to print.

Every module writes them to `logging.getLogger(__name__)`. A command sends the package's lines to stderr as they are; a
training adds the time and a file. A program that uses the package from Python configures `logging` as it likes.
"""

import contextlib
import datetime
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

_PACKAGE = logging.getLogger("mindaudio_ext")
_FILE_ALONE = logging.getLogger("mindaudio_ext.file_alone")


class _Stderr(logging.StreamHandler):
    """Writes to what `sys.stderr` is at that moment, and raises what goes wrong, as `print` does."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass

    def handleError(self, record: logging.LogRecord) -> NoReturn:
        raise


class _File(logging.FileHandler):
    """Appends to a file that is made with the first line, and raises what goes wrong."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)

    def handleError(self, record: logging.LogRecord) -> NoReturn:
        raise


class _Bare(logging.Formatter):
    """A line as it is; a warning says that it is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return f"warning: {line}" if record.levelno == logging.WARNING else line


class _Iso(logging.Formatter):
    """A line after its time, with the time zone."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")


def to_stderr() -> None:
    """Sends the package's lines to stderr, without a time."""
    handler = _Stderr()
    handler.setFormatter(_Bare())
    _send_to(handler)


def of_training(path: Path | None) -> None:
    """Sends the package's lines to stderr, each after its time, and appends them to a file when one is given."""
    handlers: list[logging.Handler] = [_Stderr()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(_File(path))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    _send_to(*handlers)


@contextlib.contextmanager
def file_alone(path: str | os.PathLike) -> Iterator[logging.Logger]:
    """Yields a logger whose lines go to a file, each after its time, and nowhere else."""
    handler = _File(Path(path))
    handler.setFormatter(_Iso("%(asctime)s %(message)s"))
    _FILE_ALONE.propagate = False
    _FILE_ALONE.setLevel(logging.INFO)
    _FILE_ALONE.addHandler(handler)
    try:
        yield _FILE_ALONE
    finally:
        _FILE_ALONE.removeHandler(handler)
        handler.close()


def _send_to(*handlers: logging.Handler) -> None:
    for earlier in tuple(_PACKAGE.handlers):
        _PACKAGE.removeHandler(earlier)
        earlier.close()
    for handler in handlers:
        _PACKAGE.addHandler(handler)
    _PACKAGE.setLevel(logging.INFO)
