"""What a separator's file says of Asteroid's model of the same network: its arguments and its parameters' names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mindaudio_ext.convert.names import Rule

# Axes of one, which theirs have and ours have not.
CONV = (2,)  # a convolution of kernel 1 is a dense layer with an axis of one
CONV_2D = (2, 3)
FILTERS = (1,)

FILTERBANK = (
    Rule("encoder.filterbank._filters", "encoder.weight", FILTERS),
    Rule("decoder.filterbank._filters", "decoder.weight", FILTERS),
)
DUAL_PATH_END = (
    Rule("masker.first_out.0.weight", "separator.prelu.weight"),
    Rule("masker.first_out.1.weight", "separator.expand.weight", CONV_2D),
    Rule("masker.first_out.1.bias", "separator.expand.bias"),
    Rule("masker.net_out.0.weight", "separator.output.weight", CONV),
    Rule("masker.net_out.0.bias", "separator.output.bias"),
    Rule("masker.net_gate.0.weight", "separator.gate.weight", CONV),
    Rule("masker.net_gate.0.bias", "separator.gate.bias"),
)
BOTTLENECK = (
    Rule("masker.bottleneck.0.*", "separator.input_norm.*"),
    Rule("masker.bottleneck.1.weight", "separator.bottleneck.weight", CONV),
    Rule("masker.bottleneck.1.bias", "separator.bottleneck.bias"),
)
COMMON_DEFAULTS = {"kernel_size": 16, "stride": 8, "fb_name": "free", "encoder_activation": None}
DUAL_PATH = {"chunk_size": "chunk_size", "hop_size": "hop_size", "n_repeats": "n_blocks", "norm_type": "norm"}


@dataclass(frozen=True)
class Architecture:
    """One of Asteroid's models.

    Attributes:
        name: its class.
        options: their arguments and our keys of `separator_conf`.
        defaults: of their constructor, for files of older versions, which save fewer arguments. `encoder_activation`
            is None in all of them but DPTNet.
        rules: names of parameters.
        fixed: their arguments that must have one of these values, all of which mean what ours does.
        norms: normalisations that are the same on both sides; none when it is no option.
        mask_activations: as `norms`. Softmax is there only where theirs is over the sources.
        gated: whether the encoder is a gated one, whatever `encoder_activation` says.
        takes_out_chan: whether it has an argument `out_chan`, the separator's output size.
        only_with: of parameters with two names of theirs, each with the value of our option that it belongs to.
    """

    name: str
    options: Mapping[str, str]
    defaults: Mapping[str, Any]
    rules: tuple[Rule, ...]
    fixed: Mapping[str, tuple[Any, ...]]
    norms: tuple[str, ...] = ()
    mask_activations: tuple[str, ...] = ("relu", "sigmoid")
    gated: bool = False
    takes_out_chan: bool = True
    only_with: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
