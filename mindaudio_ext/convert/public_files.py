"""How published models are laid out in files, and what their files say; which network that is, the separators tell.

| form | files | name |
|---|---|---|
| asteroid | one, `pytorch_model.bin` or `model.pth`: `model_name`, `model_args`, `state_dict` | `model_name` |
| speechbrain | `hyperparams.yaml`, `encoder.ckpt`, `masknet.ckpt`, `decoder.ckpt` | `<masknet's class> of <inner's>` |
| espnet | `meta.yaml`, and the parameters and config that it names | `separator` of the config |
| config.json | `config.json`, and `model.safetensors` or `pytorch_model.bin` | none; known by its arguments |
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mindaudio_ext.convert.hyperpyyaml import arguments_of, read_yaml
from mindaudio_ext.convert.public_model import PublicCheckpoint
from mindaudio_ext.convert.safetensors_file import read_safetensors
from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json

SINGLE_FILES = ("pytorch_model.bin", "model.pth")  # of Asteroid
SPEECHBRAIN_PARTS = ("encoder", "masknet", "decoder")
ESPNET_RATE = 8000  # Hz, of its separation, for a config that does not say it


class MissingFile(InputError):
    """A file of a model is not there."""


def read_public(path: Path) -> PublicCheckpoint:
    """Reads a published model, a folder or a file of Asteroid's form.

    Raises:
        MissingFile: a file that belongs to it is not there.
        InputError: its form is none that is known, or a file is damaged.
    """
    if not path.is_dir():
        return _asteroid(path)
    for mark, read in FORMS.values():
        if (path / mark).exists() or (path / mark).is_symlink():
            return read(path)
    for name in SINGLE_FILES:
        if (path / name).exists():
            return _asteroid(path / name)
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
    raise MissingFile(f"{path}: no model of Asteroid's, SpeechBrain's, ESPnet's or TDANet's authors; it holds {found}")


def is_public(content: Any) -> bool:
    """Whether what a PyTorch file holds is a model in Asteroid's form."""
    return isinstance(content, dict) and {"model_name", "model_args", "state_dict"} <= content.keys()


def _asteroid(path: Path) -> PublicCheckpoint:
    content = read_torch_file(path)
    if not is_public(content):
        raise InputError(f"{path}: no checkpoint of Asteroid's serialize(); give --mapping FILE, see --help")
    arguments = content["model_args"]
    if not isinstance(arguments, dict):
        raise InputError(f"{path}: model_args is no dictionary")
    if not isinstance(content["state_dict"], dict):
        raise InputError(f"{path}: state_dict is no dictionary")
    state = _state(content["state_dict"], path)
    return PublicCheckpoint(
        str(path), "asteroid", str(content["model_name"]), arguments, state, arguments.get("sample_rate")
    )


def _speechbrain(folder: Path) -> PublicCheckpoint:
    file = folder / "hyperparams.yaml"
    content = read_yaml(_there(file))
    modules = content.get("modules")
    if not isinstance(modules, dict) or not {*SPEECHBRAIN_PARTS} <= modules.keys():
        raise InputError(f"{file}: no separation model of SpeechBrain's: modules are not {_and(SPEECHBRAIN_PARTS)}")
    arguments: dict[str, Any] = {}
    state: dict[str, np.ndarray] = {}
    for part in SPEECHBRAIN_PARTS:
        arguments |= arguments_of(content, modules[part], part)
    for part in SPEECHBRAIN_PARTS:
        path = _there(folder / f"{part}.ckpt")
        state |= {f"{part}.{name}": value for name, value in _state(read_torch_file(path), path).items()}
    inner = arguments.get("masknet.intra_model.class") or arguments.get("masknet.seg_model.class")
    name = f"{arguments.get('masknet.class')} of {inner}"
    return PublicCheckpoint(str(folder), "speechbrain", name, arguments, state, content.get("sample_rate"))


def _espnet(folder: Path) -> PublicCheckpoint:
    meta = read_yaml(_there(folder / "meta.yaml"))
    config = read_yaml(_named(folder, meta, "yaml_files", "train_config"))
    path = _named(folder, meta, "files", "model_file")
    if "separator" not in config:
        raise InputError(f"{folder}: no separation model of ESPnet's: its config has no separator")
    arguments: dict[str, Any] = {name: config.get(name) for name in ("encoder", "decoder")}
    for name in ("encoder_conf", "separator_conf", "decoder_conf", "model_conf"):
        arguments |= arguments_of({}, config.get(name) or {}, name)
    state = _state(read_torch_file(path), path)
    return PublicCheckpoint(str(folder), "espnet", str(config["separator"]), arguments, state, _espnet_rate(config))


def _espnet_rate(config: Mapping[str, Any]) -> int:
    """The rate that a config says, or else the name of the folder of its statistics, such as `enh_stats_8k`."""
    rate = config.get("sample_rate")
    if isinstance(rate, int):
        return rate
    found = re.search(r"_stats_(\d+)k\b", str(config.get("train_shape_file")))
    return int(found[1]) * 1000 if found else ESPNET_RATE


def _config_json(folder: Path) -> PublicCheckpoint:
    file = folder / "config.json"
    weights = next((name for name in ("model.safetensors", *SINGLE_FILES) if (folder / name).exists()), None)
    if weights is None:
        raise MissingFile(
            f"{folder}: has a config.json, but neither model.safetensors nor {' nor '.join(SINGLE_FILES)}"
        )
    path = folder / weights
    if weights in SINGLE_FILES:
        content = read_torch_file(path)
        if is_public(content):  # the config.json is somebody else's
            return _asteroid(path)
    else:
        content = read_safetensors(path)
    try:
        arguments = parse_json(_there(file).read_bytes())
    except ValueError as error:
        raise InputError(f"{file}: not JSON: {' '.join(str(error).split())}") from error
    if not isinstance(arguments, dict):
        raise InputError(f"{file}: expected names and values")
    return PublicCheckpoint(
        str(folder), "config.json", "", arguments, _state(content, path), arguments.get("sample_rate")
    )


# What is in a folder of that form and of none before it, and what reads one.
FORMS: dict[str, tuple[str, Callable[[Path], PublicCheckpoint]]] = {
    "speechbrain": ("hyperparams.yaml", _speechbrain),
    "espnet": ("meta.yaml", _espnet),
    "config.json": ("config.json", _config_json),
}


def _there(path: Path) -> Path:
    """Is the path; raises MissingFile when no file is there, such as a link of a cache to nothing."""
    if not path.is_file():
        raise MissingFile(f"{path.parent}: has no {path.name}, which belongs to it; was its download broken off?")
    return path


def _named(folder: Path, meta: Mapping[str, Any], group: str, name: str) -> Path:
    """Returns the file that meta.yaml names; it must be below the folder."""
    names = meta.get(group)
    value = names.get(name) if isinstance(names, dict) else None
    if not isinstance(value, str) or not value:
        raise InputError(f"{folder / 'meta.yaml'}: has no {group}: {name}")
    if PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts:
        raise InputError(f"{folder / 'meta.yaml'}: {name}: {value} is not below the folder")
    return _there(folder / value)


def _state(content: Any, path: Path) -> dict[str, np.ndarray]:
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a dictionary of parameters")
    for name, value in content.items():
        if not isinstance(value, np.ndarray):
            raise InputError(f"{path}: {name} is no tensor but a {type(value).__name__}")
    return {str(name): value for name, value in content.items()}


def _and(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
