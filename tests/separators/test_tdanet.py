"""TDANet against its authors' outputs, both published classes; its options, lengths and parameters."""

import numpy as np
import pytest
from golden import check_lengths, check_option_has_effect, check_whole_utterances, tasnet
from mindspore import Tensor
from newer_golden import NewerGolden, marked
from thorough import UNDER_ALL

from mindaudio_ext.layers.pool import average_to, nearest_to

RENAMED = (  # the authors' names are ours after these replacements, in order
    (r"^ln\.", "separator.input_norm."),
    (r"^bottleneck\.", "separator.bottleneck."),
    (r"^sm\.concat_block\.0\.", "separator.join."),
    (r"^sm\.concat_block\.1\.", "separator.join_prelu."),
    (r"^mask_net\.0\.", "separator.prelu."),
    (r"^mask_net\.1\.", "separator.mask."),
    (r"^sm\.unet\.", "separator.block."),
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
    (r"\.globalatt\.attn\.attn_in_norm\.", ".top.attention_norm."),
    (r"\.globalatt\.attn\.norm\.", ".top.result_norm."),
    (r"\.globalatt\.attn\.attn\.in_proj_", ".top.attention.in_proj."),
    (r"\.globalatt\.attn\.attn\.", ".top.attention."),
    (r"\.globalatt\.mlp\.fc1\.conv\.", ".top.widen."),
    (r"\.globalatt\.mlp\.fc1\.norm\.", ".top.widen_norm."),
    (r"\.globalatt\.mlp\.dwconv\.", ".top.conv."),
    (r"\.globalatt\.mlp\.fc2\.conv\.", ".top.narrow."),
    (r"\.globalatt\.mlp\.fc2\.norm\.", ".top.narrow_norm."),
    (r"norm\.weight$", "norm.gamma"),
    (r"norm\.bias$", "norm.beta"),
)
SMALL = {"bottleneck_size": 8, "hidden_size": 16, "n_blocks": 3, "n_levels": 4, "dropout": 0.0}


def make(num_spks=2, *, filter_size=32, **options):
    return tasnet(
        "tdanet",
        num_spks,
        n_filters=filter_size // 2 + 1,
        filter_size=filter_size,
        stride=filter_size // 4,
        mask="relu",
        filterbank="mixing_conv",
        **{**SMALL, **options},
    )


MODELS = {
    "tdanet_2spk": {},
    "tdanet_3spk": {"filter_size": 16, "n_blocks": 2, "n_levels": 5},
    "tdanet_best_2spk": {"n_levels": 3, "fusion": "gated"},
}


def golden(name):
    model = make(3 if "3spk" in name else 2, **MODELS[name])
    return NewerGolden(name, model, RENAMED, unused=r"\.fuse\.2\.")


@pytest.mark.parametrize("name", MODELS)
def test_estimates(name):
    golden(name).check_estimate()
    golden(name).check_estimate("batch2/estimate_official_each_alone", "batch2/mixture")


@pytest.mark.parametrize("name", marked(MODELS, quick=["tdanet_best_2spk"]))
def test_training(name):
    golden(name).check_training()


TINY = {"n_blocks": 2, "n_levels": 3}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bottleneck_size", 6),
        ("hidden_size", 24),
        ("n_blocks", 1),
        ("n_levels", 2),
        ("fusion", "gated"),
        ("dropout", 0.3),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(lambda **options: make(**{**TINY, **options}), option, value)


@pytest.mark.parametrize("num_spks", [2, 5])
def test_lengths(num_spks):
    check_lengths(make(num_spks, **TINY), 32)


@UNDER_ALL
def test_whole_utterances():
    check_whole_utterances(make(**TINY), 32)


def test_heads_matter_for_dropout():
    check_option_has_effect(lambda **options: make(**{**TINY, "dropout": 0.3, **options}), "n_heads", 4)


def test_two_levels():
    """Then the coarser level is what the finer one takes."""
    check_lengths(make(n_blocks=2, n_levels=2), 32)


@pytest.mark.parametrize(("n_given", "n_frames", "factor"), [(16, 4, 4), (17, 5, 4), (13, 7, 2), (33, 3, 16)])
def test_means_and_nearest_frames(n_given, n_frames, factor):
    x = np.random.default_rng(0).standard_normal((2, n_given, 3)).astype(np.float32)
    bounds = [(i * n_given // n_frames, -(-(i + 1) * n_given // n_frames)) for i in range(n_frames)]
    means = np.stack([x[:, start:end].mean(axis=1) for start, end in bounds], axis=1)
    np.testing.assert_allclose(average_to(Tensor(x), n_frames, factor).asnumpy(), means, atol=1e-6)
    for long in (means, x):
        for size in (n_given, n_frames):
            places = [i * long.shape[1] // size for i in range(size)]
            np.testing.assert_array_equal(nearest_to(Tensor(long), size).asnumpy(), long[:, places])
