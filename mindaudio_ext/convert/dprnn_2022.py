"""Checkpoints of the DPRNN for MindSpore 1.6 of 2022: how its parameters are called, and what they say of the model.

Its training saved the optimizer's state too, which is left out. Its `gln` had no parameters (they never trained), so
ours is the identity scale; `cln` and `ln` were both GroupNorm with one group, that is gLN, each with a first norm of
its own, of which the other stayed at its initial values.

It padded half a chunk at both ends of a signal where this project, as Asteroid, pads a whole one, so estimates agree,
but not to the last digits.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mindaudio_ext.convert.names import Rule, matches, to_ours
from mindaudio_ext.errors import InputError
from mindaudio_ext.registry import SEPARATORS
from mindaudio_ext.separators.dprnn import DPRNN

CHUNK_SIZE = 250  # its default K, which a checkpoint does not tell
SAMPLE_RATE = 8000
# What its optimizer and its training loop left in the file.
_STATE = ("moment*.*", "moments.*", "beta#_power", "learning_rate", "global_step", "epoch_num", "step_num", "momentum")
_RULES = (
    Rule("encoder.conv1d.weight", "encoder.weight"),
    Rule("separation.conv1d.weight", "separator.bottleneck.weight"),
    *(
        Rule(f"separation.dual_rnn.#.{path}_{theirs}.*", f"separator.blocks.#.{path}_{ours}.*")
        for path in ("intra", "inter")
        for theirs, ours in (("rnn", "rnn"), ("linear", "dense"), ("norm", "norm"))
    ),
    Rule("separation.prelu.a", "separator.prelu.weight"),
    Rule("separation.conv2d.*", "separator.expand.*"),
    Rule("separation.output.0.*", "separator.output.*"),
    Rule("separation.output_gate.0.*", "separator.gate.*"),
    Rule("separation.end_conv1x1.weight", "separator.mask.weight"),
    Rule("decoder.conv1dTranspose.weight", "decoder.weight"),
)
_FIRST_NORM = ("separation.norm.", "separation.norm1.")  # of its `cln` and of its `ln`


def is_reference(stored: Mapping[str, np.ndarray]) -> bool:
    """Tells whether these are the parameters of the 2022 implementation."""
    return {"encoder.conv1d.weight", "separation.conv1d.weight", "decoder.conv1dTranspose.weight"} <= stored.keys()


def config_values(stored: Mapping[str, np.ndarray], source: str, *, sample_rate: int | None) -> dict[str, Any]:
    """Reads the config from the shapes; chunk size and, unless given, rate are the reference's defaults.

    Raises:
        InputError: a parameter that tells a size is missing.
    """
    shape = {name: value.shape for name, value in stored.items()}
    try:
        bottleneck = shape["separation.conv1d.weight"][0]
        blocks = {name.split(".")[2] for name in shape if name.startswith("separation.dual_rnn.")}
        return {
            "sample_rate": sample_rate or SAMPLE_RATE,
            "num_spks": shape["separation.conv2d.weight"][0] // bottleneck,
            "n_filters": shape["encoder.conv1d.weight"][0],
            "kernel_size": shape["encoder.conv1d.weight"][-1],
            "encoder_activation": "relu",
            "separator": SEPARATORS.name_of(DPRNN),
            "separator_conf": {
                "bottleneck_size": bottleneck,
                "hidden_size": shape["separation.dual_rnn.0.intra_rnn.weight_hh_l0"][1],
                "chunk_size": CHUNK_SIZE,
                "n_blocks": len(blocks),
                "norm": "gLN",
            },
        }
    except KeyError as error:
        raise InputError(f"{source}: parameter {error.args[0]} is missing") from error


def our_parameters(stored: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Returns the parameters by our names; what the reference had not is what it amounted to: scale 1, bias 0.

    Raises:
        InputError: naming a parameter that is none of the reference's.
    """
    n_filters, bottleneck = stored["encoder.conv1d.weight"].shape[0], stored["separation.conv1d.weight"].shape[0]
    blocks = {name.split(".")[2] for name in stored if name.startswith("separation.dual_rnn.")}
    norms = {f"separator.blocks.{block}.{path}_norm": bottleneck for block in blocks for path in ("intra", "inter")}
    parameters = {"separator.bottleneck.bias": np.zeros(bottleneck, np.float32)}
    for norm, width in {"separator.input_norm": n_filters, **norms}.items():
        parameters |= {f"{norm}.gamma": np.ones(width, np.float32), f"{norm}.beta": np.zeros(width, np.float32)}
    for name, value in stored.items():
        if any(matches(pattern, name) for pattern in _STATE) or name.startswith(_FIRST_NORM):
            continue
        ours = to_ours(name, _RULES)
        if ours is None:
            raise InputError(f"{source}: parameter {name} is none of the 2022 DPRNN's; give --mapping FILE, see --help")
        parameters[ours] = value
    return parameters | _trained_first_norm(stored)


def _trained_first_norm(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the first norm, of the two that may be there, which is not at its initial values any more."""
    for prefix in _FIRST_NORM:
        gamma, beta = stored.get(f"{prefix}gamma"), stored.get(f"{prefix}beta")
        if gamma is not None and beta is not None and ((gamma != 1).any() or beta.any()):
            return {"separator.input_norm.gamma": gamma, "separator.input_norm.beta": beta}
    return {}
