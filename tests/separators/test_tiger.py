"""TIGER against its authors' outputs; its bands, options, lengths and parameters."""

import numpy as np
import pytest
from golden import check_lengths, check_option_has_effect, check_whole_utterances, tasnet
from mindspore import Tensor
from newer_golden import NewerGolden, marked
from thorough import UNDER_ALL

from mindaudio_ext.errors import InputError
from mindaudio_ext.separators.tiger import band_groups

RENAMED = (  # the authors' names are ours after these replacements, in order
    (r"^BN\.(\d+)\.0\.weight", r"separator.split.norm.\1.gamma"),
    (r"^BN\.(\d+)\.0\.bias", r"separator.split.norm.\1.beta"),
    (r"^BN\.(\d+)\.1\.", r"separator.split.dense.\1."),
    (r"^mask\.(\d+)\.0\.", r"separator.masks.prelu.\1."),
    (r"^mask\.(\d+)\.1\.", r"separator.masks.dense.\1."),
    (r"^separator\.concat_block\.0\.", "separator.join."),
    (r"^separator\.concat_block\.1\.", "separator.join_prelu."),
    (r"\.freq_path\.2\.", ".along_bands.norm."),
    (r"\.frame_path\.2\.", ".along_frames.norm."),
    (r"\.freq_path\.0\.", ".along_bands.block."),
    (r"\.frame_path\.0\.", ".along_frames.block."),
    (r"\.freq_path\.1\.", ".along_bands.attention."),
    (r"\.frame_path\.1\.", ".along_frames.attention."),
    (r"\.Queries\.", ".queries."),
    (r"\.Keys\.", ".keys."),
    (r"\.Values\.", ".values."),
    (r"\.attn_concat_proj\.", ".output."),
    (r"(attention\..*)\.conv\.", r"\1.dense."),
    (r"(attention\..*)\.act\.", r"\1.prelu."),
    (r"\.proj_1x1\.conv\.", ".input."),
    (r"\.proj_1x1\.norm\.", ".input_norm."),
    (r"\.proj_1x1\.act\.", ".input_prelu."),
    (r"\.spp_dw\.", ".down."),
    (r"\.res_conv\.", ".output."),
    (r"\.loc_glo_fus\.", ".fuse."),
    (r"\.last_layer\.", ".up."),
    (r"\.local_embedding\.", ".local."),
    (r"\.global_embedding\.", ".addend."),
    (r"\.global_act\.", ".gate."),
    (r"\.globalatt\.fc1\.conv\.", ".top.first."),
    (r"\.globalatt\.fc1\.norm\.", ".top.first_norm."),
    (r"\.globalatt\.dwconv\.", ".top.conv."),
    (r"\.globalatt\.fc2\.conv\.", ".top.second."),
    (r"\.globalatt\.fc2\.norm\.", ".top.second_norm."),
    (r"norm\.weight$", "norm.gamma"),
    (r"norm\.bias$", "norm.beta"),
)


def make(num_spks=2, *, filter_size=640, **options):
    return tasnet(
        "tiger",
        num_spks,
        n_filters=filter_size + 2,
        filter_size=filter_size,
        stride=filter_size // 4,
        mask="complex",
        filterbank="stft",
        filterbank_conf={"window": "hann", "padding": "reflect"},
        **{"dropout": 0.0, **options},
    )


MODELS = {
    "tiger_2spk": {
        "bottleneck_size": 8,
        "hidden_size": 6,
        "n_blocks": 2,
        "n_levels": 3,
        "n_heads": 2,
        "attention_size": 4,
    },
    "tiger_3spk": {
        "bottleneck_size": 6,
        "hidden_size": 4,
        "n_blocks": 3,
        "n_levels": 2,
        "n_heads": 1,
        "attention_size": 4,
    },
}


def golden(name):
    return NewerGolden(name, make(3 if "3spk" in name else 2, **MODELS[name]), RENAMED, unused=r"\.fuse\.2\.")


@pytest.mark.parametrize("name", MODELS)
def test_estimates(name):
    golden(name).check_estimate()


@pytest.mark.parametrize("name", marked(MODELS, quick=[]))
def test_training(name):
    golden(name).check_training()


TINY = {"bottleneck_size": 4, "hidden_size": 4, "n_blocks": 2, "n_levels": 2, "n_heads": 2, "attention_size": 2}
AT_8_KHZ = {"filter_size": 320, "sample_rate": 8000, **TINY}  # 161 frequencies: fewer bands


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bottleneck_size", 8),
        ("hidden_size", 6),
        ("n_blocks", 1),
        ("n_levels", 3),
        ("n_heads", 1),
        ("attention_size", 3),
        ("sample_rate", 4000),
        ("dropout", 0.3),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(lambda **options: make(**{**AT_8_KHZ, **options}), option, value)


def test_lengths():
    check_lengths(make(**AT_8_KHZ), 320)


@UNDER_ALL
def test_whole_utterances():
    check_whole_utterances(make(**AT_8_KHZ), 320)


@pytest.mark.parametrize(
    ("n_frequencies", "sample_rate", "groups"),
    [
        (513, 16000, [(1, 40), (6, 10), (16, 8), (32, 8), (29, 1)]),
        (481, 24000, [(1, 40), (4, 10), (10, 8), (20, 8), (161, 1)]),
        (1025, 48000, [(1, 40), (4, 10), (10, 8), (21, 8), (697, 1)]),
        (161, 8000, [(1, 40), (4, 10), (10, 8), (1, 1)]),
    ],
)
def test_bands(n_frequencies, sample_rate, groups):
    """The first three are the authors'; at 8 kHz theirs would have bands past the highest frequency."""
    assert band_groups(n_frequencies, sample_rate) == groups
    assert sum(width * n_bands for width, n_bands in groups) == n_frequencies


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filter_size": 512}, "leave bands of 25 Hz empty; kernel_size must be at least 640"),
        ({"bottleneck_size": 5}, r"bottleneck_size: expected a multiple of num_spks \(2\), got 5"),
        ({"bottleneck_size": 6, "n_heads": 4}, r"bottleneck_size: expected a multiple of n_heads \(4\), got 6"),
    ],
)
def test_what_cannot_be_built_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        make(**{**TINY, **options})


def test_masks_add_up_to_one():
    """So that the estimates add up to the mixture."""
    mixture = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    estimates = make(**AT_8_KHZ)(Tensor(mixture)).asnumpy()
    np.testing.assert_allclose(estimates.sum(axis=1), mixture, atol=1e-4)
