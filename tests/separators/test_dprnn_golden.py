"""DPRNN against Asteroid 0.7's outputs, stored in tests/golden: estimate, loss, gradients, and five steps of Adam.

The initial parameters are those of the `.pth` files; the `param/` arrays in the `.npz` are those after the five steps.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.models.tasnet import TasNet

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = {
    "dprnn_gln_lstm": {
        "separator_conf": {"bottleneck_size": 10, "hidden_size": 7, "chunk_size": 20, "n_blocks": 2},
        "n_filters": 12,
        "kernel_size": 16,
        "mask_activation": "relu",
    },
    "dprnn_gln_lstm_k2": {
        "separator_conf": {"bottleneck_size": 6, "hidden_size": 5, "chunk_size": 50, "n_blocks": 1},
        "n_filters": 8,
        "kernel_size": 2,
        "mask_activation": "sigmoid",
    },
    "dprnn_cln_gru_uni_3src": {
        "num_spks": 3,
        "separator_conf": {
            "bottleneck_size": 6,
            "hidden_size": 5,
            "chunk_size": 24,
            "n_blocks": 2,
            "norm": "cLN",
            "bidirectional": False,
            "rnn_type": "GRU",
        },
        "n_filters": 8,
        "kernel_size": 8,
        "mask_activation": "sigmoid",
    },
    "dprnn_gln_rnn_hop": {
        "separator_conf": {
            "bottleneck_size": 6,
            "hidden_size": 5,
            "chunk_size": 20,
            "hop_size": 10,
            "n_blocks": 1,
            "rnn_type": "RNN",
            "rnn_layers": 2,
        },
        "n_filters": 8,
        "kernel_size": 16,
        "mask_activation": "sigmoid",
    },
}
RENAMED = (  # Asteroid's names are ours after these replacements, in order
    ("encoder.filterbank._filters", "encoder.weight"),
    ("decoder.filterbank._filters", "decoder.weight"),
    ("masker.bottleneck.0.", "separator.input_norm."),
    ("masker.bottleneck.1.", "separator.bottleneck."),
    ("masker.net.", "separator.blocks."),
    ("masker.first_out.0.weight", "separator.prelu.weight"),
    ("masker.first_out.1.", "separator.expand."),
    ("masker.net_out.0.", "separator.output."),
    ("masker.net_gate.0.", "separator.gate."),
    ("masker.mask_net.", "separator.mask."),
    ("_RNN.rnn.", "_rnn."),
    ("_linear.", "_dense."),
)


@pytest.fixture(autouse=True)
def graph_mode():
    """The commands' mode; MindSpore's own default is PyNative."""
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def our_name(name: str) -> str:
    for theirs, ours in RENAMED:
        name = name.replace(theirs, ours)
    return name


@pytest.fixture(params=MODELS)
def case(request):
    golden = dict(np.load(GOLDEN / f"{request.param}.npz"))
    options = {"num_spks": 2, "stride": None, "encoder_activation": "linear", **MODELS[request.param]}
    model = TasNet(separator="dprnn", **options)
    parameters = {p.name: p for p in model.get_parameters()}
    state = read_torch_file(GOLDEN / f"{request.param}.pth")["state_dict"]
    theirs = {our_name(name): value for name, value in state.items()}
    assert set(theirs) == set(parameters)
    for name, value in theirs.items():
        parameters[name].set_data(Tensor(value.reshape(parameters[name].shape)))
    return golden, model


def loss_of(tasnet):
    loss_fn = PITLoss(num_spks=tasnet.num_spks)

    def forward(mixture, sources, lengths):
        return loss_fn(tasnet(mixture), sources, lengths)

    return forward


def batch(golden):
    mixture, sources = golden["mixture"], golden["sources"]
    lengths = np.full(len(mixture), mixture.shape[-1], np.int32)
    return Tensor(mixture), Tensor(sources), Tensor(lengths)


def test_estimate_loss_and_gradients(case):
    golden, model = case
    mixture, sources, lengths = batch(golden)
    estimate = model(mixture).asnumpy()
    assert np.abs(estimate - golden["estimate"]).max() < 1e-5 * np.abs(golden["estimate"]).max()

    grad_fn = ms.value_and_grad(loss_of(model), None, model.trainable_params())
    loss, grads = grad_fn(mixture, sources, lengths)
    assert abs(float(loss) - golden["loss"]) < 1e-4
    theirs = {our_name(k[5:]): v for k, v in golden.items() if k.startswith("grad/")}
    for parameter, grad in zip(model.trainable_params(), grads):
        expected = theirs.pop(parameter.name).reshape(grad.shape)
        assert np.abs(grad.asnumpy() - expected).max() < 1e-4 * np.abs(expected).max(), parameter.name
    assert not theirs


def test_five_adam_steps(case):
    golden, model = case
    mixture, sources, lengths = batch(golden)
    optimizer = nn.Adam(model.trainable_params(), 1e-3)
    grad_fn = ms.value_and_grad(loss_of(model), None, optimizer.parameters)
    losses = []
    for _ in range(6):
        loss, grads = grad_fn(mixture, sources, lengths)
        losses.append(float(loss))
        optimizer(ops.clip_by_global_norm(grads, 5.0))
    assert np.abs(np.array(losses) - golden["loss_5_adam_steps_lr1e-3_clip5"]).max() < 1e-3
