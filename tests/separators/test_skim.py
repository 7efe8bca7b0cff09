"""SkiM against ESPnet's and SpeechBrain's outputs; its options, lengths and parameters."""

import numpy as np
import pytest
from golden import check_lengths, check_option_has_effect, check_whole_utterances, noise, tasnet
from mindspore import Tensor
from newer_golden import NewerGolden, marked

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.chunk import segments


def renamed(n_blocks):
    """ESPnet's or SpeechBrain's names become ours; the last of the LSTMs within segments stands alone."""
    return (
        (r"encoder\.conv1d\.", "encoder."),
        (r"decoder\.convtrans1d\.", "decoder."),
        (r"^(?:separator\.skim|masknet\.model)\.", "separator."),
        (rf"\.seg_(?:lstms|model)\.{n_blocks - 1}\.", ".last."),
        (r"\.seg_(?:lstms|model)\.(\d+)\.", r".blocks.\1.segment."),
        (r"\.mem_(?:lstms|model)\.(\d+)\.", r".blocks.\1.memory."),
        (r"\.(h|c)_net\.(?:mdl\.)?", r".\1_carry."),
        (r"\.(h|c)_norm\.", r".\1_carry.norm."),
        (r"\.lstm\.", ".rnn."),
        (r"\.(?:proj|out)\.", ".dense."),
        (r"\.norm\.weight$", ".norm.gamma"),
        (r"\.norm\.bias$", ".norm.beta"),
        (r"\.output_fc\.0\.", ".prelu."),
        (r"\.output_fc\.1\.", ".mask."),
    )


K8 = {"n_filters": 8, "filter_size": 8, "encoder": "relu", "mask": "relu"}
K16 = {**K8, "filter_size": 16}
MODELS = {
    "skim_noncausal": (K8, {"n_blocks": 3, "hidden_size": 6, "chunk_size": 20}),
    # Not overlapping, whatever it is called: it was recorded with ESPnet's `seg_overlap: false`. No golden has overlap;
    # test_segments_that_overlap_are_added_up is what holds it.
    "skim_noncausal_overlap": (K8, {"n_blocks": 2, "hidden_size": 6, "chunk_size": 24}),
    "skim_causal_3spk": (K8, {"n_blocks": 3, "hidden_size": 7, "chunk_size": 16, "causal": True}),
    "skim_causal_mem_c": (
        {**K8, "n_filters": 6, "filter_size": 2, "mask": "sigmoid"},
        {"n_blocks": 2, "hidden_size": 6, "chunk_size": 50, "causal": True, "mem_type": "c"},
    ),
    "skim_speechbrain_2spk": (K16, {"n_blocks": 3, "hidden_size": 6, "chunk_size": 20}),
}


def golden(name):
    model, options = MODELS[name]
    num_spks = 3 if "3spk" in name else 2
    return NewerGolden(name, tasnet("skim", num_spks, **model, **options), renamed(options["n_blocks"]))


@pytest.mark.parametrize("name", MODELS)
def test_estimates(name):
    golden(name).check_estimate()


@pytest.mark.parametrize("name", marked(MODELS, quick=["skim_noncausal_overlap", "skim_causal_mem_c"]))
def test_training(name):
    golden(name).check_training()


SMALL = {"hidden_size": 6, "chunk_size": 20, "n_blocks": 2}


def make(num_spks=2, **options):
    return tasnet("skim", num_spks, n_filters=8, encoder="relu", **{**SMALL, **options})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hidden_size", 7),
        ("chunk_size", 21),
        ("overlap", True),
        ("n_blocks", 3),
        ("mem_type", "h"),
        ("mem_type", "c"),
        ("mem_type", "id"),
        ("mem_type", "none"),
        ("causal", True),
        ("dropout", 0.3),
    ],
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(make, option, value)


@pytest.mark.parametrize("mem_type", ["id", "none"])
def test_states_are_passed_on_or_kept_when_causal(mem_type):
    """With "id" the second LSTM starts from the states of the segment before, else from those of the same one."""
    model = make(causal=True, mem_type=mem_type)
    x = Tensor(noise(2, 50, 8))
    first, last = model.separator.blocks[0].segment, model.separator.last
    parts = segments(x, 20, overlap=False)  # [B, 3, K, N]
    zeros = first.rnn.initial_state(2)
    before, joined = zeros, []
    for number in range(3):
        y, state = first(parts[:, number], zeros)
        joined.append(last(y, before if mem_type == "id" else state)[0].asnumpy())
        before = state
    got = model.separator.before_blocks(x)
    for block in model.separator.blocks:
        got = block(got)
    flat, state = last.unpack(got)
    got = last(flat, state)[0].asnumpy().reshape(2, 3, 20, 8)
    np.testing.assert_allclose(got, np.stack(joined, axis=1), atol=1e-6)


def test_segments_that_overlap_are_added_up():
    """Without what the LSTMs add, each frame comes out twice: it is in two segments."""
    model = make(overlap=True)
    for norm in (model.separator.blocks[0].segment.norm, model.separator.last.norm):
        norm.gamma.set_data(Tensor(np.zeros(8, np.float32)))
    for n_frames in (20, 39, 50, 61):
        x = noise(1, n_frames, 8)
        expected = model.separator._logits(Tensor(2 * x)).asnumpy()
        np.testing.assert_allclose(model.separator(Tensor(x)).asnumpy(), expected, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"overlap": True, "n_blocks": 1}, {"causal": True, "mem_type": "id"}])
@pytest.mark.parametrize("num_spks", [2, 5])
def test_lengths(num_spks, options):
    check_lengths(make(num_spks, **options), 16)


@pytest.mark.parametrize("options", [{"overlap": True}, {"causal": True}])
def test_whole_utterances(options):
    check_whole_utterances(make(**options), 16)


@pytest.mark.parametrize("mem_type", ["hc", "id"])
def test_causal_does_not_look_ahead(mem_type):
    model = make(causal=True, mem_type=mem_type)
    mixture = noise(1, 800)
    changed = mixture.copy()
    changed[:, 400:] = 0
    one, other = model(Tensor(mixture)).asnumpy(), model(Tensor(changed)).asnumpy()
    assert np.array_equal(one[..., :384], other[..., :384])
    assert not np.array_equal(one[..., 400:], other[..., 400:])


def test_refuses_what_cannot_be():
    with pytest.raises(InputError, match=r"overlap: a causal model takes segments that do not overlap"):
        make(causal=True, overlap=True)
