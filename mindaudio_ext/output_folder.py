"""Folders that a command makes: whole or not there, and never put in the place of anybody else's.

A folder `out` is put together as `.tmp.out/new`; what it replaces waits as `.tmp.out/old` until the new one has its
name. Both `.tmp.out` and `out` hold a mark, `.made.json`, that says what the folder is and lists its files. A folder
without that mark, with a file the mark does not list, or with one that was changed, is not replaced: one line says so,
and nothing is touched.
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import TEMPORARY, parse_json, require_folders_above, sha256_of, write_text
from mindaudio_ext.interrupt import removed_at_an_end
from mindaudio_ext.lock import locked

MARK = ".made.json"
_FORMAT = 1  # of the mark
_UNFINISHED = "unfinished folder"  # what `.tmp.<name>` is


@dataclass(frozen=True)
class _Mark:
    """What a mark says: what the folder is, and its files: relative path -> SHA-256, None for any content."""

    what: str
    files: dict[str, str | None]


@dataclass(frozen=True)
class OutputFolder:
    """A folder that a command makes.

    Attributes:
        path: of the folder.
        what: it is, such as "data directory"; a folder of another kind is never replaced.
        before_marks: gives the files of a folder that was made before there were marks, as in a mark; None when the
            folder is no such one.
    """

    path: Path
    what: str
    before_marks: Callable[[Path], Iterable[str] | None] | None = None

    @property
    def _temporary(self) -> Path:
        return _temporary_of(self.path)

    def require_replaceable(self) -> None:
        """Raises InputError, naming what is in the way, unless nothing is there or all that is there is ours."""
        if not self._is_there():
            return
        if self.path.is_symlink():
            raise self._is_link()
        mark = self._require_mark()
        for name, is_folder in _entries(self.path):
            if not _is_listed(name, is_folder, mark):
                raise InputError(
                    f"{self.path / name}: was not made with {self.path}, which would be replaced; move it away"
                )
            if mark.files.get(name) is not None and sha256_of(self.path / name) != mark.files[name]:
                raise InputError(
                    f"{self.path / name}: was changed after it was made; move or remove {self.path} to make it anew"
                )

    def require_ours(self) -> None:
        """Raises InputError unless nothing is there or what is there was begun by us, whoever added to it."""
        if self._is_there():
            self._require_mark()

    def claim(self, files: Iterable[str] = ()) -> None:
        """Makes the folder, with its mark, for files that are written in place.

        Args:
            files: that will be in it, when it is to be removed by `remove` some day.

        Raises:
            InputError: it is there and not ours.
        """
        self.require_ours()
        self.path.mkdir(parents=True, exist_ok=True)
        mark = _Mark(self.what, dict.fromkeys(files))
        if _read_mark(self.path) != mark:
            _write_mark(self.path, mark)

    def adopt(self, files: Collection[str]) -> None:
        """Marks a folder that was made before there were marks and holds these files and no others."""
        if _read_mark(self.path) is None and {name for name, _ in _entries(self.path)} == set(files):
            _write_mark(self.path, _Mark(self.what, {name: sha256_of(self.path / name) for name in files}))

    @contextmanager
    def replaced(self, *, digests: bool = False) -> Iterator[Path]:
        """Returns an empty folder that takes the final name at the end; what has the name stays until that moment.

        Args:
            digests: whether a file whose content is changed later counts as the user's.

        Raises:
            InputError: what has the name is not ours, all of it; before anything is made.
        """
        with locked(self.path.parent, self.path.name):
            self._recover()
            yield from self._replaced(digests)

    def _replaced(self, digests: bool) -> Iterator[Path]:
        self.require_replaceable()
        with _temporary_folder(self.path) as temporary:
            new, old = temporary / "new", temporary / "old"
            new.mkdir()
            with removed_at_an_end(temporary, _remove):
                yield new
            files = sorted(name for name, is_folder in _entries(new) if not is_folder)
            _write_mark(new, _Mark(self.what, {name: sha256_of(new / name) if digests else None for name in files}))
            self.require_replaceable()
            try:
                if os.path.lexists(self.path):
                    os.replace(self.path, old)
                os.replace(new, self.path)
            finally:
                self._recover()

    def recover(self) -> None:
        """Returns its name back to a folder that a killed process had put aside.

        Raises:
            InputError: another process is at work at it; or one is put aside that need not be ours.
        """
        if (self._temporary / "old").exists() or self._aside.exists():
            with locked(self.path.parent, self.path.name):
                self._recover()

    def _recover(self) -> None:
        old = self._temporary / "old"
        if os.path.lexists(self.path):
            return
        if old.exists() and _is_unfinished(self._temporary):
            os.replace(old, self.path)
        elif self._aside.is_dir() and not self._aside.is_symlink():
            if self.before_marks is None or self.before_marks(self._aside) is None:
                raise InputError(
                    f"{self._aside}: was {self.path} until a command was killed; give it that name again, or remove it"
                )
            os.replace(self._aside, self.path)

    @property
    def _aside(self) -> Path:
        """Where a folder waited for its replacement before there were marks."""
        return self.path.parent / f"{TEMPORARY}old.{self.path.name}"

    def remove(self) -> None:
        """Removes the folder.

        Raises:
            InputError: it is not ours, all of it; nothing is removed then.
        """
        self.require_replaceable()
        if not os.path.lexists(self.path):
            return
        if _read_mark(self.path) is None and self._is_there():  # so that half a removal is known as ours
            _write_mark(self.path, self._require_mark())
        _remove(self.path)

    def _is_there(self) -> bool:
        """Tells whether there is a folder with something in it; raises InputError when it is no folder."""
        require_folders_above(self.path)
        if not os.path.lexists(self.path):
            return False
        if not self.path.is_dir():
            problem = f"{self.path}: is there and is no folder; give another name"
            raise self._is_link() if self.path.is_symlink() else InputError(problem)
        return not _is_empty(self.path)

    def _is_link(self) -> InputError:
        return InputError(f"{self.path}: is a symbolic link, which is not replaced; remove it or give another name")

    def _require_mark(self) -> _Mark:
        mark = _read_mark(self.path)
        if mark is None:
            files = self.before_marks(self.path) if self.before_marks else None
            if files is None:
                raise InputError(
                    f"{self.path}: is not known to be made by this command (it has no {MARK}) and holds "
                    f"{min(os.listdir(self.path))}; move or remove it, or give another name"
                )
            return _Mark(self.what, dict.fromkeys(files))
        if mark.what != self.what:
            raise InputError(f"{self.path}: is a {mark.what}, which a {self.what} does not replace; give another name")
        return mark


def require_new(path: str | os.PathLike) -> None:
    """Raises InputError when something of that name is there, or its folder cannot be."""
    if os.path.lexists(path):
        raise InputError(f"{path}: is already there; give another name, or remove it")
    require_folders_above(path)


@contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Returns an empty folder that takes the name `path` at the end, or is removed on an error.

    Raises:
        InputError: something of that name is there.
    """
    path = Path(os.path.abspath(path))
    require_new(path)
    with locked(path.parent, path.name), _temporary_folder(path) as temporary:
        new = temporary / "new"
        new.mkdir()
        with removed_at_an_end(temporary, _remove):
            yield new
        require_new(path)
        os.replace(new, path)


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """Returns `.tmp.<name>` beside a path, marked; it is removed at the end, as is what a killed process left of it."""
    temporary = _temporary_of(path)
    if os.path.lexists(temporary):
        if not _is_unfinished(temporary):
            raise InputError(f"{temporary}: is in the way of {path} and was not made by this command; move it away")
        _remove(temporary)
    temporary.mkdir(parents=True)
    try:
        _write_mark(temporary, _Mark(_UNFINISHED, {}))
        yield temporary
    finally:
        _remove(temporary)


def _temporary_of(path: Path) -> Path:
    return path.parent / f"{TEMPORARY}{path.name}"


def _is_unfinished(folder: Path) -> bool:
    """Tells whether a folder is one of `_temporary_folder`, perhaps of a process that was killed at its first step."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    mark = _read_mark(folder)
    return _is_empty(folder) if mark is None else mark.what == _UNFINISHED


def _is_empty(folder: Path) -> bool:
    """Tells whether nothing is in a folder, or half a mark alone."""
    return set(os.listdir(folder)) <= {f"{TEMPORARY}{MARK}"}


def _remove(folder: Path) -> None:
    """Removes a folder of ours; the mark goes last, so that a kill leaves a folder that is known."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != MARK:
            os.unlink(entry.path)
    if os.listdir(folder) in ([], [MARK]):  # nobody has written on meanwhile, as when Ctrl-C ends a process
        (folder / MARK).unlink(missing_ok=True)
    folder.rmdir()


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yields relative path, with `/`, and whether it is a folder, of all below a folder; links are not followed."""
    for parent, folders, files in os.walk(folder):
        for names, are_folders in ((folders, True), (files, False)):
            for name in sorted(names):
                path = Path(parent, name)
                yield path.relative_to(folder).as_posix(), are_folders and not path.is_symlink()


def _is_listed(name: str, is_folder: bool, mark: _Mark) -> bool:
    """Tells whether what is in a folder is listed in its mark, or is such a file that `atomic_path` was killed at."""
    if is_folder:
        return any(file.startswith(f"{name}/") for file in mark.files)
    folder, slash, file = name.rpartition("/")
    final = f"{folder}{slash}{file.removeprefix(TEMPORARY)}"
    return final == MARK or final in mark.files


def _read_mark(folder: Path) -> _Mark | None:
    """Reads a folder's mark; None when there is none that is whole."""
    try:
        values = parse_json((folder / MARK).read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            return None
        return _Mark(str(values["what"]), dict(values["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_mark(folder: Path, mark: _Mark) -> None:
    values = {"format": _FORMAT, "what": mark.what, "files": mark.files}
    write_text(folder / MARK, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
