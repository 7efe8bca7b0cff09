"""LSTM-TasNet against Asteroid's outputs; its options, lengths and parameters, and the gated encoder."""

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
from mindspore import Parameter, Tensor, nn, ops

RENAMED = (  # Asteroid's names are ours after these replacements, in order
    ("encoder.encoder_sig.filterbank._filters", "encoder.gate_weight"),
    ("encoder.encoder_relu.filterbank._filters", "encoder.weight"),  # the next line's, stored twice
    ("encoder.filterbank._filters", "encoder.weight"),
    ("decoder.filterbank._filters", "decoder.weight"),
    ("masker.bn_layer.", "separator.input_norm."),
    ("masker.masker.0.rnn.", "separator.rnn."),
    ("masker.masker.1.", "separator.mask."),
)
SMALL = {"hidden_size": 8, "rnn_layers": 2}


def make(num_spks=2, **options):
    return tasnet("rnn", num_spks, n_filters=12, encoder="gated", **{**SMALL, **options})


class StoredDropout(nn.Cell):
    """Stands for the dropout between the two LSTM layers with what PyTorch drew when the golden file was made.

    The file's model was training, with dropout 0.3, under torch.manual_seed(1103), and 11 896 numbers were drawn before
    the first pass. PyTorch's generator is MT19937, as NumPy's is; of two numbers it makes one of 53 bits.
    """

    def __init__(self):
        super().__init__()
        self.shape = (249, 2, 16)  # [L, B, D * H]
        words = np.frombuffer(np.random.RandomState(1103).bytes(4 * (11_896 + 7 * 2 * 249 * 2 * 16)), "<u4")[11_896:]
        high, low = words.astype(np.uint64).reshape(-1, 2).T
        uniform = ((high << 32 | low) & np.uint64(2**53 - 1)) / 2**53
        self.drawn = iter((uniform < 0.7).reshape(7, *self.shape))
        self.factors = Parameter(Tensor(np.ones(self.shape, np.float32)), name="factors", requires_grad=False)

    def draw(self):
        ops.assign(self.factors, Tensor((next(self.drawn) / 0.7).astype(np.float32)))

    def construct(self, x):
        return x * self.factors


def test_golden():
    golden = Golden("lstmtasnet", make(), RENAMED)
    dropout = golden.model.separator.rnn.dropout = StoredDropout()
    dropout.draw()
    golden.check_estimate()
    golden.check_gradients()
    golden.check_five_adam_steps(before_step=dropout.draw)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("encoder", ["gated", "linear"])
def test_every_parameter_moves(encoder, bidirectional):
    check_every_parameter_moves(tasnet("rnn", encoder=encoder, bidirectional=bidirectional, **SMALL))


@pytest.mark.parametrize(
    ("option", "value"), [("hidden_size", 7), ("rnn_layers", 1), ("bidirectional", False), ("dropout", 0.0)]
)
def test_options_have_an_effect(option, value):
    check_option_has_effect(make, option, value)


@pytest.mark.parametrize("num_spks", [2, 5])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_lengths(num_spks, bidirectional):
    check_lengths(make(num_spks, bidirectional=bidirectional), 16)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_whole_utterances(bidirectional):
    check_whole_utterances(make(bidirectional=bidirectional), 16)


def test_one_direction_does_not_look_ahead():
    model = make(bidirectional=False)
    mixture = noise(1, 800)
    changed = mixture.copy()
    changed[:, 400:] = 0
    one, other = model(Tensor(mixture)).asnumpy(), model(Tensor(changed)).asnumpy()
    assert np.array_equal(one[..., :384], other[..., :384])
    assert not np.array_equal(one[..., 400:], other[..., 400:])


@pytest.mark.parametrize("activation", ["linear", "relu", "gated"])
def test_encoder(activation):
    encoder = tasnet("rnn", encoder=activation, **SMALL).encoder
    frames = np.lib.stride_tricks.sliding_window_view(noise(2, 64), 16, axis=1)[:, ::8]  # [B, L, kernel]
    expected = frames @ encoder.weight.asnumpy().T
    if activation != "linear":
        expected = np.maximum(expected, 0)
    if activation == "gated":
        expected /= 1 + np.exp(-frames @ encoder.gate_weight.asnumpy().T)
    np.testing.assert_allclose(encoder(Tensor(noise(2, 64))).asnumpy(), expected, rtol=1e-4, atol=1e-6)
    assert hasattr(encoder, "gate_weight") == (activation == "gated")
