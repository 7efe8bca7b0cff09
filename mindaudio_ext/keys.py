"""Keys of mixtures and names of sets: one rule for each, and the name of a file that a key becomes.

A key is a word, as in Kaldi: not empty and without white space; nor has it control characters. It is no path: where a
key names a file, what a path would be made of is written `%2F` and so on, and it is short enough for that.
"""

import os
import re
from urllib.parse import quote

from mindaudio_ext.errors import InputError

# Bytes of a file's name are 255; `.tmp.` comes before it and `_mix.wav` or the like behind.
LONGEST = 230

MAX_SOURCES = 5  # of a mixture

NAME = re.compile(r"\w[\w.-]*")  # of a set, which names folders and files

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED = re.compile(r"^\.|[%/]")


def require_key(key: str, where: str) -> None:
    """Raises InputError, beginning with `where`, unless a text can be a key."""
    if not key or key.split() != [key]:
        raise InputError(f"{where}: '{key}' cannot be a key: it {'has white space' if key else 'is empty'}")
    if _CONTROL.search(key):
        raise InputError(f"{where}: {key!r} cannot be a key: it has control characters, or is not UTF-8")
    size = len(file_name(key).encode())
    if size > LONGEST:
        raise InputError(f"{where}: the key {key[:30]}... has {size} bytes as a file's name; {LONGEST} at most")


def require_name(name: str, where: str) -> None:
    """Raises InputError, beginning with `where`, unless a text can be the name of a set."""
    if not NAME.fullmatch(name) or len(name.encode()) > LONGEST:
        raise InputError(f"{where}: expected a plain name (letters, digits, . _ -), got '{name}'")


def set_name(data_dir: str | os.PathLike) -> str:
    """Returns the name of a set: its folder's.

    >>> set_name("data/test/")
    'test'
    """
    return os.path.basename(os.path.abspath(data_dir))


def file_name(key: str) -> str:
    """Returns what a file of a key is called, without an ending. No two keys share one: unquoting is the way back.

    >>> file_name("61-70968_260-1"), file_name("../a%b")
    ('61-70968_260-1', '%2E.%2Fa%25b')
    """
    return _ESCAPED.sub(lambda found: "%2E" if found[0] == "." else quote(found[0], safe=""), key)
