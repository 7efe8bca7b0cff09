"""DPRNN's options have an effect; any number of sources and length; every parameter trains."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from thorough import few

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.rnn import build_rnns_for
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.models.evaluation import WholeUtterance
from mindaudio_ext.models.tasnet import TasNet
from mindaudio_ext.separators.dprnn import DPRNN

SMALL = {"bottleneck_size": 4, "hidden_size": 3, "chunk_size": 6, "n_blocks": 1}


@pytest.fixture(autouse=True)
def graph_mode():
    """The commands' mode; MindSpore's own default is PyNative."""
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def model(num_spks=2, mask_activation="relu", **options):
    ms.set_seed(0)
    return TasNet(
        separator="dprnn",
        separator_conf={**SMALL, **options},
        num_spks=num_spks,
        n_filters=5,
        kernel_size=8,
        stride=None,
        encoder_activation="linear",
        mask_activation=mask_activation,
    )


def speech(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def n_parameters(cell):
    return sum(p.size for p in cell.trainable_params())


def logits(training=False, **options):
    """Mask logits of a separator whose parameters of one name and shape are the same whatever the options."""
    separator = DPRNN(5, 2, **{**SMALL, **options})
    for p in separator.get_parameters():
        p.set_data(Tensor(0.5 * speech(*p.shape, seed=len(p.name))))
    separator.set_train(training)
    return separator, separator(Tensor(speech(2, 31, 5))).asnumpy()


def loss_of(tasnet):
    loss_fn = PITLoss(num_spks=tasnet.num_spks)

    def forward(mixture, sources, lengths):
        return loss_fn(tasnet(mixture), sources, lengths)

    return forward


BASE = {"rnn_layers": 2}


OPTIONS = [
    {"bottleneck_size": 5},
    {"hidden_size": 4},
    {"chunk_size": 8},
    {"hop_size": 2},
    {"n_blocks": 2},
    {"rnn_type": "GRU"},
    {"rnn_type": "RNN"},
    {"norm": "cLN"},
    {"norm": "cgLN"},
    {"norm": "LN"},
    {"bidirectional": False},
    {"rnn_layers": 1},
]
SHOWN = ({"hop_size": 2}, {"n_blocks": 2}, {"rnn_type": "GRU"}, {"norm": "cLN"}, {"bidirectional": False})


@pytest.mark.parametrize("change", few(OPTIONS, *SHOWN), ids=str)
def test_each_option_changes_the_network(change):
    (base, before), (other, after) = logits(**BASE), logits(**{**BASE, **change})
    assert n_parameters(base) != n_parameters(other) or np.abs(before - after).max() > 1e-3


def test_dropout_changes_the_output_in_training_only():
    (_, still), (_, trained) = logits(**BASE), logits(training=True, **BASE, dropout=0.5)
    assert np.array_equal(still, logits(**BASE, dropout=0.5)[1])
    assert np.abs(still - trained).max() > 1e-3


@pytest.mark.parametrize("norm", ["cLN", "cgLN", "LN"])
def test_the_past_ends_with_the_chunk_without_the_backward_rnn(norm):
    separator, before = logits(norm=norm, bidirectional=False)
    features = speech(2, 31, 5)
    features[:, 18:] = speech(2, 13, 5, seed=9)  # out of reach of the chunks that hold frame 11
    after = separator(Tensor(features)).asnumpy()
    assert np.array_equal(before[:, :, :12], after[:, :, :12])
    assert np.abs(before[:, :, 18:] - after[:, :, 18:]).max() > 1e-3


@pytest.mark.parametrize(("num_spks", "mask_activation"), [(2, "relu"), (3, "sigmoid"), (4, "softmax"), (5, "relu")])
def test_sources_and_masks(num_spks, mask_activation):
    outputs = model(num_spks, mask_activation)(Tensor(speech(2, 203))).asnumpy()
    assert outputs.shape == (2, num_spks, 203)
    assert np.isfinite(outputs).all()
    assert np.abs(outputs).max() > 0


@pytest.mark.parametrize(
    ("rnn_type", "chunk_size", "hop_size"),
    few(
        [("LSTM", 6, None), ("GRU", 7, 3), ("RNN", 7, 7), ("GRU", 6, None), ("LSTM", 6, 1)],
        *[("GRU", 7, 3)],
    ),
)
def test_any_length_batch_chunk_and_hop(rnn_type, chunk_size, hop_size):
    tasnet = model(rnn_type=rnn_type, chunk_size=chunk_size, hop_size=hop_size)
    whole = WholeUtterance(tasnet, eager_seconds=0)
    for n_samples in (9, 13, 101):
        mixture = speech(3, n_samples)
        together = tasnet(Tensor(mixture)).asnumpy()
        assert together.shape == (3, 2, n_samples)
        alone = whole.separate(mixture[1])
        assert alone.shape == (2, n_samples)
        assert np.abs(alone - together[1]).max() < 1e-5 * np.abs(together).max()


@pytest.mark.parametrize("rnn_type", few(["LSTM", "GRU", "RNN"], "LSTM"))
def test_a_minute(rnn_type):
    n_samples = 60 * 8000 + 1
    estimates = WholeUtterance(model(rnn_type=rnn_type, chunk_size=300, norm="cgLN"), eager_seconds=0).separate(
        speech(n_samples)
    )
    assert estimates.shape == (2, n_samples)
    assert np.isfinite(estimates).all()


@pytest.mark.parametrize(
    ("rnn_type", "norm"),
    few([("LSTM", "gLN"), ("GRU", "cLN"), ("RNN", "cgLN"), ("LSTM", "LN")], ("LSTM", "gLN"), ("GRU", "cLN")),
)
def test_every_parameter_has_a_gradient_and_moves(rnn_type, norm):
    tasnet = model(rnn_type=rnn_type, norm=norm, rnn_layers=2, n_blocks=2)
    optimizer = nn.Adam(tasnet.trainable_params(), 1e-3)
    before = {p.name: p.asnumpy().copy() for p in tasnet.get_parameters()}
    assert {p.name for p in tasnet.trainable_params()} == set(before)
    grad_fn = ms.value_and_grad(loss_of(tasnet), None, optimizer.parameters)
    sources = speech(2, 2, 203, seed=1)
    _, grads = grad_fn(Tensor(sources.sum(1)), Tensor(sources), Tensor(np.full(2, 203, np.int32)))
    optimizer(grads)
    for parameter, grad in zip(tasnet.trainable_params(), grads):
        assert np.isfinite(grad.asnumpy()).all(), parameter.name
        assert np.abs(grad.asnumpy()).max() > 0, parameter.name
        assert np.abs(parameter.asnumpy() - before[parameter.name]).max() > 0, parameter.name


def test_the_portable_gru_makes_the_same_network():
    options = {"rnn_type": "GRU", "chunk_size": 20, "n_blocks": 2}
    tasnet, mixture = model(**options), Tensor(speech(1, 803))
    with build_rnns_for("portable"):
        portable = model(**options)
    ms.load_param_into_net(portable, {p.name: p for p in tasnet.get_parameters()}, strict_load=True)
    expected = tasnet(mixture).asnumpy()
    assert np.abs(portable(mixture).asnumpy() - expected).max() < 1e-5 * np.abs(expected).max()


def test_wrong_options_are_refused():
    for options, message in (
        ({"rnn_type": "QRNN"}, "rnn_type: no RNN is called 'QRNN'"),
        ({"norm": "BN"}, "norm: no normalisation is called 'BN'"),
        ({"hop_size": 7}, r"hop_size: must be at most chunk_size \(6\), got 7"),
    ):
        with pytest.raises(InputError, match=message):
            DPRNN(5, 2, **{**SMALL, **options})
