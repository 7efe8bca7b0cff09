"""A config file or an override as a layer: checked values by canonical names, each with where it stands."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mindaudio_ext.config.check import check_value
from mindaudio_ext.config.config import ALIASES, EQUALS, HINTS, KEYS, OPTIONS_OF, default_of
from mindaudio_ext.config.types import in_words
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import Registry, near


@dataclass(frozen=True)
class Setting:
    """A value and where it stands: `where` begins every message about it (file and key as the user wrote them)."""

    value: Any
    where: str


Layer = dict[str, Setting]
_DEEPEST = 20  # lists and mappings within each other


def default_layer() -> Layer:
    """Returns every key with its default."""
    return make_layer({name: default_of(name) for name in KEYS}, "defaults")


def read_layer(path: Path) -> Layer:
    """Returns what a YAML file says of the config.

    Raises:
        InputError: as `read_mapping`, or a key is unknown, doubled, of a wrong type or out of range.
    """
    return make_layer(read_mapping(path), str(path))


def read_mapping(path: Path) -> dict[Any, Any]:
    """Returns the mapping that a YAML file has; raises InputError when it is missing or has none."""
    try:
        text = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such config file") from error
    values = _parse_yaml(text, str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping (`key: value` lines), got {in_words(values)}")
    return values


def parse_overrides(text: str) -> Layer:
    """Returns what `"key=value separator_conf.chunk_size=64"` says; raises InputError as `read_layer`."""
    where = f"override '{text}'"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    values: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"{where}: expected key=value, got '{word}'")
        if name in values:
            raise InputError(f"{where}: key '{name}' is given twice")
        values[name] = _parse_yaml(value, f"override '{word}'")
    return make_layer(values, "override")


def make_layer(values: Mapping[Any, Any], source: str) -> Layer:
    """Returns values, nested as in YAML, by canonical, dotted names; those of `Config` are checked.

    Args:
        values: by key, of ours or the reference implementation's name.
        source: begins every message about them.

    Raises:
        InputError: as `read_layer`.
    """
    layer: Layer = {}
    for written, value in _flatten(values, source).items():
        name = ALIASES.get(written, written)
        where = f"{source}: {written}" + (f" ({name})" if name != written else "")
        if name in layer:
            raise InputError(f"{where}: given twice, also as {layer[name].where.removeprefix(source + ': ')}")
        if name in KEYS:
            value = check_value(value, HINTS[name], where)
        elif name.partition(".")[0] not in OPTIONS_OF and name not in EQUALS:
            raise InputError(f"{source}: unknown key '{written}'{near(written, [*KEYS, *ALIASES, *EQUALS])}")
        registry = KEYS[name].named if name in KEYS else None
        if registry is not None:
            value = _named(registry, value, where)
        layer[name] = Setting(value, where)
    return layer


def options_in(layer: Layer, mapping: str) -> Layer:
    """Returns the entries of one mapping, such as `separator_conf`, by option."""
    prefix = f"{mapping}."
    return {name.removeprefix(prefix): entry for name, entry in layer.items() if name.startswith(prefix)}


def _named(registry: Registry, value: Any, where: str) -> Any:
    """Returns a name, or a list of names, as registered."""
    try:
        return tuple(map(registry.find, value)) if isinstance(value, tuple) else registry.find(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _flatten(values: Mapping[Any, Any], source: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise InputError(f"{source}: a key must be text, got {in_words(name)}")
        if name not in OPTIONS_OF:
            options = {name: value}
        elif isinstance(value, dict):
            options = {f"{name}.{option}": each for option, each in value.items()}
        else:
            raise InputError(f"{source}: {name}: expected a mapping, got {in_words(value)}")
        for option, each in options.items():
            if option in flat:
                raise InputError(f"{source}: key '{option}' is given twice")
            flat[option] = each
    return flat


class _Loader(yaml.SafeLoader):
    """Refuses a key given twice, of which PyYAML would silently take the last, and brackets without end."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _DEEPEST:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, f"more than {_DEEPEST} brackets within each other", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key_node.value}' is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _parse_yaml(text: bytes | str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: what looks like a date and is none
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
