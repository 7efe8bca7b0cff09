"""Asteroid's models and ours: which of their arguments is which of our config keys, and how parameters are called.

What Asteroid's `serialize()` saves is a dictionary of `model_name`, `model_args` and `state_dict`. The four models
below are the same networks on both sides; what one of theirs can and ours cannot, and the reverse, is refused.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindaudio_ext import __version__
from mindaudio_ext.config import Config
from mindaudio_ext.convert.names import Rule, to_ours
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import near

FREE_FILTERBANKS = ("free", "FreeFB")
_CONV = (2,)  # a convolution of kernel 1 is a dense layer with an axis of one
_CONV_2D = (2, 3)
_FILTERS = (1,)

_FILTERBANK = (
    Rule("encoder.filterbank._filters", "encoder.weight", _FILTERS),
    Rule("decoder.filterbank._filters", "decoder.weight", _FILTERS),
)
_DUAL_PATH_END = (
    Rule("masker.first_out.0.weight", "separator.prelu.weight"),
    Rule("masker.first_out.1.weight", "separator.expand.weight", _CONV_2D),
    Rule("masker.first_out.1.bias", "separator.expand.bias"),
    Rule("masker.net_out.0.weight", "separator.output.weight", _CONV),
    Rule("masker.net_out.0.bias", "separator.output.bias"),
    Rule("masker.net_gate.0.weight", "separator.gate.weight", _CONV),
    Rule("masker.net_gate.0.bias", "separator.gate.bias"),
)
_BOTTLENECK = (
    Rule("masker.bottleneck.0.*", "separator.input_norm.*"),
    Rule("masker.bottleneck.1.weight", "separator.bottleneck.weight", _CONV),
    Rule("masker.bottleneck.1.bias", "separator.bottleneck.bias"),
)


@dataclass(frozen=True)
class Architecture:
    """One of Asteroid's models.

    Attributes:
        separator: ours.
        options: their arguments and our keys of `separator_conf`.
        defaults: of their constructor, for files of older versions, which save fewer arguments. `encoder_activation`
            is None in all of them but DPTNet.
        rules: names of parameters.
        fixed: their arguments that must have one of these values, all of which mean what ours does.
        norms: normalisations that are the same on both sides; none when it is no option.
        mask_activations: as `norms`. Softmax is there only where theirs is over the sources.
        gated: whether the encoder is a gated one, whatever `encoder_activation` says.
    """

    separator: str
    options: Mapping[str, str]
    defaults: Mapping[str, Any]
    rules: tuple[Rule, ...]
    fixed: Mapping[str, tuple[Any, ...]]
    norms: tuple[str, ...] = ()
    mask_activations: tuple[str, ...] = ("relu", "sigmoid")
    gated: bool = False


_COMMON_DEFAULTS = {"kernel_size": 16, "stride": 8, "fb_name": "free", "encoder_activation": None}
_DUAL_PATH = {"chunk_size": "chunk_size", "hop_size": "hop_size", "n_repeats": "n_blocks", "norm_type": "norm"}

_DPRNN = Architecture(
    separator="dprnn",
    options={
        "bn_chan": "bottleneck_size",
        "hid_size": "hidden_size",
        **_DUAL_PATH,
        "bidirectional": "bidirectional",
        "rnn_type": "rnn_type",
        "num_layers": "rnn_layers",
        "dropout": "dropout",
    },
    defaults={
        **_COMMON_DEFAULTS,
        "n_filters": 64,
        "bn_chan": 128,
        "hid_size": 128,
        "chunk_size": 100,
        "hop_size": None,
        "n_repeats": 6,
        "norm_type": "gLN",
        "mask_act": "sigmoid",
        "bidirectional": True,
        "rnn_type": "LSTM",
        "num_layers": 1,
        "dropout": 0.0,
    },
    rules=(
        *_FILTERBANK,
        *_BOTTLENECK,
        Rule("masker.net.#.intra_RNN.rnn.*", "separator.blocks.#.intra_rnn.*"),
        Rule("masker.net.#.inter_RNN.rnn.*", "separator.blocks.#.inter_rnn.*"),
        Rule("masker.net.#.intra_linear.*", "separator.blocks.#.intra_dense.*"),
        Rule("masker.net.#.inter_linear.*", "separator.blocks.#.inter_dense.*"),
        Rule("masker.net.#.intra_norm.*", "separator.blocks.#.intra_norm.*"),
        Rule("masker.net.#.inter_norm.*", "separator.blocks.#.inter_norm.*"),
        *_DUAL_PATH_END,
        Rule("masker.mask_net.weight", "separator.mask.weight", _CONV),
    ),
    fixed={"use_mulcat": (False,)},
    norms=("gLN", "cLN"),
)
_CONV_TASNET = Architecture(
    separator="tcn",
    options={
        "bn_chan": "bottleneck_size",
        "hid_chan": "hidden_size",
        "skip_chan": "skip_size",
        "conv_kernel_size": "kernel_size",
        "n_blocks": "n_blocks",
        "n_repeats": "n_repeats",
        "norm_type": "norm",
        "causal": "causal",
    },
    defaults={
        **_COMMON_DEFAULTS,
        "n_filters": 512,
        "bn_chan": 128,
        "hid_chan": 512,
        "skip_chan": 128,
        "conv_kernel_size": 3,
        "n_blocks": 8,
        "n_repeats": 3,
        "norm_type": "gLN",
        "mask_act": "sigmoid",
        "causal": False,
    },
    rules=(
        *_FILTERBANK,
        *_BOTTLENECK,
        Rule("masker.TCN.#.shared_block.0.weight", "separator.blocks.#.input.weight", _CONV),
        Rule("masker.TCN.#.shared_block.0.bias", "separator.blocks.#.input.bias"),
        Rule("masker.TCN.#.shared_block.1.weight", "separator.blocks.#.input_prelu.weight"),
        Rule("masker.TCN.#.shared_block.2.*", "separator.blocks.#.input_norm.*"),
        Rule("masker.TCN.#.shared_block.3.0.weight", "separator.blocks.#.depthwise.weight", _FILTERS),  # causal
        Rule("masker.TCN.#.shared_block.3.0.bias", "separator.blocks.#.depthwise.bias"),
        Rule("masker.TCN.#.shared_block.3.weight", "separator.blocks.#.depthwise.weight", _FILTERS),
        Rule("masker.TCN.#.shared_block.3.bias", "separator.blocks.#.depthwise.bias"),
        Rule("masker.TCN.#.shared_block.4.weight", "separator.blocks.#.depthwise_prelu.weight"),
        Rule("masker.TCN.#.shared_block.5.*", "separator.blocks.#.depthwise_norm.*"),
        Rule("masker.TCN.#.res_conv.weight", "separator.blocks.#.residual.weight", _CONV),
        Rule("masker.TCN.#.res_conv.bias", "separator.blocks.#.residual.bias"),
        Rule("masker.TCN.#.skip_conv.weight", "separator.blocks.#.skip.weight", _CONV),
        Rule("masker.TCN.#.skip_conv.bias", "separator.blocks.#.skip.bias"),
        Rule("masker.mask_net.0.weight", "separator.prelu.weight"),
        Rule("masker.mask_net.1.weight", "separator.mask.weight", _CONV),
        Rule("masker.mask_net.1.bias", "separator.mask.bias"),
    ),
    fixed={},
    norms=("gLN", "cLN", "cgLN"),
    mask_activations=("relu", "sigmoid", "softmax"),
)
_LSTM_TASNET = Architecture(
    separator="rnn",
    options={
        "n_layers": "rnn_layers",
        "hid_size": "hidden_size",
        "dropout": "dropout",
        "bidirectional": "bidirectional",
    },
    defaults={
        **_COMMON_DEFAULTS,
        "n_filters": 64,
        "n_layers": 4,
        "hid_size": 512,
        "dropout": 0.3,
        "mask_act": "sigmoid",
        "bidirectional": True,
    },
    rules=(
        Rule("encoder.filterbank._filters", "encoder.weight", _FILTERS),  # the next one again
        Rule("encoder.encoder_relu.filterbank._filters", "encoder.weight", _FILTERS),
        Rule("encoder.encoder_sig.filterbank._filters", "encoder.gate_weight", _FILTERS),
        Rule("decoder.filterbank._filters", "decoder.weight", _FILTERS),
        Rule("masker.bn_layer.*", "separator.input_norm.*"),
        Rule("masker.masker.0.rnn.*", "separator.rnn.*"),
        Rule("masker.masker.1.*", "separator.mask.*"),
    ),
    fixed={"rnn_type": ("lstm", "LSTM", "GRU", "gru", "RNN", "rnn")},  # Asteroid stores it and makes an LSTM
    gated=True,
)
_DPTNET = Architecture(
    separator="dptnet",
    options={
        "n_heads": "n_heads",
        "ff_hid": "hidden_size",
        **_DUAL_PATH,
        "bidirectional": "bidirectional",
        "dropout": "dropout",
    },
    defaults={
        **_COMMON_DEFAULTS,
        "n_filters": 64,
        "n_heads": 4,
        "ff_hid": 256,
        "chunk_size": 100,
        "hop_size": None,
        "n_repeats": 6,
        "norm_type": "gLN",
        "mask_act": "relu",
        "bidirectional": True,
        "dropout": 0.0,
        "encoder_activation": "relu",
    },
    rules=(
        *_FILTERBANK,
        Rule("masker.input_layer.*", "separator.input.*"),
        Rule("masker.in_norm.*", "separator.input_norm.*"),
        *(
            Rule(f"masker.layers.#.{number}.{theirs}", f"separator.blocks.#.{path}.{ours}")
            for number, path in enumerate(("intra", "inter"))
            for theirs, ours in (
                ("mha.in_proj_weight", "attention.in_proj.weight"),
                ("mha.in_proj_bias", "attention.in_proj.bias"),
                ("mha.out_proj.*", "attention.out_proj.*"),
                ("recurrent.*", "rnn.*"),
                ("linear.*", "dense.*"),
                ("norm_mha.*", "attention_norm.*"),
                ("norm_ff.*", "rnn_norm.*"),
            )
        ),
        *_DUAL_PATH_END,
    ),
    fixed={"ff_activation": ("relu",)},
    norms=("gLN", "cLN", "cgLN"),
    mask_activations=("relu", "sigmoid", "softmax"),
)

ARCHITECTURES = {"DPRNNTasNet": _DPRNN, "ConvTasNet": _CONV_TASNET, "LSTMTasNet": _LSTM_TASNET, "DPTNet": _DPTNET}


def is_asteroid(content: Any) -> bool:
    """Whether what a PyTorch file holds is a model as Asteroid saves it."""
    return isinstance(content, dict) and {"model_name", "model_args", "state_dict"} <= content.keys()


def config_values(content: Mapping[str, Any], source: str, *, sample_rate: int | None = None) -> dict[str, Any]:
    """Gives the config keys that describe a model of Asteroid's.

    Args:
        content: what the file holds.
        source: how errors name the file.
        sample_rate: Hz, for older files that do not say it.

    Raises:
        InputError: the model, or one of its arguments, has no equal here.
    """
    architecture = find_architecture(content["model_name"], source)
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
        "separator": architecture.separator,
        "separator_conf": {ours: arguments[theirs] for theirs, ours in architecture.options.items()},
    }


def find_architecture(name: Any, source: str) -> Architecture:
    """Gives the model of that name; raises InputError when there is none here."""
    for known, architecture in ARCHITECTURES.items():
        if str(name).lower() == known.lower():  # Asteroid does not look at the case either
            return architecture
    known = ", ".join(ARCHITECTURES)
    raise InputError(f"{source}: no model '{name}' here{near(str(name), ARCHITECTURES)}; known: {known}")


def _arguments(arguments: Any, architecture: Architecture, source: str) -> dict[str, Any]:
    """Gives all arguments with the defaults filled in; raises InputError for one that nobody knows."""
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
    """Gives the parameters of a model of Asteroid's by our names.

    Raises:
        InputError: a parameter is unknown, or two that must be equal are not.
    """
    rules = find_architecture(content["model_name"], source).rules
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
    """Gives what Asteroid's `from_pretrained` reads, from a model of ours.

    Args:
        config: of the model.
        parameters: by our names; all of them, of the model's shapes.
        source: how errors name the experiment.

    Raises:
        InputError: Asteroid has no such model.
    """
    names = {architecture.separator: name for name, architecture in ARCHITECTURES.items()}
    if config.model != "tasnet" or config.separator not in names:
        what = config.separator if config.model == "tasnet" else config.model
        raise InputError(f"{source}: Asteroid has no model like {what}; it has: {', '.join(sorted(names))}")
    architecture = ARCHITECTURES[names[config.separator]]
    _check_config(config, architecture, source)
    state = _their_parameters(parameters, architecture, causal=config.separator_conf.get("causal", False))
    return {
        "model_name": names[config.separator],
        "state_dict": state,
        "model_args": _their_arguments(config, architecture),
        "infos": {"software_versions": {"mindaudio_ext_version": __version__}},
    }


def _check_config(config: Config, architecture: Architecture, source: str) -> None:
    activations = ("gated",) if architecture.gated else ("linear", "relu")
    allowed = {"mask_activation": architecture.mask_activations, "encoder_activation": activations}
    values = {"mask_activation": config.mask_activation, "encoder_activation": config.encoder_activation}
    if architecture.norms:
        allowed["norm"], values["norm"] = architecture.norms, config.separator_conf["norm"]
    for name, value in values.items():
        if value not in allowed[name]:
            raise InputError(
                f"{source}: {name} {value} has no equal in Asteroid's {config.separator}; what has: "
                f"{', '.join(allowed[name])}"
            )


def _their_arguments(config: Config, architecture: Architecture) -> dict[str, Any]:
    arguments = {
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
    if architecture.separator != "dptnet":
        arguments["out_chan"] = config.n_filters
    if arguments.get("hop_size", 0) is None:
        arguments["hop_size"] = arguments["chunk_size"] // 2
    return arguments | {name: values[0] for name, values in architecture.fixed.items()}


def _their_parameters(
    parameters: Mapping[str, np.ndarray], architecture: Architecture, *, causal: bool
) -> "OrderedDict[str, np.ndarray]":
    state: OrderedDict[str, np.ndarray] = OrderedDict()
    for rule in architecture.rules:
        if ".shared_block.3." in rule.theirs and (".3.0." in rule.theirs) != causal:
            continue  # a causal convolution is followed by a cut, and so one level deeper
        for ours, value in parameters.items():
            theirs = rule.to_theirs(ours)
            if theirs is not None:
                state[theirs] = np.expand_dims(value, rule.axes)
    return state
