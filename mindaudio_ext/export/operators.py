"""MindSpore's operators in NumPy, by name, with the arguments of a MindIR in their order.

Numbers have the type of the operands. Where one is float16, products are summed up in float32 and rounded once, as on
an Ascend; so are the gates of a recurrent layer, whose state is rounded at every step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf

from mindaudio_ext.export.graph import FLOAT16, FLOAT32

_TYPES = {FLOAT16: np.float16, FLOAT32: np.float32}
Array = np.ndarray


def _strided_slice(
    x: Array,
    begin: tuple,
    end: tuple,
    strides: tuple,
    begin_mask: int,
    end_mask: int,
    ellipsis: int,
    new: int,
    shrink: int,
) -> Array:
    if ellipsis or new:
        raise ValueError("StridedSlice with an ellipsis or a new axis")
    return x[slices(begin, end, strides, begin_mask, end_mask, shrink)]


def slices(begin: tuple, end: tuple, strides: tuple, begin_mask: int, end_mask: int, shrink: int) -> tuple:
    """Returns the index that a StridedSlice without ellipsis and new axes takes; bit i of a mask is axis i."""
    index: list[Any] = []
    for i, (first, last, step) in enumerate(zip(begin, end, strides)):
        if shrink >> i & 1:
            index.append(first)
        else:
            index.append(slice(None if begin_mask >> i & 1 else first, None if end_mask >> i & 1 else last, step))
    return tuple(index)


def _matmul(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Array:
    a, b = (a.swapaxes(-1, -2) if transpose_a else a), (b.swapaxes(-1, -2) if transpose_b else b)
    product = np.matmul(a.astype(np.float32, copy=False), b.astype(np.float32, copy=False))
    return product.astype(a.dtype, copy=False)


def _bias_add(x: Array, bias: Array, _data_format: int) -> Array:
    return x + bias.reshape((-1,) + (1,) * (x.ndim - 2))  # the channels are axis 1


def _layer_norm(
    x: Array, gamma: Array, beta: Array, first_axis: int, _first_parameter_axis: int, epsilon: float
) -> tuple:
    axes = tuple(range(first_axis % x.ndim, x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    variance = np.square(x - mean).mean(axis=axes, keepdims=True)
    return ((x - mean) / np.sqrt(variance + np.float32(epsilon)) * gamma + beta,)


def _sigmoid(x: Array) -> Array:
    return (np.tanh(x * x.dtype.type(0.5)) + x.dtype.type(1)) * x.dtype.type(0.5)  # overflows nowhere


def _softmax(x: Array, axis: tuple) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _cumsum(x: Array, axis: int, exclusive: bool, reverse: bool) -> Array:
    if exclusive or reverse:
        raise ValueError("CumSum that is exclusive or runs backwards")
    return np.cumsum(x, axis=axis, dtype=x.dtype)


def _pad(x: Array, paddings: tuple, value: Array, *, mode: str = "constant", **_: Any) -> Array:
    if mode != "constant":
        raise ValueError(f"PadV3 of mode {mode}")
    pairs = [(paddings[i], paddings[i + 1]) for i in range(0, len(paddings), 2)]  # from the last axis on
    return np.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1], constant_values=value)


def _split(x: Array, axis: int, n_parts: int) -> tuple:
    return tuple(np.split(x, n_parts, axis=axis))


def _sum(x: Array, axis: tuple, keep_dims: bool, _dtype: None) -> Array:
    return x.sum(axis=axis, keepdims=keep_dims, dtype=x.dtype)


def _dynamic_rnn(
    x: Array, weight: Array, bias: Array, _lengths: None, h: Array, c: Array, *, forget_bias: float = 0.0, **_: Any
) -> tuple:
    """An LSTM in one direction: gates i, g, f, o; x [T, B, N], weight [N + H, 4H], bias [4H], h and c [1, B, H]."""
    n_steps, n_batch, width = x.shape
    half, size = x.dtype, h.shape[2]
    w = weight.astype(np.float32)
    gates = (x.reshape(-1, width).astype(np.float32) @ w[:width]).reshape(n_steps, n_batch, 4 * size)
    bias = bias.astype(np.float32)
    bias[2 * size : 3 * size] += forget_bias
    y, cells = np.empty((n_steps, n_batch, size), half), np.empty((n_steps, n_batch, size), half)
    h, c = h[0].astype(np.float32), c[0].astype(np.float32)
    for t in range(n_steps):
        step = gates[t]  # [B, 4H]
        step += h @ w[width:]
        step += bias
        i, f, o = (_sigmoid(step[:, k * size : (k + 1) * size]) for k in (0, 2, 3))
        cells[t] = f * c + i * np.tanh(step[:, size : 2 * size])
        c = cells[t].astype(np.float32)
        y[t] = o * np.tanh(c)
        h = y[t].astype(np.float32)
    return y, y, cells


def _dynamic_gru_v2(
    x: Array,
    w_x: Array,
    w_h: Array,
    b_x: Array,
    b_h: Array,
    _lengths: None,
    h: Array,
    *,
    gate_order: str,
    **options: Any,
) -> tuple:
    """A GRU in one direction: gates r, z, n; x [T, B, N], w_x [N, 3H], w_h [H, 3H], b_x and b_h [3H], h [B, H]."""
    if gate_order != "rzh" or not options.get("reset_after", True):
        raise ValueError(f"DynamicGRUV2 with gate_order {gate_order}, or a reset before the product")
    n_steps, n_batch, width = x.shape
    half, size = w_h.dtype, h.shape[1]
    w_h, b_x, b_h = (each.astype(np.float32) for each in (w_h, b_x, b_h))
    gates = (x.reshape(-1, width).astype(np.float32) @ w_x.astype(np.float32) + b_x).reshape(n_steps, n_batch, 3 * size)
    y = np.empty((n_steps, n_batch, size), h.dtype)
    for t in range(n_steps):
        from_h = h.astype(half).astype(np.float32) @ w_h + b_h  # [B, 3H]
        rz = _sigmoid(gates[t, :, : 2 * size] + from_h[:, : 2 * size])
        n = np.tanh(gates[t, :, 2 * size :] + rz[:, :size] * from_h[:, 2 * size :])
        h = y[t] = (n + rz[:, size:] * (h - n)).astype(y.dtype)
    return (y,)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "BatchMatMul": _matmul,
    "BiasAdd": _bias_add,
    "Cast": lambda x, dtype: x.astype(_TYPES[dtype]),
    "Concat": lambda parts, axis: np.concatenate(parts, axis=axis),
    "Cos": np.cos,
    "CumSum": _cumsum,
    "Depend": lambda x, _: x,
    "Div": np.divide,
    "Divs": lambda x, y: x / x.dtype.type(y),
    "DynamicGRUV2": _dynamic_gru_v2,
    "DynamicRNN": _dynamic_rnn,
    "Erf": lambda x: erf(x.astype(np.float32, copy=False)).astype(x.dtype, copy=False),
    "Exp": np.exp,
    "ExpandDims": np.expand_dims,
    "FloorDiv": np.floor_divide,
    "Gather": lambda x, places, axis, _batch_dims: np.take(x, places, axis=axis),
    "LayerNorm": _layer_norm,
    "Less": np.less,
    "LessScalar": lambda x, y: x < x.dtype.type(y),
    "Load": lambda x, _: x,
    "make_list": lambda *members: members,
    "MakeTuple": lambda *members: members,
    "MatMul": _matmul,
    "MatMulExt": _matmul,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Muls": lambda x, y: x * x.dtype.type(y),
    "Neg": np.negative,
    "PadV3": _pad,
    "RealDiv": np.divide,
    "ReduceMean": lambda x, axis, keep_dims: x.mean(axis=axis, keepdims=keep_dims, dtype=x.dtype),
    "ReLU": lambda x: np.maximum(x, x.dtype.type(0)),
    "Reshape": np.reshape,
    "ReverseV2": np.flip,
    "Rsqrt": lambda x: x.dtype.type(1) / np.sqrt(x),
    "Select": np.where,
    "Sigmoid": _sigmoid,
    "Sin": np.sin,
    "Softmax": _softmax,
    "Split": _split,
    "Square": np.square,
    "Squeeze": np.squeeze,
    "Stack": lambda parts, *, axis, **_: np.stack(parts, axis=axis),
    "StridedSlice": _strided_slice,
    "Sub": np.subtract,
    "SumExt": _sum,
    "Tanh": np.tanh,
    "Tile": np.tile,
    "Transpose": np.transpose,
    "TensorMove": lambda x: x,
    "TupleGetItem": lambda members, number: members[number],
    "UpdateState": lambda *_: None,
}
"""What `interpreter` can run. Attributes of the primitive come by keyword; those with none here are not needed."""


def call(op: str, arguments: list[Any], attributes: dict[str, Any]) -> Any:
    """Returns the result of an operator.

    Args:
        op: its name, a key of `OPERATORS`.
        arguments: arrays, numbers, tuples.
        attributes: the primitive's; read by the operators that have options beside their arguments.
    """
    function = OPERATORS[op]
    return function(*arguments, **attributes) if op in _WITH_ATTRIBUTES else function(*arguments)


_WITH_ATTRIBUTES = frozenset({"DynamicGRUV2", "DynamicRNN", "PadV3", "Stack"})
