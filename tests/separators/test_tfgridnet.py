"""TF-GridNet against ESPnet's outputs; its options, lengths and parameters."""

import numpy as np
import pytest
from golden import check_lengths, check_option_has_effect, check_whole_utterances, noise, tasnet
from mindspore import Tensor
from newer_golden import NewerGolden, marked
from thorough import few

from mindaudio_ext.errors import InputError
from mindaudio_ext.separators.tfgridnet import fill_up

RENAMED = (  # ESPnet's names are ours after these replacements, in order
    (r"\.conv\.0\.", ".input."),
    (r"\.conv\.1\.weight", ".input_norm.gamma"),
    (r"\.conv\.1\.bias", ".input_norm.beta"),
    (r"\.deconv\.", ".output."),
    (r"\.intra_norm\.weight", ".along_frequencies.norm.gamma"),
    (r"\.intra_norm\.bias", ".along_frequencies.norm.beta"),
    (r"\.inter_norm\.weight", ".along_frames.norm.gamma"),
    (r"\.inter_norm\.bias", ".along_frames.norm.beta"),
    (r"\.intra_rnn\.", ".along_frequencies.rnn."),
    (r"\.inter_rnn\.", ".along_frames.rnn."),
    (r"\.intra_linear\.", ".along_frequencies.fold."),
    (r"\.inter_linear\.", ".along_frames.fold."),
    (r"\.attn_norm_(.)\.act\.", r".attn_\1.prelu."),
    (r"\.attn_norm_(.)\.", r".attn_\1.norm."),
    (r"\.attn_conv_(.)\.", r".attn_\1.dense."),
    (r"\.attn_Q\.", ".attention.query."),
    (r"\.attn_K\.", ".attention.key."),
    (r"\.attn_V\.", ".attention.value."),
    (r"\.attn_concat_proj\.0\.", ".attention.output.dense."),
    (r"\.attn_concat_proj\.1\.", ".attention.output.prelu."),
    (r"\.attn_concat_proj\.2\.", ".attention.output.norm."),
)
SIZES = {"bottleneck_size": 6, "hidden_size": 5, "n_blocks": 2, "n_heads": 2, "attention_size": 40}
MODELS = {
    "tfgridnetv2": {"unfold_size": 4, "unfold_hop": 1},
    "tfgridnetv2_ks_equals_hs": {"unfold_size": 2, "unfold_hop": 2},
}


def make(num_spks=2, *, filter_size=32, **options):
    return tasnet(
        "tfgridnet",
        num_spks,
        n_filters=filter_size + 2,
        filter_size=filter_size,
        mask="mapping",
        filterbank="stft",
        filterbank_conf={"window": "hann", "padding": "reflect"},
        normalize_variance=True,
        **options,
    )


def golden(name):
    return NewerGolden(name, make(**SIZES, **MODELS[name]), RENAMED)


@pytest.mark.parametrize("name", MODELS)
def test_estimates(name):
    golden(name).check_estimate()


@pytest.mark.parametrize("name", MODELS)
def test_training(name):
    golden(name).check_training(compiled=False)


@pytest.mark.parametrize("name", marked(MODELS, quick=[]))
def test_training_in_a_graph(name):
    golden(name).check_training()


TINY = {"bottleneck_size": 4, "hidden_size": 3, "n_blocks": 1, "n_heads": 2, "attention_size": 12}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bottleneck_size", 6),
        ("hidden_size", 4),
        ("n_blocks", 2),
        ("n_heads", 1),
        ("attention_size", 20),
        ("unfold_size", 3),
        ("unfold_hop", 2),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(lambda **options: make(filter_size=16, **{**TINY, **options}), option, value)


@pytest.mark.parametrize("num_spks", [2, 5])
def test_lengths(num_spks):
    """Also where steps of the LSTMs do not come out even: 9 frequencies, 3 at a time every 2."""
    check_lengths(make(num_spks, filter_size=16, **TINY, unfold_size=3, unfold_hop=2), 16)


@pytest.mark.parametrize("options", few([{}, {"unfold_size": 3, "unfold_hop": 3}], {}))
def test_whole_utterances(options):
    check_whole_utterances(make(filter_size=16, **TINY, **options), 16)


def test_the_ends_of_a_sequence_are_filled_up():
    x = Tensor(np.arange(1, 6, dtype=np.float32).reshape(1, 5, 1))
    for (size, hop), expected in {
        (3, 1): [0, 0, 1, 2, 3, 4, 5, 0, 0],
        (3, 2): [0, 1, 2, 3, 4, 5, 0],
        (4, 3): [0, 1, 2, 3, 4, 5, 0],
        (2, 2): [1, 2, 3, 4, 5, 0],
        (5, 5): [1, 2, 3, 4, 5],
        (8, 8): [1, 2, 3, 4, 5, 0, 0, 0],
    }.items():
        np.testing.assert_array_equal(fill_up(x, size, hop).asnumpy().reshape(-1), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bottleneck_size": 5}, r"separator_conf.bottleneck_size: must be a multiple of n_heads \(2\), got 5"),
        ({"unfold_hop": 5}, r"separator_conf.unfold_hop: must be at most unfold_size \(4\), got 5"),
    ],
)
def test_what_cannot_be_built_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        make(**{**TINY, **options})


def test_an_odd_number_of_features_is_refused():
    with pytest.raises(InputError, match="n_filters: tfgridnet needs real and imaginary parts, an even number; got 9"):
        tasnet("tfgridnet", n_filters=9, mask="mapping", **TINY)


def test_the_level_of_a_mixture_is_that_of_its_estimates():
    """And silence gives silence."""
    model, mixture = make(filter_size=16, **TINY), noise(1, 500)
    expected = model(Tensor(mixture)).asnumpy()
    levels = np.array([[1.0], [1e-3], [0.0]], np.float32)
    estimates = model(Tensor(levels * mixture)).asnumpy()
    peak = np.abs(expected).max()
    np.testing.assert_allclose(estimates, levels[:, :, None] * expected, rtol=0, atol=1e-6 * peak)
    np.testing.assert_allclose(estimates[1], 1e-3 * expected[0], rtol=0, atol=1e-8 * peak)
