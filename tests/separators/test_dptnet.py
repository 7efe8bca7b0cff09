"""DPTNet against Asteroid's outputs; its options, lengths and parameters."""

import pytest
from golden import (
    Golden,
    check_every_parameter_moves,
    check_lengths,
    check_option_has_effect,
    check_whole_utterances,
    tasnet,
)
from thorough import few

from mindaudio_ext.errors import InputError

_LAYERS = {"0": "intra", "1": "inter"}
_PARTS = {
    "mha.in_proj_": "attention.in_proj.",
    "mha.out_proj.": "attention.out_proj.",
    "norm_mha.": "attention_norm.",
    "recurrent.": "rnn.",
    "linear.": "dense.",
    "norm_ff.": "rnn_norm.",
}
RENAMED = (  # Asteroid's names are ours after these replacements, in order
    ("encoder.filterbank._filters", "encoder.weight"),
    ("decoder.filterbank._filters", "decoder.weight"),
    ("masker.input_layer.", "separator.input."),  # if the heads do not divide the features
    ("masker.in_norm.", "separator.input_norm."),
    ("masker.layers.", "separator.blocks."),
    *((f".{a}.{part}", f".{b}.{ours}") for a, b in _LAYERS.items() for part, ours in _PARTS.items()),
    ("masker.first_out.0.weight", "separator.prelu.weight"),
    ("masker.first_out.1.", "separator.expand."),
    ("masker.net_out.0.", "separator.output."),
    ("masker.net_gate.0.", "separator.gate."),
)
SMALL = {"n_heads": 4, "hidden_size": 8, "chunk_size": 20, "n_blocks": 2}


def make(num_spks=2, *, n_filters=16, **options):
    return tasnet("dptnet", num_spks, n_filters=n_filters, encoder="relu", mask="relu", **{**SMALL, **options})


def test_golden():
    golden = Golden("dptnet", make(), RENAMED)
    golden.check_estimate()
    golden.check_gradients()
    golden.check_five_adam_steps()


@pytest.mark.parametrize(
    "options", few([{}, {"bidirectional": False, "norm": "cLN"}, {"n_filters": 10}], {"n_filters": 10})
)
def test_every_parameter_moves(options):
    check_every_parameter_moves(make(**options))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_heads", 2),
        ("hidden_size", 7),
        ("chunk_size", 22),
        ("hop_size", 5),
        ("n_blocks", 1),
        ("norm", "cLN"),
        ("norm", "cgLN"),
        ("bidirectional", False),
        ("dropout", 0.3),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(make, option, value)


@pytest.mark.parametrize("options", [{}, {"chunk_size": 7, "hop_size": 7}, {"n_filters": 10}])
@pytest.mark.parametrize("num_spks", [2, 5])
def test_lengths(num_spks, options):
    check_lengths(make(num_spks, **options), 16)


@pytest.mark.parametrize("options", [{}, {"norm": "cgLN", "n_filters": 10, "hop_size": 7}])
def test_whole_utterances(options):
    check_whole_utterances(make(**options), 16)


def test_refuses_an_unknown_norm():
    with pytest.raises(InputError, match="norm"):
        make(norm="bN")
