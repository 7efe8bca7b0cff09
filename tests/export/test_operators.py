"""Every operator of the interpreter: against MindSpore's own on the CPU, or a layer that computes the same."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops
from mindspore.ops import operations as P

from mindaudio_ext.export.ascend import ALLOWED
from mindaudio_ext.export.graph import FLOAT16, FLOAT32
from mindaudio_ext.export.operators import OPERATORS, call
from mindaudio_ext.layers.rnn import RNN
from mindaudio_ext.layers.rnn_backends import GRUOnAscend, LSTMOnAscend

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


X, Y = noise(2, 3, 4), noise(2, 3, 4)
PLACES = np.array([2, 0, 1, 1], np.int32)
# Arguments as a MindIR has them, the primitive that MindSpore runs, and the attributes that the MindIR gives it.
CASES = {
    "Abs": ([X], P.Abs(), {}),
    "Add": ([X, noise(4)], P.Add(), {}),
    "BatchMatMul": ([X, noise(2, 5, 4), False, True], lambda a, b, *_: P.BatchMatMul(transpose_b=True)(a, b), {}),
    "BiasAdd": ([noise(5, 3), noise(3), 0], lambda x, b, _: P.BiasAdd()(x, b), {}),
    "Cast": ([X, FLOAT16], lambda x, _: P.Cast()(x, ms.float16), {}),
    "Concat": ([(X, noise(2, 1, 4)), 1], lambda parts, axis: P.Concat(axis)(parts), {}),
    "Cos": ([X], P.Cos(), {}),
    "CumSum": ([X, 1, False, False], lambda x, axis, *_: P.CumSum()(x, axis), {}),
    "Div": ([X, noise(4)], P.Div(), {}),
    "Divs": ([X, 3.0], lambda x, y: x / y, {}),
    "Erf": ([X], P.Erf(), {}),
    "Exp": ([X], P.Exp(), {}),
    "ExpandDims": ([X, -1], P.ExpandDims(), {}),
    "FloorDiv": ([PLACES, np.array(2, np.int32)], P.FloorDiv(), {}),
    "Gather": ([X, PLACES, 1, 0], lambda x, places, axis, _: P.Gather()(x, places, axis), {}),
    "LayerNorm": (
        [X, noise(4), noise(4), 1, -1, 1e-5],
        lambda x, g, b, *_: P.LayerNorm(begin_norm_axis=1, begin_params_axis=-1, epsilon=1e-5)(x, g, b)[0],
        {},
    ),
    "Less": ([X, Y], P.Less(), {}),
    "LessScalar": ([X, 0.5], lambda x, y: x < y, {}),
    "MatMul": ([noise(4, 3), noise(4, 5), True, False], lambda a, b, *_: P.MatMul(transpose_a=True)(a, b), {}),
    "MatMulExt": ([X, noise(4, 5)], ops.matmul, {}),
    "Maximum": ([PLACES, np.array(1, np.int32)], P.Maximum(), {}),
    "Minimum": ([PLACES, np.array(1, np.int32)], P.Minimum(), {}),
    "Mul": ([X, noise(3, 1)], P.Mul(), {}),
    "Muls": ([X, 0.3], lambda x, y: x * y, {}),
    "Neg": ([X], P.Neg(), {}),
    "PadV3": (
        [X, (1, 2, 0, 3), np.array(0, np.float32)],
        lambda x, paddings, _: ops.pad(x, paddings),
        {"mode": "constant", "paddings_contiguous": True},
    ),
    "RealDiv": ([X, noise(4)], P.RealDiv(), {}),
    "ReduceMean": ([X, (2,), True], lambda x, axis, _: P.ReduceMean(keep_dims=True)(x, axis), {}),
    "ReLU": ([X], P.ReLU(), {}),
    "Reshape": ([X, (4, 6)], P.Reshape(), {}),
    "ReverseV2": ([X, (0,)], lambda x, axis: P.ReverseV2(axis)(x), {}),
    "Rsqrt": ([np.abs(X)], P.Rsqrt(), {}),
    "Select": ([X < Y, X, Y], P.Select(), {}),
    "Sigmoid": ([10 * X], P.Sigmoid(), {}),
    "Sin": ([X], P.Sin(), {}),
    "Softmax": ([X, (1,)], lambda x, axis: P.Softmax(axis)(x), {}),
    "Split": ([X, 2, 2], lambda x, axis, parts: P.Split(axis, parts)(x), {}),
    "Square": ([X], P.Square(), {}),
    "Squeeze": ([X[:, :1], (1,)], lambda x, axis: P.Squeeze(axis)(x), {}),
    "Stack": ([(X, Y)], P.Stack(axis=1), {"axis": 1, "num": 2}),
    "StridedSlice": (
        [X, (0, 1, 0), (0, 3, 2), (1, 1, 1), 1, 1, 0, 0, 4],
        lambda x, begin, end, strides, *masks: P.StridedSlice(*masks)(x, begin, end, strides),
        {},
    ),
    "Sub": ([X, noise(4)], P.Sub(), {}),
    "SumExt": ([X, (2,), False, None], lambda x, axis, *_: x.sum(axis=axis), {}),
    "Tanh": ([X], P.Tanh(), {}),
    "Tile": ([X, (2, 1, 3)], P.Tile(), {}),
    "Transpose": ([X, (2, 0, 1)], P.Transpose(), {}),
}
# Without arithmetic, or without a kernel on the CPU: those are in the tests below.
OTHERS = {"Depend", "DynamicGRUV2", "DynamicRNN", "Load", "MakeTuple", "TensorMove", "TupleGetItem", "UpdateState"}
OTHERS |= {"make_list"}


def test_no_operator_is_left_out():
    assert set(CASES) | OTHERS == set(OPERATORS)
    assert set(OPERATORS) >= ALLOWED


@pytest.mark.parametrize("op", CASES)
def test_as_mindspore_computes_it(op):
    arguments, theirs, attributes = CASES[op]
    expected = theirs(*(_as_tensor(argument) for argument in arguments))
    result = call(op, arguments, attributes)
    if op == "LayerNorm":
        result = result[0]
    for mine, other in zip(*((each if isinstance(each, (tuple, list)) else (each,)) for each in (result, expected))):
        assert mine.dtype == other.asnumpy().dtype
        # MindSpore's tanh on a CPU is wrong by up to 1e-4 beyond 2.
        np.testing.assert_allclose(mine, other.asnumpy(), rtol=1e-5, atol=1e-4 if op == "Tanh" else 2e-6)


def _as_tensor(argument):
    if isinstance(argument, tuple) and isinstance(argument[0], np.ndarray):
        return tuple(map(Tensor, argument))
    return Tensor(argument) if isinstance(argument, np.ndarray) else argument


def test_tuples_and_orders_of_effects():
    assert call("MakeTuple", [1, 2], {}) == call("make_list", [1, 2], {}) == (1, 2)
    assert call("TupleGetItem", [(5, 6), 1], {}) == 6
    assert call("Load", [7, None], {}) == call("Depend", [7, None], {}) == 7
    assert call("TensorMove", [7], {}) == 7
    assert call("UpdateState", [None, (7,)], {}) is None


def test_float16_is_rounded_once():
    # The sum in float32 is 2049; float16 has steps of 2 there, and adding one by one would stay at 2048.
    ones = np.ones((1, 2052), np.float16)
    assert call("MatMul", [ones, ones.T, False, False], {}) == np.float16(2052)
    assert call("Cast", [np.float32([2049]), FLOAT16], {}) == 2048
    assert call("Cast", [np.float16([0.1]), FLOAT32], {}).dtype == np.float32


@pytest.fixture
def layer_16():
    """Returns a layer of 16 units in one direction, its parameters, an input [T, B, N] and the layer's output."""

    def make(kind):
        layer, x = RNN(kind, 5, 16, bidirectional=False), noise(9, 4, 5)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return [getattr(layer, name) for name in names], x, layer(Tensor(x)).asnumpy()

    return make


def test_the_ascend_form_of_an_lstm_is_the_cpus(layer_16):
    parameters, x, expected = layer_16("LSTM")
    weight, bias = (each.asnumpy() for each in LSTMOnAscend(5, 16, 1).packed(*parameters))
    state = np.zeros((1, 4, 16), np.float16)
    result, _, _ = call("DynamicRNN", [x.astype(np.float16), weight, bias, None, state, state], {"forget_bias": 0.0})
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, expected, atol=3e-3)


def test_the_ascend_form_of_a_gru_is_the_cpus(layer_16):
    parameters, x, expected = layer_16("GRU")
    arrays = [each.asnumpy() for each in GRUOnAscend(5, 16, 1).packed(*parameters)]
    state, options = np.zeros((4, 16), np.float32), {"gate_order": "rzh", "reset_after": True}
    (result,) = call("DynamicGRUV2", [x.astype(np.float16), *arrays, None, state], options)
    np.testing.assert_allclose(result, expected, atol=3e-3)
    w_ih, w_hh, b_ih, b_hh = (each.asnumpy() for each in parameters)
    (result,) = call("DynamicGRUV2", [x, w_ih.T, w_hh.T, b_ih, b_hh, None, state], options)
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_dynamic_rnn_is_nn_lstm():
    """PyTorch's order of gates is i, f, g, o, DynamicRNN's i, g, f, o."""
    lstm = ms.nn.LSTM(3, 2)
    x, h, c = noise(6, 2, 3), noise(1, 2, 2), noise(1, 2, 2)
    expected, (_, last_cell) = lstm(Tensor(x), (Tensor(h), Tensor(c)))
    values = {parameter.name.split(".")[-1]: parameter.asnumpy() for parameter in lstm.get_parameters()}
    bias = (values["bias_ih_l0"] + values["bias_hh_l0"])[:, None]
    i, f, g, o = np.split(np.concatenate((values["weight_ih_l0"], values["weight_hh_l0"], bias), axis=1), 4)
    packed = np.concatenate((i, g, f, o)).T  # [N + H + 1, 4H]
    arguments = [x, packed[:-1], packed[-1], None, h, c]
    result, again, cells = call("DynamicRNN", arguments, {"forget_bias": 0.0})
    np.testing.assert_allclose(result, expected.asnumpy(), atol=2e-6)
    np.testing.assert_array_equal(again, result)
    np.testing.assert_allclose(cells[-1:], last_cell.asnumpy(), atol=2e-6)
    biased, _, _ = call("DynamicRNN", arguments, {"forget_bias": 1.0})
    assert np.abs(biased - result).max() > 0.01


def test_what_is_not_known_is_refused():
    slices = [X, (0,), (1,), (1,), 0, 0, 1, 0, 0]
    for op, arguments, attributes in (
        ("StridedSlice", slices, {}),
        ("CumSum", [X, 0, True, False], {}),
        ("PadV3", [X, (1, 1), np.float32(0)], {"mode": "reflect"}),
        ("DynamicGRUV2", [None] * 7, {"gate_order": "zrh"}),
    ):
        with pytest.raises(ValueError, match=op):
            call(op, arguments, attributes)
