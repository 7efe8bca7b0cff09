"""Checkpoints of no known toolkit: a file of the user's says what the model is and how its parameters are called.

    # mapping.yaml
    config:                     # as in a conf; what is not here has its default
      sample_rate: 8000
      separator: dprnn
      separator_conf: {bottleneck_size: 64, n_blocks: 6}
    names:                      # [theirs, ours]: the first that fits counts; "#" is a number, "*" is anything
      - ["encoder.conv1d.weight", "encoder.weight"]
      - ["masknet.dual_mdl.#.intra_mdl.rnn.*", "separator.blocks.#.intra_rnn.*"]
    ignore: ["*.num_batches_tracked"]             # theirs that ours has not
    zeros: [separator.bottleneck.bias]            # ours that theirs has not; they become 0
    files: [encoder.ckpt, masknet.ckpt]           # when IN is a folder, as SpeechBrain's: names are <file>.<name>
    key: model                                    # where the file keeps the parameters, when not at the top

Values are copied as they are. Axes of one may be there or not; everything else about a shape must agree. A mapping can
only bridge names: a network that computes something else than ours gives other estimates under any names. MindSpore's
`.ckpt` files are read too; what the parameters of other MindSpore projects are called, their code must tell.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mindaudio_ext.convert.names import Rule, matches, to_ours
from mindaudio_ext.convert.torch_file import is_torch_file, read_torch_file
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import near

KEYS = {"config": dict, "names": list, "ignore": list, "zeros": list, "files": list, "key": str}


@dataclass(frozen=True)
class MappingFile:
    """What a mapping file says; see the top of this module."""

    path: Path
    config: Mapping[str, Any]
    rules: tuple[Rule, ...]
    ignore: tuple[str, ...]
    zeros: tuple[str, ...]
    files: tuple[str, ...]
    key: str | None


def read_mapping(path: Path) -> MappingFile:
    """Reads a mapping file; raises InputError that names the file and what is wrong in it."""
    try:
        content = yaml.safe_load(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such mapping file") from error
    except RecursionError as error:
        raise InputError(f"{path}: brackets within brackets, too many to read") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping with the keys {', '.join(KEYS)}")
    for key, value in content.items():
        if key not in KEYS:
            raise InputError(f"{path}: unknown key '{key}'{near(str(key), KEYS)}; known: {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]):
            raise InputError(f"{path}: {key}: expected a {KEYS[key].__name__}, got {value!r}")
    for key in ("config", "names"):
        if not content.get(key):
            raise InputError(f"{path}: '{key}' is missing or empty")
    rules = tuple(_rule(pair, path) for pair in content["names"])
    lists = {key: tuple(map(str, content.get(key, ()))) for key in ("ignore", "zeros", "files")}
    return MappingFile(Path(path), content["config"], rules, **lists, key=content.get("key"))


def _rule(pair: Any, path: Path) -> Rule:
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
        raise InputError(f"{path}: names: expected [theirs, ours], two names in quotes, got {pair!r}")
    try:
        return Rule(*pair)
    except InputError as error:
        raise InputError(f"{path}: names: {error}") from error


def mapped_parameters(path: Path, mapping: MappingFile) -> dict[str, np.ndarray]:
    """Returns a checkpoint's parameters by our names.

    Raises:
        InputError: it cannot be read, or a parameter has no rule, or two have one name.
    """
    parameters: dict[str, np.ndarray] = {}
    for name, value in _read_state(path, mapping).items():
        if any(matches(pattern, name) for pattern in mapping.ignore):
            continue
        ours = to_ours(name, mapping.rules)
        if ours is None:
            raise InputError(f"{path}: parameter {name} is not in {mapping.path}, neither in names nor in ignore")
        if not isinstance(value, np.ndarray):
            raise InputError(f"{path}: {name} is no tensor but a {type(value).__name__}")
        if ours in parameters:
            raise InputError(f"{path}: two parameters become {ours} by {mapping.path}; the second is {name}")
        parameters[ours] = value
    return parameters


def _read_state(path: Path, mapping: MappingFile) -> dict[str, Any]:
    if not Path(path).is_dir():
        return _read_one(path, mapping.key)
    if not mapping.files:
        raise InputError(f"{path}: is a folder; say in {mapping.path} which files of it (files: [...])")
    return {
        f"{Path(file).stem}.{name}": value
        for file in mapping.files
        for name, value in _read_one(Path(path) / file, mapping.key).items()
    }


def _read_one(path: Path, key: str | None) -> dict[str, Any]:
    if not is_torch_file(path):
        return read_mindspore(path)
    content = read_torch_file(path)
    for part in key.split(".") if key else ():
        if not isinstance(content, dict) or part not in content:
            raise InputError(f"{path}: has no '{key}' (the mapping's key)")
        content = content[part]
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a dictionary of parameters")
    return {str(name): value for name, value in content.items()}


def read_mindspore(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the parameters of a MindSpore checkpoint; raises InputError when it is none, or damaged."""
    from mindaudio_ext.models.parameters import read_checkpoint

    if Path(path).suffix != ".ckpt":
        raise InputError(f"{path}: neither a PyTorch file nor a .ckpt of MindSpore")
    try:
        stored = read_checkpoint(path)
    except (ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: neither a PyTorch file nor a whole .ckpt of MindSpore: {reason}") from error
    return {name: parameter.asnumpy() for name, parameter in stored.items()}
