"""Conv-TasNet against Asteroid's outputs; its options, lengths and parameters."""

import numpy as np
import pytest
from golden import (
    Golden,
    check_every_parameter_moves,
    check_lengths,
    check_option_has_effect,
    check_whole_utterances,
    noise,
    tasnet,
)
from mindspore import Tensor
from thorough import UNDER_ALL, few

from mindaudio_ext.errors import InputError

RENAMED = (  # Asteroid's names are ours after these replacements, in order
    ("encoder.filterbank._filters", "encoder.weight"),
    ("decoder.filterbank._filters", "decoder.weight"),
    ("masker.bottleneck.0.", "separator.input_norm."),
    ("masker.bottleneck.1.", "separator.bottleneck."),
    ("masker.TCN.", "separator.blocks."),
    (".shared_block.0.", ".input."),
    (".shared_block.1.weight", ".input_prelu.weight"),
    (".shared_block.2.", ".input_norm."),
    (".shared_block.3.0.", ".depthwise."),  # if causal
    (".shared_block.3.", ".depthwise."),  # if not
    (".shared_block.4.weight", ".depthwise_prelu.weight"),
    (".shared_block.5.", ".depthwise_norm."),
    (".res_conv.", ".residual."),
    (".skip_conv.", ".skip."),
    ("masker.mask_net.0.weight", "separator.prelu.weight"),
    ("masker.mask_net.1.", "separator.mask."),
)
SMALL = {"bottleneck_size": 6, "hidden_size": 9, "skip_size": 6, "n_blocks": 3, "n_repeats": 2}
CAUSAL = {"norm": "cLN", "causal": True}
# The masks are made of the skip path, which the last block's residual does not reach; Asteroid has it too.
UNUSED = ("separator.blocks.5.residual.weight", "separator.blocks.5.residual.bias")


@pytest.fixture(params=["convtasnet_gln", "convtasnet_causal_cln_3src"])
def golden(request):
    if request.param == "convtasnet_gln":
        model = tasnet("tcn", n_filters=10, mask="relu", **SMALL)
    else:
        model = tasnet("tcn", 3, n_filters=10, **SMALL, **CAUSAL)
    return Golden(request.param, model, RENAMED, UNUSED)


def test_golden(golden):
    golden.check_estimate()
    golden.check_gradients()
    golden.check_five_adam_steps()


def make(**options):
    return tasnet("tcn", **{**SMALL, **options})


@pytest.mark.parametrize("norm", few(["gLN", "cLN", "cgLN"], "cLN"))
def test_every_parameter_moves(norm):
    check_every_parameter_moves(make(norm=norm), UNUSED)


@UNDER_ALL
def test_without_a_skip_path_the_last_residual_is_used():
    check_every_parameter_moves(make(skip_size=None))
    assert not [p.name for p in make(skip_size=0).get_parameters() if ".skip." in p.name]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bottleneck_size", 7),
        ("hidden_size", 7),
        ("skip_size", 7),
        ("skip_size", None),
        ("kernel_size", 5),
        ("n_blocks", 2),
        ("n_repeats", 1),
        ("norm", "cLN"),
        ("norm", "cgLN"),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(make, option, value)


def test_causal_has_an_effect():
    check_option_has_effect(lambda **options: make(norm="cLN", **options), "causal", True)


@pytest.mark.parametrize("options", [{}, {"norm": "cgLN", "causal": True, "kernel_size": 2}])
@pytest.mark.parametrize("num_spks", [2, 5])
def test_lengths(num_spks, options):
    check_lengths(tasnet("tcn", num_spks, **SMALL, **options), 16)


@pytest.mark.parametrize("options", [{}, CAUSAL, {"norm": "cgLN", "skip_size": None}])
def test_whole_utterances(options):
    check_whole_utterances(make(**options), 16)


@pytest.mark.parametrize("norm", ["cLN", "cgLN"])
def test_causal_does_not_look_ahead(norm):
    model = make(norm=norm, causal=True)
    mixture = noise(1, 800)
    changed = mixture.copy()
    changed[:, 400:] = 0
    one, other = model(Tensor(mixture)).asnumpy(), model(Tensor(changed)).asnumpy()
    assert np.array_equal(one[..., :384], other[..., :384])
    assert not np.array_equal(one[..., 400:], other[..., 400:])


def test_refuses_what_cannot_be():
    with pytest.raises(InputError, match=r"causal.*cLN or cgLN"):
        make(causal=True)
    with pytest.raises(InputError, match=r"kernel_size.*odd"):
        make(kernel_size=4)
    with pytest.raises(InputError, match="norm"):
        make(norm="bN")
