"""The config: conf/base.yaml, a recipe's differences and overrides, checked and merged into one frozen record."""

import ast
import dataclasses
import functools
import math
import operator
import os
import re
import shlex
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.registry import REQUIRED, Option, list_separators, near, separator_options


@dataclasses.dataclass(frozen=True)
class Limits:
    """The values a key may have. `low` and `high` belong to the range, `above` and `below` do not."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    folder_name: bool = False


MOST_SHIFTS = 16
_LARGEST_SIZE = 65536  # of a layer, a filter, a batch: more is a slip of the finger


def _key(**limits: Any) -> Any:
    return dataclasses.field(metadata={"limits": Limits(**limits)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole, checked config. The keys' meanings, units and defaults stand in conf/base.yaml, in this order."""

    sample_rate: int = _key(low=1000, high=192000)
    num_spks: int = _key(low=2, high=5)
    segment: float = _key(above=0, high=600)
    cv_maxlen: float | None = _key(above=0)
    train_set: str = _key(folder_name=True)
    valid_set: str = _key(folder_name=True)
    test_sets: tuple[str, ...] = _key(folder_name=True)
    train_name: str | None = _key(folder_name=True)
    test_name: str | None = _key(folder_name=True)
    corpus_dir: str | None = _key()
    dump_dir: str = _key()
    model: str = _key(choices=("tasnet", "mindaudio.conv_tasnet", "mindaudio.tasnet"))
    model_conf: dict[str, Any]
    separator: str = _key()
    separator_conf: dict[str, Any]
    n_filters: int = _key(low=1, high=_LARGEST_SIZE)
    kernel_size: int = _key(low=2, high=_LARGEST_SIZE)
    stride: int | None = _key(low=1)
    encoder_activation: str = _key(choices=("linear", "relu", "gated"))
    mask_activation: str = _key(choices=("relu", "sigmoid", "softmax"))
    seed: int = _key(low=0, high=2**31 - 1)
    epochs: int = _key(low=1, high=1_000_000)
    batch_size: int = _key(low=1, high=_LARGEST_SIZE)
    dynamic_mixing: bool = _key()
    speed_perturb: float = _key(low=0, high=0.2)
    accum_steps: int = _key(low=1)
    init_from: str | None = _key()
    init_blocks: tuple[int, ...] = _key(low=0)
    recompute: bool = _key()
    mixed_precision: bool = _key()
    si_snr_clamp: float | None = _key()
    optimizer: str = _key(choices=("adam", "sgd", "muon"))
    lr: float = _key(above=0)
    weight_decay: float = _key(low=0)
    momentum: float = _key(low=0, below=1)
    clip_norm: float = _key(above=0)
    scheduler: str = _key(choices=("constant", "plateau", "exponential", "milestones", "linear"))
    scheduler_conf: dict[str, Any]
    early_stop: int | None = _key(low=1)
    ema_decay: float = _key(low=0, below=1)
    average_best: int = _key(low=1, high=1000)
    max_skipped: int = _key(low=1)
    explosion_margin: float = _key(above=0)
    max_rollbacks: int = _key(low=0)
    log_interval: int = _key(low=1)
    save_every: int = _key(low=1)
    examples_every: int = _key(low=0)
    decode_checkpoint: str = _key(choices=("best", "average"))
    model_path: str | None = _key()
    shifts: int = _key(low=1, high=MOST_SHIFTS)
    cal_sdr: bool = _key()
    cal_pesq: bool = _key()
    reference_protocol: bool = _key()
    export_segment: tuple[float, ...] = _key(above=0, high=600)
    export_batch: int = _key(low=1, high=_LARGEST_SIZE)
    export_targets: tuple[str, ...] = _key(choices=("host", "ascend", "onnx"))
    export_utterances: int = _key(low=1)
    device_target: str = _key(choices=("CPU", "Ascend"))
    device_id: int = _key(low=0)


ALIASES = {
    "train_dir": "train_set",
    "valid_dir": "valid_set",
    "data_dir": "test_sets",
    "in_dir": "corpus_dir",
    "out_dir": "dump_dir",
    "in_channels": "n_filters",
    "l2": "weight_decay",
    "bn_channels": "separator_conf.bottleneck_size",
    "hidden_channels": "separator_conf.hidden_size",
    "K": "separator_conf.chunk_size",
    "num_layers": "separator_conf.n_blocks",
    "rnn_type": "separator_conf.rnn_type",
    "norm": "separator_conf.norm",
}

# The options of each scheduler; the resolved config has all of them.
_WARMUP = {"warmup_steps": (Option("int", 0), Limits(low=0))}
SCHEDULER_OPTIONS: dict[str, dict[str, tuple[Option, Limits]]] = {
    "constant": _WARMUP,
    "plateau": {
        "factor": (Option("float", 0.5), Limits(above=0, below=1)),
        "patience": (Option("int", 3), Limits(low=1)),
        **_WARMUP,
    },
    "exponential": {
        "factor": (Option("float", 0.98), Limits(above=0, high=1)),
        "every": (Option("int", 2), Limits(low=1)),
        **_WARMUP,
    },
    "milestones": {
        "factor": (Option("float", 0.5), Limits(above=0, below=1)),
        "epochs": (Option("list[int]", [15, 45, 75]), Limits(low=2)),
        **_WARMUP,
    },
    "linear": {
        **_WARMUP,
        "final_factor": (Option("float", 0.0), Limits(low=0, high=1)),
    },
}

# The options of each model; our own has the keys around `separator` instead. MindAudio's have MindAudio's names.
MODEL_OPTIONS: dict[str, dict[str, tuple[Option, Limits]]] = {
    "tasnet": {},
    "mindaudio.conv_tasnet": {
        "B": (Option("int", 128), Limits(low=1)),
        "H": (Option("int", 256), Limits(low=1)),
        "P": (Option("int", 3), Limits(low=1)),
        "X": (Option("int", 7), Limits(low=1)),
        "R": (Option("int", 2), Limits(low=1)),
    },
    "mindaudio.tasnet": {
        "hidden_size": (Option("int", 500), Limits(low=1)),
        "num_layers": (Option("int", 4), Limits(low=1)),
    },
}
# What MindAudio's models do not read: they have all of this built in.
TASNET_KEYS = ("separator", "stride", "encoder_activation", "mask_activation")

# What a separator's constructor cannot say by types and `Literal`. Any other whole number must be at least 1.
SEPARATOR_LIMITS: dict[str, dict[str, Limits]] = {
    "dprnn": {
        "chunk_size": Limits(low=2, high=_LARGEST_SIZE),
        "rnn_type": Limits(choices=("LSTM", "GRU", "RNN")),
        "norm": Limits(choices=("gLN", "cLN", "cgLN", "LN")),
        "dropout": Limits(low=0, below=1),
    },
    "tcn": {
        "skip_size": Limits(low=0, high=_LARGEST_SIZE),
        "norm": Limits(choices=("gLN", "cLN", "cgLN")),
    },
    "rnn": {
        "dropout": Limits(low=0, below=1),
    },
    "dptnet": {
        "chunk_size": Limits(low=2, high=_LARGEST_SIZE),
        "norm": Limits(choices=("gLN", "cLN", "cgLN")),
        "dropout": Limits(low=0, below=1),
    },
}

_HINTS = typing.get_type_hints(Config)
_FIELDS = {field.name: field for field in dataclasses.fields(Config)}
# A mapping among the keys and the key that names what its options belong to.
_OPTIONS_OF = {"separator_conf": "separator", "scheduler_conf": "scheduler", "model_conf": "model"}
# Keys that came later, and what the configs of older experiments mean without them.
_BEFORE = {
    "model": "tasnet", "dynamic_mixing": False, "speed_perturb": 0.0, "save_every": 200, "accum_steps": 1,
    "init_from": None, "init_blocks": [], "recompute": False, "mixed_precision": False, "si_snr_clamp": None,
    "early_stop": None, "ema_decay": 0.0, "average_best": 1, "max_skipped": 20, "explosion_margin": 10.0,
    "max_rollbacks": 3, "examples_every": 0, "decode_checkpoint": "best", "export_batch": 1,
    "export_targets": ["host", "ascend"], "export_utterances": 20, "shifts": 1, "cal_pesq": False,
    "reference_protocol": True,
}  # fmt: skip
_FOLDER_NAME = re.compile(r"\w[\w.-]*")
_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A value and where it stands: `where` begins every message about it (file and key as the user wrote them)."""

    value: Any
    where: str


def load_config(base: Path, config: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Gives the config of `base` with the differences of `config`, then of each override string, in this order.

    Naming another separator (or scheduler) drops the `separator_conf` (`scheduler_conf`) of what came before.

    Args:
        base: conf/base.yaml, which has every key.
        config: a recipe's conf; None when there is none.
        overrides: strings like `"lr=0.0005 separator_conf.chunk_size=64"`; values are YAML.

    Raises:
        InputError: a file is missing or no YAML mapping, or a key is unknown, doubled, of a wrong type or out of range.
    """
    layers = [_read_layer(path) for path in (base, config) if path is not None]
    layers += [_parse_overrides(text) for text in overrides]
    return _resolve(layers, base)


def read_resolved(path: Path) -> Config:
    """Gives the config that `save_config` wrote. Raises InputError as `load_config`, also when a key is missing."""
    before = {key: _Entry(value, f"{path}: {key}") for key, value in _BEFORE.items()}
    return _resolve([before | _read_layer(path)], path)


def make_config(values: Mapping[str, Any], source: str) -> Config:
    """Gives the config of base.yaml with these keys changed, nested as in YAML.

    Args:
        values: by key; plain Python values.
        source: begins every message about them.

    Raises:
        InputError: as `load_config`.
    """
    base = Path(__file__).with_name("base.yaml")  # a link to conf/base.yaml; a copy where the package is installed
    return _resolve([_read_layer(base), _canonical(values, source)], base)


def save_config(config: Config, path: str | os.PathLike) -> None:
    """Writes a whole config as YAML, atomically; the same config gives the same bytes."""
    values = {name: getattr(config, name) for name in _FIELDS}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=False))


# What a finished part of a training does not depend on, and so may be changed afterwards.
FREE_KEYS = {
    "epochs", "cv_maxlen", "test_sets", "train_name", "test_name", "corpus_dir", "dump_dir", "log_interval",
    "save_every", "early_stop", "max_rollbacks", "examples_every", "decode_checkpoint", "model_path", "shifts",
    "cal_sdr", "cal_pesq", "reference_protocol", "export_segment", "export_batch", "export_targets",
    "export_utterances", "device_target", "device_id",
}  # fmt: skip


def refuse_other_training(trained: Path, config: Config) -> None:
    """Raises InputError, naming the first such key, when an experiment's config.yaml has another model or training.

    Without a checkpoint there is nothing to refuse.
    """
    if not any((trained.parent / "checkpoints").glob("*.ckpt")):
        return
    before, now = dataclasses.asdict(read_resolved(trained)), dataclasses.asdict(config)
    for key in before:
        if key not in FREE_KEYS and before[key] != now[key]:
            raise InputError(
                f"{trained.parent} was trained with {_difference(key, before[key], now[key])}; "
                "give another --expdir, or remove the folder"
            )


def _difference(key: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        inner = next(name for name in {**before, **now} if before.get(name) != now.get(name))
        return _difference(f"{key}.{inner}", before.get(inner), now.get(inner))
    return f"{key}: {before}, not {now}"


class _Loader(yaml.SafeLoader):
    """Refuses a key given twice, of which PyYAML would silently take the last."""

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


def _read_layer(path: Path) -> dict[str, _Entry]:
    try:
        text = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such config file") from error
    values = _parse_yaml(text, str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping (`key: value` lines), got {_kind(values)}")
    return _canonical(values, str(path))


def _parse_overrides(text: str) -> dict[str, _Entry]:
    where = f"override '{text}'"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"{where}: expected key=value, got '{word}'")
        if key in values:
            raise InputError(f"{where}: key '{key}' is given twice")
        values[key] = _parse_yaml(value, f"override '{word}'")
    return _canonical(values, "override")


def _canonical(values: Mapping[Any, Any], source: str) -> dict[str, _Entry]:
    """Gives a layer's values by canonical, dotted keys, with those of `Config` checked."""
    layer: dict[str, _Entry] = {}
    for written, value in _flatten(values, source).items():
        key = ALIASES.get(written, written)
        where = f"{source}: {written}" + (f" ({key})" if key != written else "")
        if key in layer:
            raise InputError(f"{where}: given twice, also as {layer[key].where.removeprefix(source + ': ')}")
        if key in _FIELDS:
            value = _convert(value, _HINTS[key], _FIELDS[key].metadata.get("limits", Limits()), where)
        elif key.partition(".")[0] not in _OPTIONS_OF and key != "out_channels":
            known = [*_FIELDS, *ALIASES, "out_channels"]
            raise InputError(f"{source}: unknown key '{written}'{near(written, known)}")
        layer[key] = _Entry(value, where)
    return layer


def _flatten(values: Mapping[Any, Any], source: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise InputError(f"{source}: a key must be text, got {_kind(key)}")
        if key not in _OPTIONS_OF:
            options = {key: value}
        elif isinstance(value, dict):
            options = {f"{key}.{name}": option for name, option in value.items()}
        else:
            raise InputError(f"{source}: {key}: expected a mapping, got {_kind(value)}")
        for name, option in options.items():
            if name in flat:
                raise InputError(f"{source}: key '{name}' is given twice")
            flat[name] = option
    return flat


def _resolve(layers: Sequence[dict[str, _Entry]], base: Path) -> Config:
    merged: dict[str, _Entry] = {}
    for layer in layers:
        for options, owner in _OPTIONS_OF.items():
            if owner in layer and owner in merged and layer[owner].value != merged[owner].value:
                merged = {key: entry for key, entry in merged.items() if not key.startswith(f"{options}.")}
        merged.update(layer)
    missing = [key for key in _FIELDS if key not in merged and key not in _OPTIONS_OF]
    if missing:
        raise InputError(f"{base}: key '{missing[0]}' is missing")
    model = merged["model"].value
    separator_conf = _separator_conf(merged) if model == "tasnet" else {}
    scheduler = merged["scheduler"].value
    scheduler_conf = _options(merged, "scheduler_conf", SCHEDULER_OPTIONS[scheduler], f"scheduler '{scheduler}'")
    model_conf = _options(merged, "model_conf", MODEL_OPTIONS[model], f"model '{model}'")
    _check_together(merged)
    blocks, n_blocks = merged["init_blocks"], separator_conf.get("n_blocks")
    if blocks.value and len(blocks.value) != n_blocks:
        raise InputError(f"{blocks.where}: names {len(blocks.value)} blocks, separator_conf.n_blocks is {n_blocks}")
    if model != "tasnet":
        _check_mindaudio(merged, layers, model_conf)
    values = {key: entry.value for key, entry in merged.items() if key in _FIELDS}
    return Config(**values, separator_conf=separator_conf, scheduler_conf=scheduler_conf, model_conf=model_conf)


def _separator_conf(merged: Mapping[str, _Entry]) -> dict[str, Any]:
    """Gives `separator_conf` with the constructor's defaults filled in, so that a saved config does not drift."""
    name = merged["separator"].value
    if name not in list_separators():
        known = list_separators()
        raise InputError(
            f"{merged['separator'].where}: no separator '{name}'{near(name, known)}; known: {', '.join(known)}"
        )
    options = separator_options(name)
    if options is None:
        prefix = "separator_conf."
        return {key.removeprefix(prefix): entry.value for key, entry in merged.items() if key.startswith(prefix)}
    limits = SEPARATOR_LIMITS.get(name, {})
    known_options = {option: (spec, limits.get(option, _usual_limits(spec))) for option, spec in options.items()}
    values = _options(merged, "separator_conf", known_options, f"separator '{name}'")
    hop_size, chunk_size = values.get("hop_size"), values.get("chunk_size")
    if hop_size and chunk_size and hop_size > chunk_size:
        raise InputError(f"separator_conf.hop_size: must be at most chunk_size ({chunk_size}), got {hop_size}")
    if chunk_size and "hop_size" in values and hop_size is None and chunk_size % 2:
        where = merged["separator_conf.chunk_size"].where
        raise InputError(f"{where}: must be even, because chunks overlap by half without a hop_size, got {chunk_size}")
    return values


def _usual_limits(option: Option) -> Limits:
    return Limits(low=1, high=_LARGEST_SIZE) if "int" in re.findall(r"\w+", option.annotation) else Limits()


def _options(
    merged: Mapping[str, _Entry], mapping: str, known: Mapping[str, tuple[Option, Limits]], owner: str
) -> dict[str, Any]:
    """Gives the checked options of one mapping in the order of `known`, defaults filled in."""
    given = {key.partition(".")[2]: entry for key, entry in merged.items() if key.startswith(f"{mapping}.")}
    for name, entry in given.items():
        if name not in known:
            names = ", ".join(known) or "none"
            raise InputError(f"{entry.where}: {owner} has no option '{name}'{near(name, known)}; it takes: {names}")
    values = {}
    for name, (option, limits) in known.items():
        if name in given:
            values[name] = _convert(given[name].value, _type_of(option.annotation), limits, given[name].where)
        elif option.default is REQUIRED:
            raise InputError(f"{mapping}.{name} is missing: {owner} has no default for it")
        elif isinstance(option.default, (str, int, float, list, types.NoneType)):
            values[name] = option.default
    return values


def _type_of(annotation: str) -> Any:
    """Gives the type a plain annotation (`int | None`, `Literal[...]`) names, Any for all others."""
    names = {"int": int, "float": float, "str": str, "bool": bool, "None": types.NoneType}
    if annotation == "list[int]":
        return list[int]
    literal = re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", annotation)
    if literal:
        return typing.Literal[ast.literal_eval(f"({literal[1]},)")]
    words = [word.strip() for word in annotation.split("|")]
    if all(word in names for word in words):
        return functools.reduce(operator.or_, (names[word] for word in words))
    return Any


def _check_together(merged: Mapping[str, _Entry]) -> None:
    """Checks what depends on two keys."""
    n_filters, kernel_size, stride = (merged[key].value for key in ("n_filters", "kernel_size", "stride"))
    out_channels = merged.get("out_channels")
    if out_channels and (type(out_channels.value) is not int or out_channels.value != n_filters):
        raise InputError(
            f"{out_channels.where}: masks multiply the encoder's features, so it must equal n_filters ({n_filters}), "
            f"got {out_channels.value!r}; leave it out"
        )
    if merged["train_set"].value == merged["valid_set"].value:
        raise InputError(f"{merged['valid_set'].where}: is the train_set too ({merged['train_set'].value})")
    if merged["speed_perturb"].value and not merged["dynamic_mixing"].value:
        raise InputError(f"{merged['speed_perturb'].where}: only dynamic_mixing changes speeds, and it is false")
    batch_size, accum_steps = merged["batch_size"].value, merged["accum_steps"].value
    if batch_size % accum_steps:
        raise InputError(f"{merged['accum_steps'].where}: must divide batch_size ({batch_size}), got {accum_steps}")
    if merged["init_blocks"].value and merged["init_from"].value is None:
        raise InputError(f"{merged['init_blocks'].where}: says what is made of init_from, and that is null")
    if merged["decode_checkpoint"].value == "average" and merged["average_best"].value == 1:
        raise InputError(f"{merged['decode_checkpoint'].where}: there is no average while average_best is 1")
    if stride is not None and stride > kernel_size:
        raise InputError(f"{merged['stride'].where}: must be at most kernel_size ({kernel_size}), got {stride}")
    lengths = [("segment", merged["segment"].value)]
    lengths += [("export_segment", seconds) for seconds in merged["export_segment"].value]
    for key, seconds in lengths:
        samples = round(seconds * merged["sample_rate"].value)
        if samples < kernel_size:
            raise InputError(
                f"{merged[key].where}: {seconds} s are {samples} samples, fewer than kernel_size ({kernel_size})"
            )


def _check_mindaudio(
    merged: Mapping[str, _Entry], layers: Sequence[dict[str, _Entry]], model_conf: Mapping[str, Any]
) -> None:
    """Refuses what MindAudio's models would not read (unless base says the same), or cannot do."""
    model = merged["model"].value
    for key, entry in (item for layer in layers[1:] for item in layer.items()):
        unread = key in TASNET_KEYS or key.startswith("separator_conf.")
        if unread and (key not in layers[0] or entry.value != layers[0][key].value):
            raise InputError(f"{entry.where}: model '{model}' does not read it; its options stand in model_conf")
    kernel_size = merged["kernel_size"]
    if model == "mindaudio.conv_tasnet" and kernel_size.value % 2:
        raise InputError(f"{kernel_size.where}: must be even for model '{model}', got {kernel_size.value}")
    if model_conf.get("P", 1) % 2 == 0:
        raise InputError(f"{merged['model_conf.P'].where}: must be odd, got {model_conf['P']}")


def _convert(value: Any, hint: Any, limits: Limits, where: str) -> Any:
    """Gives `value` as the type `hint`, within `limits`; raises InputError beginning with `where`."""
    if hint is Any:
        return value
    if typing.get_origin(hint) is typing.Literal:
        return _choose(value, typing.get_args(hint), where)
    if hint == tuple[int, ...]:
        return tuple(_whole_numbers(value, limits, where))
    if typing.get_origin(hint) is tuple:
        return _several(value, typing.get_args(hint)[0], limits, where)
    if hint == list[int]:
        return _whole_numbers(value, limits, where)
    kinds = typing.get_args(hint) or (hint,)
    if value is None and types.NoneType in kinds:
        return None
    converted = _as_type(value, kinds)
    if converted is None:
        expected = " or ".join(_KINDS[kind] for kind in kinds)
        raise InputError(f"{where}: expected {expected}, got {_kind(value)}")
    _check_limits(converted, limits, where)
    return _choose(converted, limits.choices, where) if limits.choices else converted


_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    types.NoneType: "null",
    dict: "a mapping",
    list: "a list",
}


def _kind(value: Any) -> str:
    """Says what came: text in quotes, so that it is told from a number."""
    if isinstance(value, str):
        return f"text '{value}'"
    if value is None or isinstance(value, bool):
        return str(yaml.safe_dump(value)).split()[0]
    return f"{_KINDS[type(value)]}: {value}" if isinstance(value, (dict, list)) else str(value)


def _as_type(value: Any, kinds: Sequence[type]) -> Any:
    """Gives `value` as the first fitting of `kinds`, None when none fits."""
    for kind in kinds:
        if type(value) is kind:
            return value
    if float in kinds:
        if type(value) is int:
            return float(value)
        if isinstance(value, str) and _NUMBER.fullmatch(value):  # YAML 1.1 takes 1e-3 for text
            return float(value)
    return None


def _check_limits(value: Any, limits: Limits, where: str) -> None:
    if isinstance(value, str):
        if not value.strip():
            raise InputError(f"{where}: must not be empty")
        if limits.folder_name and not _FOLDER_NAME.fullmatch(value):
            raise InputError(f"{where}: expected a plain name (letters, digits, . _ -), got '{value}'")
    elif isinstance(value, (int, float)):
        bounds = (
            (limits.low, "at least", lambda bound: value >= bound),
            (limits.high, "at most", lambda bound: value <= bound),
            (limits.above, "above", lambda bound: value > bound),
            (limits.below, "below", lambda bound: value < bound),
        )
        if not math.isfinite(value):
            raise InputError(f"{where}: must be finite, got {value}")
        if any(bound is not None and not holds(bound) for bound, _, holds in bounds):
            wanted = " and ".join(f"{words} {bound}" for bound, words, _ in bounds if bound is not None)
            raise InputError(f"{where}: must be {wanted}, got {value}")


def _choose(value: Any, choices: Sequence[Any], where: str) -> Any:
    """Gives the choice that `value` is, whatever its case."""
    for choice in choices:
        if value == choice or (isinstance(value, str) and isinstance(choice, str) and value.lower() == choice.lower()):
            return choice
    reason = "; MindSpore 2.10 has no GPU backend" if str(value).upper() == "GPU" else ""
    raise InputError(f"{where}: expected one of {', '.join(map(str, choices))}, got {value!r}{reason}")


def _several(value: Any, kind: type, limits: Limits, where: str) -> tuple[Any, ...]:
    """Gives a list of names or numbers, or one alone, as a tuple."""
    word = {str: "name", float: "number"}[kind]
    values = value if isinstance(value, list) else [value]
    if not values or isinstance(value, (dict, types.NoneType)) or (kind is str and not isinstance(value, (str, list))):
        raise InputError(f"{where}: expected a {word} or a list of {word}s, got {_kind(value)}")
    values = [_convert(each, kind, limits, where) for each in values]
    if len(set(values)) < len(values):
        raise InputError(f"{where}: a {word} is given twice in {values}")
    return tuple(values)


def _whole_numbers(value: Any, limits: Limits, where: str) -> list[int]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list of whole numbers, got {_kind(value)}")
    return [_convert(number, int, limits, where) for number in value]
