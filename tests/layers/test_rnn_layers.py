"""Each form of each RNN against one written in NumPy; golden files of PyTorch's stand in tests/separators."""

import time

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from thorough import few

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.rnn import RNN, build_rnns_for
from mindaudio_ext.layers.rnn_backends import GRUByLoop, GRUOnAscend, LSTMOnAscend, TanhOnAscend


@pytest.fixture(autouse=True, params=few([ms.GRAPH_MODE, ms.PYNATIVE_MODE], ms.GRAPH_MODE), ids=["graph", "pynative"])
def mode(request):
    """The commands run in graph mode, a MindAudio script may run in MindSpore's default."""
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def numpy_layer(kind, x, w_ih, w_hh, b_ih, b_hh):
    """One direction in float64, with PyTorch's equations: [T, B, N] -> [T, B, H]."""
    size = w_hh.shape[1]
    h, c, outputs = np.zeros((x.shape[1], size)), np.zeros((x.shape[1], size)), []
    for x_t in x.astype(np.float64):
        u, v = x_t @ w_ih.T + b_ih, h @ w_hh.T + b_hh
        if kind == "LSTM":
            i, f, g, o = np.split(u + v, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif kind == "GRU":
            (u_r, u_z, u_n), (v_r, v_z, v_n) = np.split(u, 3, axis=1), np.split(v, 3, axis=1)
            n, z = np.tanh(u_n + sigmoid(u_r + v_r) * v_n), sigmoid(u_z + v_z)
            h = (1 - z) * n + z * h
        else:
            h = np.tanh(u + v)
        outputs.append(h)
    return np.stack(outputs)


def numpy_rnn(kind, values, x, *, n_layers, bidirectional):
    for layer in range(n_layers):
        outputs = []
        for suffix, step in (("", 1), ("_reverse", -1))[: 1 + bidirectional]:
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            parameters = [values[f"{name}_l{layer}{suffix}"].astype(np.float64) for name in names]
            outputs.append(numpy_layer(kind, x[::step], *parameters)[::step])
        x = np.concatenate(outputs, axis=-1)
    return x


def values_of(rnn):
    return {p.name: p.asnumpy() for p in rnn.get_parameters()}


def steps(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("target", ["CPU", "portable"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_outputs_are_numpys(kind, target, bidirectional):
    with build_rnns_for(target):
        rnn = RNN(kind.lower(), 5, 4, num_layers=2, bidirectional=bidirectional)
    x = steps(7, 3, 5)
    expected = numpy_rnn(kind, values_of(rnn), x, n_layers=2, bidirectional=bidirectional)
    assert np.abs(rnn(Tensor(x)).asnumpy() - expected).max() < 2e-6


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_gradients_are_difference_quotients(kind):
    rnn = RNN(kind, 3, 2, bidirectional=True)
    x, weights = steps(5, 2, 3), steps(5, 2, 4, seed=1)
    factors = Tensor(weights)

    def weighted(x):
        return (rnn(x) * factors).sum()

    grads = ms.grad(weighted, 0, rnn.trainable_params())(Tensor(x))
    values = values_of(rnn)
    arrays = {"x": x.astype(np.float64), **{name: value.astype(np.float64) for name, value in values.items()}}
    given = {"x": grads[0], **{p.name: g for p, g in zip(rnn.trainable_params(), grads[1])}}
    for name, array in arrays.items():
        for index in np.ndindex(array.shape):
            ends = []
            for change in (1e-5, -1e-5):
                moved = {**arrays, name: array.copy()}
                moved[name][index] += change
                ends.append((numpy_rnn(kind, moved, moved["x"], n_layers=1, bidirectional=True) * weights).sum())
            assert given[name].asnumpy()[index] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=2e-5), name


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_one_hundred_steps_compile_in_seconds(kind):
    rnn = RNN(kind, 64, 64)

    def total(x):
        return rnn(x).sum()

    start = time.perf_counter()
    grads = ms.grad(total, 0, rnn.trainable_params())(Tensor(steps(100, 64, 64)))
    assert np.isfinite(grads[0].asnumpy()).all()
    assert time.perf_counter() - start < 20  # unrolled it is a minute and more


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_one_graph_runs_on_any_number_of_steps(kind):
    rnn = RNN(kind, 5, 4)
    expected = [rnn(Tensor(steps(n, 3, 5))).asnumpy() for n in (1, 9)]
    rnn.set_inputs(Tensor(shape=[None, 3, 5], dtype=ms.float32))
    for n, outputs in zip((1, 9), expected):
        assert np.abs(rnn(Tensor(steps(n, 3, 5))).asnumpy() - outputs).max() < 1e-6


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("target", ["CPU", "Ascend"])
def test_parameters_are_pytorchs_on_every_device(target, kind, gates):
    with build_rnns_for(target):
        rnn = RNN(kind, 5, 4, num_layers=2, bidirectional=True)
    shapes = {}
    for layer, width in enumerate((5, 8)):
        for suffix in (f"_l{layer}", f"_l{layer}_reverse"):
            rows = 4 * gates
            shapes |= {"weight_ih" + suffix: (rows, width), "weight_hh" + suffix: (rows, 4)}
            shapes |= {"bias_ih" + suffix: (rows,), "bias_hh" + suffix: (rows,)}
    assert {p.name: p.shape for p in rnn.trainable_params()} == shapes
    for value in values_of(rnn).values():
        assert 0 < np.abs(value).max() <= 4**-0.5


def test_dropout_acts_between_layers_in_training_only():
    x = Tensor(steps(6, 2, 5))
    dropping, single = RNN("GRU", 5, 4, num_layers=2, dropout=0.5), RNN("GRU", 5, 4, dropout=0.5)
    for rnn in (dropping, single):
        rnn.set_train(False)
        assert np.array_equal(rnn(x).asnumpy(), rnn(x).asnumpy())
        rnn.set_train(True)
    assert not np.array_equal(dropping(x).asnumpy(), dropping(x).asnumpy())
    assert np.array_equal(single(x).asnumpy(), single(x).asnumpy())


def test_an_unknown_type_or_target_is_refused():
    with pytest.raises(InputError, match="rnn_type: no RNN is called 'QRNN'; known: LSTM, GRU, RNN"):
        RNN("QRNN", 5, 4)
    with pytest.raises(ValueError, match="no RNN runs on 'GPU'"), build_rnns_for("GPU"):
        pass


class NumpyDynamicRNN(nn.Cell):
    """Ascend's operator as its documentation has it (forget bias 0, gates i, j, f, o), in float64."""

    def construct(self, x, weight, bias, _, h, c):
        x, weight, bias, h, c = (v.asnumpy().astype(np.float64) for v in (x, weight, bias, h[0], c[0]))
        outputs, cells = [], []
        for x_t in x:
            i, j, f, o = np.split(np.concatenate((x_t, h), axis=1) @ weight + bias, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
            cells.append(c)
        y, last_y, last_c = (Tensor(np.stack(values).astype(np.float32)) for values in (outputs, outputs, cells))
        return y, last_y, last_c


class NumpyDynamicGRU(nn.Cell):
    """Ascend's operator as its documentation has it (gate order rzh, reset after the product), in float64."""

    def construct(self, x, w_x, w_h, b_x, b_h, _, h):
        x, w_x, w_h, b_x, b_h, h = (v.asnumpy().astype(np.float64) for v in (x, w_x, w_h, b_x, b_h, h))
        assert h.shape[1] % 16 == 0
        outputs = []
        for x_t in x:
            (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(x_t @ w_x + b_x, 3, axis=1), np.split(h @ w_h + b_h, 3, axis=1)
            z = sigmoid(x_z + h_z)
            h = (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h
            outputs.append(h)
        return (Tensor(np.stack(outputs).astype(np.float32)),)


@pytest.mark.parametrize(
    ("kind", "form", "operator"),
    [
        ("LSTM", LSTMOnAscend, NumpyDynamicRNN),
        ("RNN", TanhOnAscend, NumpyDynamicRNN),
        ("GRU", GRUOnAscend, NumpyDynamicGRU),
    ],
)
def test_what_ascend_is_handed_makes_the_same_rnn(kind, form, operator):
    """The packing is checked with the operator replaced by NumPy; what is left is the rounding to float16."""
    with build_rnns_for("Ascend"):
        rnn = RNN(kind, 5, 4, bidirectional=True)
    run = rnn.runs[0]
    assert type(run) is form
    if kind == "GRU":
        run.gru = operator()
    else:
        (run.lstm if kind == "RNN" else run).lstm = operator()
    x = steps(7, 3, 5)
    expected = numpy_rnn(kind, values_of(rnn), x, n_layers=1, bidirectional=True)
    ms.set_context(mode=ms.PYNATIVE_MODE)  # for the stand-in, which is no graph
    outputs = rnn(Tensor(x)).asnumpy()
    assert np.abs(outputs - expected).max() < 5e-3


@pytest.mark.parametrize(
    ("kind", "operator"), [("LSTM", b"DynamicRNN"), ("RNN", b"DynamicRNN"), ("GRU", b"DynamicGRUV2")]
)
def test_the_ascend_form_is_exported_on_a_cpu(kind, operator, tmp_path):
    with build_rnns_for("Ascend"):
        rnn = RNN(kind, 5, 16)
    ms.export(rnn, Tensor(steps(7, 3, 5)), file_name=str(tmp_path / "rnn"), file_format="MINDIR")
    assert operator in (tmp_path / "rnn.mindir").read_bytes()


def test_the_portable_gru_is_exported_and_runs_again(tmp_path):
    with build_rnns_for("portable"):
        rnn = RNN("GRU", 5, 4)
    assert type(rnn.runs[0]) is GRUByLoop
    x = Tensor(steps(7, 3, 5))
    ms.export(rnn, x, file_name=str(tmp_path / "rnn"), file_format="MINDIR")
    loaded = nn.GraphCell(ms.load(str(tmp_path / "rnn.mindir")))
    assert np.abs(loaded(x).asnumpy() - rnn(x).asnumpy()).max() < 1e-6
    assert ops.shape(loaded(x)) == (7, 3, 8)
