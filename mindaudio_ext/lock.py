"""One process at a time: a lock of the system (flock), which ends with the process that has it, however that ends."""

import errno
import fcntl
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import require_folders_above
from mindaudio_ext.interrupt import removed_at_an_end

_HOLDER = re.compile(rb"(.*\(process \d+ on .*\)\n)?", re.DOTALL)  # what is in a lock's file
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # a file system that has none, as some of clusters


@contextmanager
def locked(folder: str | os.PathLike, part: str = "") -> Iterator[None]:
    """Within the `with`, nobody else who asks for the same lock of a folder gets it.

    The file `.lock` (`.lock.<part>`) says who has it; it is removed at the end. What a killed process left of it is in
    nobody's way. Where the file system has no locks, nobody is kept out.

    Args:
        folder: made when missing, and removed if it is empty at the end.
        part: name of what is meant in the folder; all of it by default.

    Raises:
        InputError: another process has it, and the message says which; or what should be the folder is none.
    """
    folder = Path(os.path.abspath(folder))
    file = folder / (f".lock.{part}" if part else ".lock")
    require_folders_above(file)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _take(file, f"{folder / part if part else folder}")
    program = Path(sys.argv[0]).stem or "python"
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{program} (process {os.getpid()} on {socket.gethostname()})\n".encode())
        with removed_at_an_end(file):
            yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):
            for path in made:
                path.rmdir()


def _take(file: Path, place: str) -> int:
    """Opens and locks a file; it may be removed by who had it, in between."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(f"{place}: is in use by {holder}; wait until that ends, or give another folder") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            return descriptor
        if _is_at(descriptor, file):
            if not _HOLDER.fullmatch(os.pread(descriptor, 1000, 0)):
                os.close(descriptor)
                raise InputError(f"{file}: is in the way of a lock and was not made by this command; move it away")
            return descriptor
        os.close(descriptor)


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False
