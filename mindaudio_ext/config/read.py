"""Configs made of layers: conf/base.yaml, a recipe's differences and overrides; and those that were saved."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mindaudio_ext.config.check import check_value
from mindaudio_ext.config.config import BEFORE, EQUALS, KEYS, OPTIONS_OF, Config, first_difference, plain_values
from mindaudio_ext.config.layers import (
    Layer,
    default_layer,
    make_layer,
    options_in,
    parse_overrides,
    read_layer,
)
from mindaudio_ext.config.model import Model
from mindaudio_ext.config.options import keys_read_by, known_options, option_problems
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import REQUIRED, SEPARATORS, near


def load_config(base: Path | None, config: Path | None, overrides: Sequence[str | Mapping[str, Any]] = ()) -> Config:
    """Returns the config of `base` with the differences of `config`, then of each override string, in this order.

    Naming another separator (or scheduler) drops the `separator_conf` (`scheduler_conf`) of what came before. What the
    options of both may be, their constructors say: they are imported, and with a separator MindSpore.

    Args:
        base: conf/base.yaml, which has every key; None for the defaults.
        config: a recipe's conf; None when there is none.
        overrides: strings like `"lr=0.0005 separator_conf.chunk_size=64"`, whose values are YAML; or values by key.

    Raises:
        InputError: a file is missing or no YAML mapping, or a key is unknown, doubled, of a wrong type or out of range.
    """
    layers = [default_layer() if base is None else read_layer(base)]
    layers += [] if config is None else [read_layer(config)]
    layers += [parse_overrides(one) if isinstance(one, str) else make_layer(one, "override") for one in overrides]
    return _complete(layers, "defaults" if base is None else str(base))


def make_config(values: Mapping[str, Any], source: str) -> Config:
    """Returns the defaults with these keys changed, nested as in YAML.

    Args:
        values: by key; plain Python values.
        source: begins every message about them.

    Raises:
        InputError: as `load_config`.
    """
    return _complete([default_layer(), make_layer(values, source)], source)


def read_resolved(path: Path) -> Config:
    """Returns the config that `save_config` wrote. The options of what it names are taken as they stand.

    So neither MindSpore nor a separator is imported; the options are checked when the model is built.

    Raises:
        InputError: as `load_config`, also when a key is missing.
    """
    return _as_saved(read_layer(path), str(path))


def resolved_config(values: Mapping[str, Any], source: str) -> Config:
    """Returns what `read_resolved` does, of the keys and values that a saved config has."""
    return _as_saved(make_layer(values, source), source)


def refuse_other_training(trained: Path, config: Config) -> None:
    """Raises InputError, naming the first such key, when an experiment's config.yaml has another model or training."""
    before = _complete([make_layer(BEFORE, str(trained)) | read_layer(trained)], str(trained))
    difference = first_difference(plain_values(before), plain_values(config))
    if difference:
        raise InputError(f"{trained.parent} was trained with {difference}; give another --expdir, or remove the folder")


def check_options(config: Config) -> None:
    """Raises InputError when a config that was read as it stands has an option that what it names does not take."""
    _all_options({name: entry for name, entry in make_layer(plain_values(config), "config").items()})


def _as_saved(layer: Layer, source: str) -> Config:
    """Makes a config of a saved one's keys, with what older experiments lack."""
    layer = make_layer(BEFORE, source) | layer
    _require_all(layer, source)
    return _made(layer, {m: {o: e.value for o, e in options_in(layer, m).items()} for m in OPTIONS_OF})


def _complete(layers: Sequence[Layer], source: str) -> Config:
    """Merges layers, fills the options in and makes the config."""
    merged: Layer = {}
    for layer in layers:
        for mapping, owner in OPTIONS_OF.items():
            if owner in layer and owner in merged and layer[owner].value != merged[owner].value:
                merged = {name: entry for name, entry in merged.items() if not name.startswith(f"{mapping}.")}
        merged.update(layer)
    _require_all(merged, source)
    config = _made(merged, _all_options(merged))
    _refuse_unread(layers, config)
    return config


def _require_all(layer: Layer, source: str) -> None:
    for name in KEYS:
        if name not in layer and name not in OPTIONS_OF:
            raise InputError(f"{source}: key '{name}' is missing")


def _made(merged: Layer, options: Mapping[str, dict[str, Any]]) -> Config:
    for alias, name in EQUALS.items():
        wanted = merged[name].value
        if alias in merged and (type(merged[alias].value) is not int or merged[alias].value != wanted):
            raise InputError(
                f"{merged[alias].where}: masks multiply the encoder's features, so it must equal {name} ({wanted}), "
                f"got {merged[alias].value!r}; leave it out"
            )
    values: dict[str, Any] = {name: entry.value for name, entry in merged.items() if name in KEYS}
    values.update(options)
    config = Config(**values)
    for name, problem in config.problems():
        raise InputError(f"{merged[name].where}: {problem}")
    return config


def _unread_keys(model: str) -> set[str]:
    """Returns the keys of the model that this one does not have as arguments."""
    read = {"model", "model_conf", *keys_read_by("model_conf", model)}
    return {field.name for field in fields(Model)} - read  # type: ignore[arg-type]


def _all_options(merged: Layer) -> dict[str, dict[str, Any]]:
    """Returns each mapping with its options checked and defaults filled in, so that a saved config does not drift."""
    unread = _unread_keys(merged["model"].value)
    if "separator" not in unread:
        _check_mask_activation(merged)
    return {mapping: {} if mapping in unread else _options(merged, mapping) for mapping in OPTIONS_OF}


def _check_mask_activation(merged: Layer) -> None:
    """Refuses a mask activation of which the separator cannot make use; its `mask_activations` says of which it can."""
    separator, entry = merged["separator"].value, merged["mask_activation"]
    known = getattr(SEPARATORS.get(separator), "mask_activations", (entry.value,))
    if entry.value not in known:
        raise InputError(f"{entry.where}: separator '{separator}' takes {' or '.join(known)}, got {entry.value}")


def _options(merged: Layer, mapping: str) -> dict[str, Any]:
    """Returns the checked options of one mapping, in the constructor's order."""
    key = OPTIONS_OF[mapping]
    name, given = merged[key].value, options_in(merged, mapping)
    known = known_options(mapping, name)
    if known is None:
        return {option: entry.value for option, entry in given.items()}
    for option, entry in given.items():
        if option not in known:
            takes = ", ".join(known) or "none"
            raise InputError(
                f"{entry.where}: {key} '{name}' has no option '{option}'{near(option, known)}; it takes: {takes}"
            )
    values = {}
    for option, spec in known.items():
        if option in given:
            values[option] = check_value(given[option].value, spec.annotation, given[option].where)
        elif spec.default is REQUIRED:
            raise InputError(f"{mapping}.{option} is missing: {key} '{name}' has no default for it")
        elif isinstance(spec.default, (str, int, float, list, type(None))):
            values[option] = spec.default
    keys = {read: merged[read].value for read in keys_read_by(mapping, name) if read in merged}
    for option, problem in option_problems(mapping, name, keys | values):
        place = given.get(option) or merged.get(option)
        raise InputError(f"{place.where if place else f'{mapping}.{option}'}: {problem}")
    return values


def _refuse_unread(layers: Sequence[Layer], config: Config) -> None:
    """Refuses what the model would not read, unless base says the same."""
    unread = _unread_keys(config.model)
    for name, entry in (item for layer in layers[1:] for item in layer.items()):
        if name.partition(".")[0] in unread and (name not in layers[0] or entry.value != layers[0][name].value):
            raise InputError(f"{entry.where}: model '{config.model}' does not read it; its options stand in model_conf")
