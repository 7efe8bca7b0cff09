"""Files and folders that may not be read or written, also where tests run as root, for whom all is permitted."""

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_VERSION = 0x20080522  # of the kernel's interface to capabilities: two words of 32 bits each
_PASSES_OVER = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root pass over permissions
# Before a command that runs in a process of its own: there root would get all its capabilities back.
AS_A_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Words(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def as_a_user() -> Iterator[None]:
    """Within the `with`, permissions hold for this thread, root or not."""
    header, words = _Header(_VERSION, 0), (_Words * 2)()
    _call(_LIBC.capget, header, words)
    before = words[0].effective
    words[0].effective = before & ~_PASSES_OVER
    _call(_LIBC.capset, header, words)
    try:
        yield
    finally:
        words[0].effective = before
        _call(_LIBC.capset, header, words)


def _call(function, header: _Header, words) -> None:
    if function(ctypes.byref(header), words) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def locked_up(path: str | os.PathLike, mode: int = 0) -> Iterator[None]:
    """Within the `with`, a file or folder has a mode; as a user's, by default, it can neither be read nor written."""
    path = Path(path)
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        with as_a_user():
            yield
    finally:
        path.chmod(before)
