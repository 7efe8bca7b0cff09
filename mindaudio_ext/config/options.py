"""The mappings among the keys, `separator_conf` and its like: options of what another key names, by its constructor."""

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Interval

from mindaudio_ext.config.check import choices_of, has_bounds, kinds_of
from mindaudio_ext.config.config import KEYS, OPTIONS_OF, Config
from mindaudio_ext.config.types import LARGEST_SIZE
from mindaudio_ext.registry import Option, problems_of


def known_options(mapping: str, name: str) -> dict[str, Option] | None:
    """Returns the options that the thing named takes in a mapping, imported for it; None when it takes any.

    An argument of a model or an optimizer that is called as a key gets the key's value and is no option. A whole number
    that says no limits must be at least 1.
    """
    registry = KEYS[OPTIONS_OF[mapping]].named
    assert registry is not None
    options = registry.options(name)
    if options is None:
        return None
    if registry.reads_keys:
        options = {option: spec for option, spec in options.items() if option not in KEYS}
    return {option: Option(with_usual_limits(spec.annotation), spec.default) for option, spec in options.items()}


def keys_read_by(mapping: str, name: str) -> list[str]:
    """Returns the keys that the model or optimizer named has as arguments."""
    registry = KEYS[OPTIONS_OF[mapping]].named
    assert registry is not None
    options = registry.options(name) if registry.reads_keys else None
    return [option for option in options or {} if option in KEYS]


def arguments_of(config: Config, mapping: str) -> dict[str, Any]:
    """Returns the arguments of the model or optimizer that a config names: the keys it reads and its options."""
    keys = keys_read_by(mapping, getattr(config, OPTIONS_OF[mapping]))
    return {name: getattr(config, name) for name in keys} | getattr(config, mapping)


def with_usual_limits(annotation: Any) -> Any:
    """Returns the type of an option, with the limits of a size if it is a whole number without any."""
    plain = int in kinds_of(annotation) and not has_bounds(annotation) and not choices_of(annotation)
    return Annotated[annotation, _SIZE] if plain and list not in kinds_of(annotation) else annotation


_SIZE = Interval(ge=1, le=LARGEST_SIZE)


def option_problems(mapping: str, name: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns options and what is wrong with them, of the rules for several options together."""
    registry = KEYS[OPTIONS_OF[mapping]].named
    assert registry is not None
    return list(problems_of(registry.get(name), options))
