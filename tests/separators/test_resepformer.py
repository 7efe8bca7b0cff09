"""RE-SepFormer against SpeechBrain's outputs; its options, lengths and parameters."""

import pytest
from golden import check_lengths, check_option_has_effect, check_whole_utterances, tasnet
from newer_golden import SPEECHBRAIN_TRANSFORMER, NewerGolden, marked

from mindaudio_ext.errors import InputError

N_BLOCKS = 2
RENAMED = (  # SpeechBrain's names are ours after these replacements, in order
    (r"encoder\.conv1d\.", "encoder."),
    (r"^masknet\.model\.", "separator."),
    (rf"\.seg_model\.{N_BLOCKS - 1}\.", ".last."),
    (r"\.seg_model\.(\d+)\.", r".blocks.\1.segment."),
    (r"\.mem_model\.(\d+)\.", r".blocks.\1.memory."),
    (r"\.(segment|memory|last)\.mdl\.", r".\1.transformer."),
    *SPEECHBRAIN_TRANSFORMER,
    (r"\.norm\.weight$", ".norm.gamma"),
    (r"\.norm\.bias$", ".norm.beta"),
    (r"\.output_fc\.0\.", ".prelu."),
    (r"\.output_fc\.1\.", ".mask."),
)
SMALL = {"chunk_size": 20, "n_blocks": N_BLOCKS, "n_layers": 2, "n_heads": 2, "feedforward_size": 12}


def make(num_spks=2, *, n_filters=8, **options):
    return tasnet("resepformer", num_spks, n_filters=n_filters, encoder="relu", mask="relu", **{**SMALL, **options})


def golden(num_spks):
    return NewerGolden(f"resepformer_{num_spks}spk", make(num_spks), RENAMED)


@pytest.mark.parametrize("num_spks", [2, 3])
def test_estimates(num_spks):
    golden(num_spks).check_estimate()
    golden(num_spks).check_estimate("batch2/estimate_official_each_alone", "batch2/mixture")


@pytest.mark.parametrize("num_spks", marked([2, 3], quick=[3]))
def test_training(num_spks):
    golden(num_spks).check_training()


@pytest.mark.parametrize(
    ("option", "value"),
    [
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
    check_whole_utterances(make(n_layers=1), 16)


def test_refuses_features_that_heads_cannot_share():
    with pytest.raises(InputError, match=r"n_filters: must be even and a multiple of n_heads \(3\), got 8"):
        make(n_heads=3)
