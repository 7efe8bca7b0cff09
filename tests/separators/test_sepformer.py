"""SepFormer against SpeechBrain's outputs; its options, lengths and parameters."""

import pytest
from golden import check_lengths, check_option_has_effect, check_whole_utterances, tasnet
from newer_golden import SPEECHBRAIN_TRANSFORMER, NewerGolden, marked

from mindaudio_ext.errors import InputError

RENAMED = (  # SpeechBrain's names are ours after these replacements, in order
    (r"encoder\.conv1d\.", "encoder."),
    (r"^masknet\.norm\.weight", "separator.input_norm.gamma"),
    (r"^masknet\.norm\.bias", "separator.input_norm.beta"),
    (r"^masknet\.", "separator."),
    (r"\.conv1d\.", ".bottleneck."),
    (r"\.dual_mdl\.(\d+)\.", r".blocks.\1."),
    (r"\.(intra|inter)_mdl\.mdl\.", r".\1."),
    (r"_norm\.weight", "_norm.gamma"),
    (r"_norm\.bias", "_norm.beta"),
    *SPEECHBRAIN_TRANSFORMER,
    (r"\.conv2d\.", ".expand."),
    (r"\.output\.0\.", ".output."),
    (r"\.output_gate\.0\.", ".gate."),
    (r"\.end_conv1x1\.", ".mask."),
)
SMALL = {"bottleneck_size": 8, "chunk_size": 20, "n_blocks": 2, "n_layers": 2, "n_heads": 2, "feedforward_size": 12}
SMALL_3 = {"bottleneck_size": 6, "chunk_size": 24, "n_blocks": 2, "n_layers": 1, "n_heads": 3, "feedforward_size": 10}


def make(num_spks=2, *, n_filters=8, **options):
    return tasnet("sepformer", num_spks, n_filters=n_filters, encoder="relu", mask="relu", **{**SMALL, **options})


def golden(num_spks):
    model = make() if num_spks == 2 else make(3, n_filters=6, **SMALL_3)
    return NewerGolden(f"sepformer_{num_spks}spk", model, RENAMED)


@pytest.mark.parametrize("num_spks", [2, 3])
def test_estimates(num_spks):
    golden(num_spks).check_estimate()


@pytest.mark.parametrize("num_spks", marked([2, 3], quick=[3]))
def test_training(num_spks):
    golden(num_spks).check_training()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bottleneck_size", 10),
        ("chunk_size", 21),
        ("n_blocks", 1),
        ("n_layers", 2),
        ("n_heads", 4),
        ("feedforward_size", 7),
        ("dropout", 0.3),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(lambda **options: make(**{"n_layers": 1, **options}), option, value)


@pytest.mark.parametrize("num_spks", [2, 5])
def test_lengths(num_spks):
    check_lengths(make(num_spks, n_layers=1), 16)


def test_whole_utterances():
    check_whole_utterances(make(n_blocks=1, n_layers=1), 16)


@pytest.mark.parametrize("width", [9, 10])
def test_refuses_a_width_that_heads_or_positions_cannot_share(width):
    with pytest.raises(
        InputError, match=rf"bottleneck_size: must be even and a multiple of n_heads \(3\), got {width}"
    ):
        make(bottleneck_size=width, n_heads=3)
