"""Reads hyperpyyaml, SpeechBrain's dialect of YAML: tags are read and never obeyed.

`!new:package.Class` becomes the mapping below it with the class's name under `class`, `!ref <name>` what bears that
name at the top. Nothing is imported, called or computed: any other tag, and a `!ref` to more than one name, stays a
`Tagged`, which no argument of a model can be.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mindaudio_ext.errors import InputError

DEEPEST = 16  # objects within objects, references to references
MOST_ARGUMENTS = 1000
_REFERENCE = re.compile(r"<([\w-]+)>")


@dataclass(frozen=True)
class Tagged:
    """What bears a tag that is not obeyed."""

    tag: str
    value: Any


class _Loader(yaml.SafeLoader):
    """Knows plain values; keeps all other tags."""


def _keep_tag(loader: _Loader, tag: str, node: yaml.Node) -> Tagged:
    if isinstance(node, yaml.MappingNode):
        return Tagged(tag, loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Tagged(tag, loader.construct_sequence(node, deep=True))
    return Tagged(tag, node.value)


_Loader.add_multi_constructor("", _keep_tag)  # type: ignore[no-untyped-call]


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a mapping of YAML of any tags; raises InputError that names the file and what is wrong with it."""
    try:
        content = yaml.load(Path(path).read_bytes(), Loader=_Loader)
    except RecursionError as error:
        raise InputError(f"{path}: brackets within brackets, too many to read") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected names and values")
    return {str(name): value for name, value in content.items()}


def arguments_of(content: dict[str, Any], value: Any, prefix: str) -> dict[str, Any]:
    """Returns the arguments of an object, and of those within it, by dotted names that begin with `prefix`.

    Every object has one that is called `class`: the last part of its class's name, or None.

    Raises:
        InputError: there are too many.
    """
    found: dict[str, Any] = {}
    _collect(content, value, prefix, found)
    return found


def _collect(content: dict[str, Any], value: Any, prefix: str, found: dict[str, Any]) -> None:
    value = _referred(content, value)
    name = None
    if isinstance(value, Tagged) and value.tag.startswith("!new:"):
        name, value = value.tag.rpartition(".")[2], value.value if isinstance(value.value, dict) else {}
    if len(found) > MOST_ARGUMENTS or prefix.count(".") > DEEPEST:
        raise InputError(f"{prefix}: has more arguments, or deeper ones, than any model")
    if not isinstance(value, dict):
        found[prefix] = value
        return
    found[f"{prefix}.class"] = name
    for inner, argument in value.items():
        _collect(content, argument, f"{prefix}.{inner}", found)


def _referred(content: dict[str, Any], value: Any) -> Any:
    for _ in range(DEEPEST):
        if not isinstance(value, Tagged) or value.tag not in ("!ref", "!copy"):
            return value
        match = _REFERENCE.fullmatch(str(value.value).strip())
        if not match or match[1] not in content:
            return value
        value = content[match[1]]
    return value
