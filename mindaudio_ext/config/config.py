"""The whole config: all sections in one frozen record, and what follows from how its keys are declared."""

import dataclasses
import os
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic.dataclasses import dataclass

from mindaudio_ext.config.check import check_value
from mindaudio_ext.config.data import Data
from mindaudio_ext.config.decoding import Decoding
from mindaudio_ext.config.device import Device
from mindaudio_ext.config.export import Export
from mindaudio_ext.config.key import ALWAYS, STRICT, Key
from mindaudio_ext.config.model import Model
from mindaudio_ext.config.scoring import Scoring
from mindaudio_ext.config.training import Training
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

SECTIONS: dict[str, type[Any]] = {
    "data": Data,
    "model": Model,
    "training": Training,
    "decoding": Decoding,
    "scoring": Scoring,
    "export": Export,
    "device": Device,
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(Device, Export, Scoring, Decoding, Training, Model, Data):  # fields come in the opposite order
    """A whole, checked config, in the order of `SECTIONS`; docs/config.md tells what its keys mean."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields a key and what is wrong with it, by the sections' rules for several keys together."""
        for section in SECTIONS.values():
            if hasattr(section, "rules"):
                yield from section.rules(self)

    @property
    def has_levels(self) -> bool:
        """Whether a model gives estimates at their level, so that none is fitted.

        They add up to the mixture, or a loss for silent sources, which has levels, trained the model.
        """
        return self.mixture_consistency or self.conversations

    def changed(self, source: str, **values: Any) -> "Config":
        """Returns the config with other values of some keys; those that are None stay.

        Args:
            source: begins every message about them.
            values: by key, as in YAML.

        Raises:
            InputError: a value is of a wrong type, out of range, or does not go with the others.
        """
        given = {
            name: check_value(value, HINTS[name], f"{source}{name}")
            for name, value in values.items()
            if value is not None
        }
        changed = dataclasses.replace(self, **given)
        for name, problem in changed.problems():
            raise InputError(f"{source}{name}: {problem}")
        return changed


FIELDS = {field.name: field for field in dataclasses.fields(Config)}  # type: ignore[arg-type]
KEYS: dict[str, Key] = {name: field.metadata["key"] for name, field in FIELDS.items()}
HINTS: dict[str, Any] = {name: typing.get_type_hints(Config, include_extras=True)[name] for name in KEYS}
# A mapping among the keys, and the key that names what its options belong to.
OPTIONS_OF = {name: key.options_of for name, key in KEYS.items() if key.options_of}
ALIASES = {alias: name for name, key in KEYS.items() for alias in key.aliases} | {
    alias: f"{mapping}.{option}" for mapping in OPTIONS_OF for alias, option in KEYS[mapping].option_aliases.items()
}
EQUALS = {alias: name for name, key in KEYS.items() for alias in key.equals}
BEFORE = {name: key.before for name, key in KEYS.items() if key.before is not ALWAYS}
FREE_KEYS = frozenset(name for name, key in KEYS.items() if not key.trained)


def default_of(name: str) -> Any:
    """Returns a key's default, as in YAML."""
    field = FIELDS[name]
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return list(default) if isinstance(default, tuple) else default


def decoded_values(config: Config) -> dict[str, Any]:
    """Returns all that the estimates of stage 3 depend on beside checkpoint and mixtures.

    What a key meant before it was there is left out: so the estimates of older experiments are used again.
    """
    values = {name: getattr(config, name) for name, key in KEYS.items() if key.decoded}
    return {
        name: value
        for name, value in values.items()
        if KEYS[name].in_old_digests or KEYS[name].before is ALWAYS or value != as_read(name, KEYS[name].before)
    }


def as_read(name: str, value: Any) -> Any:
    """Returns a key's value, given as in YAML, as a config has it."""
    return check_value(value, HINTS[name], name)


def plain_values(config: Config) -> dict[str, Any]:
    """Returns the values by key, as in YAML."""
    values = {name: getattr(config, name) for name in KEYS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def save_config(config: Config, path: str | os.PathLike) -> None:
    """Writes a whole config as YAML, atomically; the same config gives the same bytes."""
    write_text(
        path, yaml.safe_dump(plain_values(config), sort_keys=False, allow_unicode=True, default_flow_style=False)
    )


def with_settings(config: Config, settings: Config | None, *sections: str) -> Config:
    """Returns an experiment's config with the keys of some sections, such as "export", from the settings of a run.

    Args:
        config: of the experiment, whose model and training it keeps.
        settings: of the run; None when it has none of its own.
        sections: names in `SECTIONS`.
    """
    names = [name for section in sections for name in SECTIONS[section].__dataclass_fields__]
    return config if settings is None else dataclasses.replace(config, **{n: getattr(settings, n) for n in names})


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any], *, said_only: bool = False) -> str | None:
    """Says in which key that training depends on two configs, as mappings, differ; None when in none.

    Args:
        before: the one that was trained.
        now: the other.
        said_only: of options, whether only those count that the first one says: a saved config of long ago does not
            say what came later, and `now` has its default.
    """
    for name in before:
        then, later = before[name], now[name]
        if said_only and isinstance(then, dict):
            later = {option: value for option, value in later.items() if option in then}
        if name not in FREE_KEYS and then != later:
            return _difference(name, then, later)
    return None


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        inner = next(option for option in {**before, **now} if before.get(option) != now.get(option))
        return _difference(f"{name}.{inner}", before.get(inner), now.get(inner))
    return f"{name}: {before}, not {now}"
