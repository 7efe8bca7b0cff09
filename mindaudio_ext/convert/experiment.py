"""Experiments made of parameters from elsewhere, and the parameters of an experiment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.config import Config, make_config, read_resolved, save_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import new_folder, require_new, write_text
from mindaudio_ext.models.checkpoint import load_parameters, save_parameters
from mindaudio_ext.models.tasnet import build_model


def write_experiment(
    out: Path,
    values: Mapping[str, Any],
    parameters: Mapping[str, np.ndarray],
    *,
    source: str,
    zeros: tuple[str, ...] = (),
) -> int:
    """Makes `out/{config.yaml,checkpoints/best.ckpt,model.json}`, all of it or nothing.

    Args:
        out: a folder that is not there yet.
        values: config keys of the model; the others keep their defaults.
        parameters: by our names.
        source: the file they are from, for messages and model.json.
        zeros: parameters that may be missing and are 0 then.

    Returns:
        The number of trainable parameters.

    Raises:
        InputError: `out` is there, the config is wrong, or the parameters are not those of its model.
    """
    require_new(out)
    config = make_config(values, source)
    model = build_model(config)
    fill(model, parameters, source=source, zeros=zeros)
    n_parameters = sum(parameter.size for parameter in model.trainable_params())
    facts = {"parameters": n_parameters, "converted_from": Path(source).name}
    with new_folder(out) as folder:
        save_config(config, folder / "config.yaml")
        save_parameters(model, folder / "checkpoints" / "best.ckpt")
        write_text(folder / "model.json", json.dumps(facts, indent=1) + "\n")
    return n_parameters


def fill(model: nn.Cell, parameters: Mapping[str, np.ndarray], *, source: str, zeros: tuple[str, ...] = ()) -> None:
    """Sets all parameters of a model; axes of one may be there or not.

    Raises:
        InputError: a parameter is missing, left over, of another shape, or not finite.
    """
    wanted = {parameter.name: parameter for parameter in model.get_parameters()}
    for name in zeros:
        if name not in wanted or name in parameters:
            problem = "is not a parameter of the model" if name not in wanted else "is in the checkpoint"
            raise InputError(f"{source}: zeros: {name} {problem}")
    given = {**{name: np.zeros(wanted[name].shape, np.float32) for name in zeros}, **parameters}
    for name in [*wanted, *given]:
        if name not in given:
            raise InputError(f"{source}: parameter {name} of the model is missing")
        if name not in wanted:
            raise InputError(f"{source}: parameter {name} is not one of the model's; is the config another's?")
    for name, parameter in wanted.items():
        parameter.set_data(Tensor(_fitted(given[name], tuple(parameter.shape), f"{source}: parameter {name}")))


def _fitted(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise InputError(f"{where} is no tensor but a {type(value).__name__}")
    if [n for n in value.shape if n != 1] != [n for n in shape if n != 1]:
        raise InputError(f"{where} has shape {value.shape}, the model wants {shape}")
    if value.dtype.kind != "f" or not np.isfinite(value).all():
        problem = "NaN or infinity" if value.dtype.kind == "f" else f"{value.dtype}, not numbers with a point"
        raise InputError(f"{where} holds {problem}")
    return value.reshape(shape).astype(np.float32)


def read_experiment(expdir: Path) -> tuple[Config, dict[str, np.ndarray]]:
    """Gives the config of an experiment and the parameters of its checkpoint, checked against its model.

    Raises:
        InputError: a file is missing or damaged, or they do not belong together.
    """
    config = read_resolved(expdir / "config.yaml")
    model = build_model(config)
    load_parameters(model, config.model_path or expdir / "checkpoints" / "best.ckpt")
    return config, {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
