"""How a config key is declared: a field of a section, with all that anybody wants to know of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from mindaudio_ext.registry import Registry

STRICT = ConfigDict(strict=True)
ALWAYS = object()  # for `before`: no config has ever been without this key


@dataclasses.dataclass(frozen=True)
class Key:
    """What is known of a key beside its name, type and default.

    Attributes:
        meaning: what it is, in a sentence or two; names in backquotes.
        zh: the same in Chinese.
        unit: its unit.
        aliases: names of the reference implementation, in place of ours.
        equals: names of the reference implementation for what must have the same value.
        trained: whether what was trained depends on it. If not, it may be changed afterwards.
        decoded: whether what stage 3 writes depends on it beside the checkpoint; estimates of another value are not
            used again.
        in_old_digests: whether stage 3 always counted the key, also where it has the value of `before`.
        before: what a config means that was written before there was the key; `ALWAYS` if there is none.
        named: the registry that the value is a name of.
        options_of: of a mapping, the key that names what takes its options.
        option_aliases: of a mapping, the reference's names of options.
    """

    meaning: str
    zh: str
    unit: str = ""
    aliases: tuple[str, ...] = ()
    equals: tuple[str, ...] = ()
    trained: bool = True
    decoded: bool = True
    in_old_digests: bool = False
    before: Any = ALWAYS
    named: Registry | None = None
    options_of: str = ""
    option_aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)


def key(default: Any, meaning: str, *, zh: str, **known: Any) -> Any:
    """Declares a key of a section; the arguments are those of `Key`, and the default."""
    metadata = {"key": Key(" ".join(meaning.split()), "".join(line.strip() for line in zh.splitlines()), **known)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
