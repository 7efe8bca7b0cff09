"""Asteroid's models and ours: which of their arguments is which of our config keys, and how parameters are called.

What Asteroid's `serialize()` saves is a dictionary of `model_name`, `model_args` and `state_dict`. A separator says
in its own file which of them is the same network; what one of theirs can and ours cannot, and the reverse, is refused.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from mindaudio_ext import __version__
from mindaudio_ext.config import Config
from mindaudio_ext.convert.architecture import Architecture
from mindaudio_ext.convert.names import to_ours
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import SEPARATORS, near

FREE_FILTERBANKS = ("free", "FreeFB")


def is_asteroid(content: Any) -> bool:
    """Whether what a PyTorch file holds is a model as Asteroid saves it."""
    return isinstance(content, dict) and {"model_name", "model_args", "state_dict"} <= content.keys()


def architectures() -> dict[str, Architecture]:
    """Returns Asteroid's models that separators say they are, by the separator's name. Imports all separators."""
    found = {}
    for name in SEPARATORS.names():
        with contextlib.suppress(InputError):  # another package's that cannot be imported
            architecture = getattr(SEPARATORS.get(name), "asteroid", None)
            if architecture is not None:
                found[name] = architecture
    return found


def config_values(content: Mapping[str, Any], source: str, *, sample_rate: int | None = None) -> dict[str, Any]:
    """Returns the config keys that describe a model of Asteroid's.

    Args:
        content: what the file holds.
        source: how errors name the file.
        sample_rate: Hz, for older files that do not say it.

    Raises:
        InputError: the model, or one of its arguments, has no equal here.
    """
    separator, architecture = find_architecture(content["model_name"], source)
    arguments = _arguments(content["model_args"], architecture, source)
    _check_arguments(arguments, architecture, source)
    rate = arguments.get("sample_rate") or sample_rate
    if rate is None:
        raise InputError(f"{source}: does not say its sample rate; give --sample_rate")
    if sample_rate not in (None, rate):
        raise InputError(f"{source}: its sample rate is {rate} Hz, not --sample_rate {sample_rate}")
    if "n_src" not in arguments:
        raise InputError(f"{source}: model_args has no n_src, the number of sources")
    return {
        "sample_rate": int(rate) if isinstance(rate, float) and rate.is_integer() else rate,
        "num_spks": arguments["n_src"],
        "n_filters": arguments["n_filters"],
        "kernel_size": arguments["kernel_size"],
        "stride": arguments["stride"],
        "encoder_activation": "gated" if architecture.gated else arguments["encoder_activation"] or "linear",
        "mask_activation": arguments["mask_act"],
        "separator": separator,
        "separator_conf": {ours: arguments[theirs] for theirs, ours in architecture.options.items()},
    }


def find_architecture(name: Any, source: str) -> tuple[str, Architecture]:
    """Returns a separator and its model of that name in Asteroid; raises InputError when there is none here."""
    known = {architecture.name: (separator, architecture) for separator, architecture in architectures().items()}
    for theirs, found in known.items():
        if str(name).lower() == theirs.lower():  # Asteroid does not look at the case either
            return found
    raise InputError(f"{source}: no model '{name}' here{near(str(name), known)}; known: {', '.join(sorted(known))}")


def _arguments(arguments: Any, architecture: Architecture, source: str) -> dict[str, Any]:
    """Returns all arguments with the defaults filled in; raises InputError for one that nobody knows."""
    if not isinstance(arguments, dict):
        raise InputError(f"{source}: model_args is no dictionary")
    known = {*architecture.defaults, *architecture.options, *architecture.fixed}
    known |= {"sample_rate", "n_src", "in_chan", "out_chan"}
    for name, value in arguments.items():
        if not isinstance(value, (str, int, float, type(None))):
            raise InputError(f"{source}: argument {name} of the model is a {type(value).__name__}, not one value")
        if name not in known and value not in (None, False, 0):
            raise InputError(
                f"{source}: argument {name}={value!r} of the model is unknown here{near(str(name), known)}"
            )
    return {**architecture.defaults, **arguments}


def _check_arguments(arguments: Mapping[str, Any], architecture: Architecture, source: str) -> None:
    allowed = {
        "fb_name": FREE_FILTERBANKS,
        "mask_act": architecture.mask_activations,
        "encoder_activation": (None, "linear", "relu"),
        "in_chan": (None, arguments["n_filters"]),
        "out_chan": (None, arguments["n_filters"]),
        **architecture.fixed,
        **({"norm_type": architecture.norms} if architecture.norms else {}),
    }
    for name, values in allowed.items():
        if name in arguments and arguments[name] not in values:
            possible = ", ".join(str(value) for value in dict.fromkeys(values))
            raise InputError(f"{source}: {name}={arguments[name]!r} has no equal here; what has: {possible}")


def our_parameters(content: Mapping[str, Any], source: str) -> dict[str, np.ndarray]:
    """Returns the parameters of a model of Asteroid's by our names.

    Raises:
        InputError: a parameter is unknown, or two that must be equal are not.
    """
    rules = find_architecture(content["model_name"], source)[1].rules
    if not isinstance(content["state_dict"], dict):
        raise InputError(f"{source}: state_dict is no dictionary")
    parameters: dict[str, np.ndarray] = {}
    for name, value in content["state_dict"].items():
        ours = to_ours(str(name), rules)
        if ours is None:
            raise InputError(f"{source}: parameter {name} does not belong to a {content['model_name']}")
        if ours in parameters and not np.array_equal(parameters[ours], value):
            raise InputError(f"{source}: parameter {name} should be equal to another of its name in ours, {ours}")
        parameters[ours] = value
    return parameters


def to_asteroid(config: Config, parameters: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    """Returns what Asteroid's `from_pretrained` reads, from a model of ours.

    Args:
        config: of the model.
        parameters: by our names; all of them, of the model's shapes.
        source: how errors name the experiment.

    Raises:
        InputError: Asteroid has no such model.
    """
    known = architectures()
    if config.model != "tasnet" or config.separator not in known:
        what = config.separator if config.model == "tasnet" else config.model
        raise InputError(f"{source}: Asteroid has no model like {what}; it has: {', '.join(sorted(known))}")
    architecture = known[config.separator]
    _check_config(config, architecture, source)
    state = _their_parameters(parameters, architecture, config.separator_conf)
    return {
        "model_name": architecture.name,
        "state_dict": state,
        "model_args": _their_arguments(config, architecture),
        "infos": {"software_versions": {"mindaudio_ext_version": __version__}},
    }


def _check_config(config: Config, architecture: Architecture, source: str) -> None:
    activations = ("gated",) if architecture.gated else ("linear", "relu")
    allowed = {
        "encoder": ("conv",),
        "mask_activation": architecture.mask_activations,
        "encoder_activation": activations,
        "normalize_variance": (False,),
        "mixture_consistency": (False,),
    }
    values = {name: getattr(config, name) for name in allowed}
    if architecture.norms:
        allowed["norm"], values["norm"] = architecture.norms, config.separator_conf["norm"]
    for name, value in values.items():
        if value not in allowed[name]:
            raise InputError(
                f"{source}: {name} {value} has no equal in Asteroid's {config.separator}; what has: "
                f"{', '.join(map(str, allowed[name]))}"
            )


def _their_arguments(config: Config, architecture: Architecture) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "fb_name": "FreeFB",
        "n_filters": config.n_filters,
        "kernel_size": config.kernel_size,
        "stride": config.stride or config.kernel_size // 2,
        "sample_rate": config.sample_rate,
        "in_chan": config.n_filters,
        "n_src": config.num_spks,
        "mask_act": config.mask_activation,
        "encoder_activation": "relu" if config.encoder_activation == "relu" else None,
    }
    arguments |= {theirs: config.separator_conf[ours] for theirs, ours in architecture.options.items()}
    if architecture.takes_out_chan:
        arguments["out_chan"] = config.n_filters
    if arguments.get("hop_size", 0) is None:
        arguments["hop_size"] = arguments["chunk_size"] // 2
    return arguments | {name: values[0] for name, values in architecture.fixed.items()}


def _their_parameters(
    parameters: Mapping[str, np.ndarray], architecture: Architecture, options: Mapping[str, Any]
) -> "OrderedDict[str, np.ndarray]":
    state: OrderedDict[str, np.ndarray] = OrderedDict()
    for rule in architecture.rules:
        option, value = architecture.only_with.get(rule.theirs, ("", None))
        if option and options[option] != value:
            continue
        for ours, values in parameters.items():
            theirs = rule.to_theirs(ours)
            if theirs is not None:
                state[theirs] = np.expand_dims(values, rule.axes)
    return state
