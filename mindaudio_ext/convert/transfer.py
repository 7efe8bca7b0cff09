"""Experiments made of parameters from elsewhere, and the parameters of an experiment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.config import Config, make_config, save_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.files import write_text
from mindaudio_ext.hub.name import is_hub_name
from mindaudio_ext.models.parameters import load_parameters, save_parameters
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.output_folder import new_folder, require_new


def write_experiment(
    out: Path,
    values: Mapping[str, Any],
    parameters: Mapping[str, np.ndarray],
    *,
    source: str,
    zeros: tuple[str, ...] = (),
    facts: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> int:
    """Makes `out/{config.yaml,checkpoints/best.ckpt,model.json}`, all of it or nothing; what it wrote can be loaded.

    Args:
        out: a folder that is not there yet.
        values: config keys of the model; the others keep their defaults.
        parameters: by our names.
        source: the file they are from, for messages and model.json.
        zeros: parameters that may be missing and are 0 then.
        facts: further ones for model.json.
        card: text of README.md; None for no such file.

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
    with new_folder(out) as folder:
        made = Experiment(folder)
        save_config(config, made.config_file)
        save_parameters(model, made.checkpoint())
        load_parameters(model, made.checkpoint())
        converted_from = source if is_hub_name(source) else Path(source).name
        made.write_facts({"parameters": n_parameters, "converted_from": converted_from, **(facts or {})})
        if card is not None:
            write_text(made.card, card)
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
        problem = "NaN or infinity" if value.dtype.kind == "f" else f"{value.dtype}, expected a floating-point dtype"
        raise InputError(f"{where} holds {problem}")
    return value.reshape(shape).astype(np.float32)


def read_model(expdir: Path) -> tuple[Config, dict[str, np.ndarray]]:
    """Returns the config of an experiment and the parameters of the checkpoint it decodes, checked against its model.

    Raises:
        InputError: a file is missing or damaged, or they do not belong together.
    """
    experiment = Experiment(expdir)
    config = experiment.read_config()
    model = build_model(config)
    load_parameters(model, experiment.find_checkpoint(config))
    return config, {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
