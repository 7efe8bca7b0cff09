"""A simplified float32 graph as ONNX, in the form that Ascend's converters take; needs the extra `onnx`.

What ATC (CANN's converter) and MindSpore Lite's read alike: opset 11, recurrent layers in one direction, with bias,
initial states and all outputs, and no sequence lengths. Lite leaves out inputs without a name and tells the others by
their order.
"""

import math
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.graph import Graph, Node, Type, describe_tensor
from mindaudio_ext.files import atomic_path

OPSET, IR_VERSION = 11, 6  # 2019


def write_onnx(graph: Graph, path: str | os.PathLike) -> None:
    """Writes what `simplify(in_float32(...))` gives.

    Raises:
        InputError: the extra `onnx` is not installed, or an operator has no counterpart here.
    """
    onnx = _import("onnx")
    writer = _Writer(graph, onnx.helper, onnx.numpy_helper)
    for node in graph.nodes:
        if node.op not in _RULES:
            raise InputError(f"{path}: operator {node.op} cannot be written as ONNX")
        writer.names[node.output] = _RULES[node.op](writer, node)
    writer.nodes.append(onnx.helper.make_node("Identity", [writer.name(graph.output)], ["estimates"]))
    float32 = onnx.TensorProto.FLOAT
    inputs = [onnx.helper.make_tensor_value_info(n, float32, kind.shape) for n, kind in graph.inputs.items()]
    outputs = [onnx.helper.make_tensor_value_info("estimates", float32, graph.type_of(graph.output).shape)]
    body = onnx.helper.make_graph(writer.nodes, "separate", inputs, outputs, list(writer.arrays.values()))
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(body, opset_imports=[opset], ir_version=IR_VERSION, producer_name="mindaudio-ext")
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def run_onnx(path: str | os.PathLike, inputs: np.ndarray) -> np.ndarray:
    """Returns the output of an ONNX file of one input, by onnxruntime on the CPU.

    Raises:
        InputError: the extra `onnx` is not installed.
    """
    onnxruntime = _import("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the cores to others
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def describe_onnx(path: str | os.PathLike) -> dict[str, Any]:
    """Returns `inputs`, `outputs` and `operators` (counts) of what `write_onnx` wrote, as a manifest has them."""
    graph = _import("onnx").load(path).graph
    named = [[(value.name, value.type.tensor_type.shape.dim) for value in each] for each in (graph.input, graph.output)]
    inputs, outputs = (
        [describe_tensor(name, Type(tuple(size.dim_value for size in shape), "float32")) for name, shape in values]
        for values in named
    )
    operators = dict(sorted(Counter(node.op_type for node in graph.node).items()))
    return {"inputs": inputs, "outputs": outputs, "operators": operators}


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed: pip install mindaudio-ext[onnx]") from error


class _Writer:
    """The nodes and arrays written so far."""

    def __init__(self, graph: Graph, helper: Any, numpy_helper: Any) -> None:
        self.graph, self.helper, self.numpy_helper = graph, helper, numpy_helper
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.names: dict[str, str] = {}  # ONNX's of the graph's, where they differ
        self.members: dict[str, list[str]] = {}  # of tuples
        self.last_cells: dict[
            str, str
        ] = {}  # of an LSTM, or of the series of its cells, of which ONNX has the last alone

    def value(self, name: str) -> Any:
        return self.graph.constants[name]

    def name(self, name: str) -> str:
        """Returns the ONNX name of a value of the graph, whose array is added when it is a constant."""
        value = self.graph.constants.get(name)
        if isinstance(value, np.ndarray) and name not in self.arrays:
            self.array(value, name)
        return self.names.get(name, name)

    def array(self, value: Any, name: str | None = None) -> str:
        """Adds an array; numbers become int64."""
        name = name or f"array_{len(self.arrays)}"
        value = np.ascontiguousarray(value) if isinstance(value, np.ndarray) and value.ndim else np.array(value)
        self.arrays[name] = self.numpy_helper.from_array(value, name)
        return name

    def add(self, op: str, inputs: list[str], output: str = "", *, n_outputs: int = 1, **attributes: Any) -> str:
        """Adds an ONNX node; gives its first output's name."""
        output = output or f"part_{len(self.nodes)}"
        others = [f"{output}_{number}" for number in range(1, n_outputs)]
        self.nodes.append(self.helper.make_node(op, inputs, [output, *others], **attributes))
        return output

    def type_of(self, name: str) -> Type:
        return self.graph.type_of(name)


def _same(op: str) -> Callable[[_Writer, Node], str]:
    return lambda writer, node: writer.add(op, [writer.name(n) for n in node.inputs], node.output)


def _make_tuple(writer: _Writer, node: Node) -> str:
    writer.members[node.output] = [writer.name(n) for n in node.inputs]
    return node.output


def _tuple_get_item(writer: _Writer, node: Node) -> str:
    number = writer.value(node.inputs[1])
    if number == 2 and node.inputs[0] in writer.last_cells:
        writer.last_cells[node.output] = writer.last_cells[node.inputs[0]]
        return node.output
    if number != 0:
        raise InputError(f"{node.output}: only the first output of an operator can be written as ONNX")
    return writer.name(node.inputs[0])


def _concat(writer: _Writer, node: Node) -> str:
    return writer.add("Concat", writer.members[node.inputs[0]], node.output, axis=writer.value(node.inputs[1]))


def _reshape(writer: _Writer, node: Node) -> str:
    return writer.add("Reshape", [writer.name(node.inputs[0]), writer.array(node.type.shape)], node.output)


def _transpose(writer: _Writer, node: Node) -> str:
    return writer.add("Transpose", [writer.name(node.inputs[0])], node.output, perm=writer.value(node.inputs[1]))


def _strided_slice(writer: _Writer, node: Node) -> str:
    begin, end, strides = (writer.value(n) for n in node.inputs[1:4])
    if (
        node.inputs[0] in writer.last_cells
        and node.type.shape[0] == 1
        and end[0] == writer.type_of(node.inputs[0]).shape[0]
    ):
        return writer.last_cells[node.inputs[0]]
    return _slice(writer, writer.name(node.inputs[0]), begin, end, tuple(range(len(begin))), strides, node.output)


def _slice(writer: _Writer, x: str, starts: tuple, ends: tuple, axes: tuple, steps: tuple, output: str = "") -> str:
    return writer.add("Slice", [x, *(writer.array(each) for each in (starts, ends, axes, steps))], output)


def _reverse(writer: _Writer, node: Node) -> str:
    (axis,) = writer.value(node.inputs[1])
    return _slice(writer, writer.name(node.inputs[0]), (-1,), (np.iinfo(np.int64).min,), (axis,), (-1,), node.output)


def _matmul(writer: _Writer, node: Node) -> str:
    operands = []
    for name, transposed in zip(node.inputs[:2], node.inputs[2:]):
        rank, operand = len(writer.type_of(name).shape), writer.name(name)
        if writer.value(transposed):
            operand = writer.add("Transpose", [operand], perm=[*range(rank - 2), rank - 1, rank - 2])
        operands.append(operand)
    return writer.add("MatMul", operands, node.output)


def _bias_add(writer: _Writer, node: Node) -> str:
    if len(node.type.shape) != 2:
        raise InputError(f"{node.output}: a BiasAdd of {len(node.type.shape)} axes cannot be written as ONNX")
    return writer.add("Add", [writer.name(n) for n in node.inputs[:2]], node.output)


def _softmax(writer: _Writer, node: Node) -> str:
    """Over the last axis: opset 11 takes all axes behind the one it is given together."""
    (axis,) = writer.value(node.inputs[1])
    order = list(range(len(node.type.shape)))
    axis, last = order[axis], order[-1]
    if axis == last:
        return writer.add("Softmax", [writer.name(node.inputs[0])], node.output, axis=last)
    order[axis], order[last] = last, axis  # its own inverse
    swapped = writer.add("Transpose", [writer.name(node.inputs[0])], perm=order)
    return writer.add("Transpose", [writer.add("Softmax", [swapped], axis=last)], node.output, perm=order)


def _reduce_mean(writer: _Writer, node: Node) -> str:
    axes, keep_dims = (writer.value(n) for n in node.inputs[1:])
    x = writer.name(node.inputs[0])
    return writer.add("ReduceMean", [x], node.output, axes=axes, keepdims=int(keep_dims))


def _cumsum(writer: _Writer, node: Node) -> str:
    return writer.add("CumSum", [writer.name(node.inputs[0]), writer.array(writer.value(node.inputs[1]))], node.output)


def _gather(writer: _Writer, node: Node) -> str:
    inputs = [writer.name(n) for n in node.inputs[:2]]
    return writer.add("Gather", inputs, node.output, axis=writer.value(node.inputs[2]))


def _square(writer: _Writer, node: Node) -> str:
    return writer.add("Mul", [writer.name(node.inputs[0])] * 2, node.output)


def _rsqrt(writer: _Writer, node: Node) -> str:
    return writer.add("Reciprocal", [writer.add("Sqrt", [writer.name(node.inputs[0])])], node.output)


def _layer_norm(writer: _Writer, node: Node) -> str:
    """In elementary operators: ONNX's own has a scale for each value, not for each channel."""
    x, gamma, beta = (writer.name(n) for n in node.inputs[:3])
    shape = writer.type_of(node.inputs[0]).shape
    first = writer.value(node.inputs[3]) % len(shape)
    epsilon = writer.array(np.array(writer.value(node.inputs[5]), np.float32))
    centred = writer.add("Sub", [x, _mean(writer, x, shape, first)])
    variance = _mean(writer, writer.add("Mul", [centred, centred]), shape, first)
    deviation = writer.add("Sqrt", [writer.add("Add", [variance, epsilon])])
    scaled = writer.add("Mul", [writer.add("Div", [centred, deviation]), gamma])
    return writer.add("Add", [scaled, beta], node.output)


def _mean(writer: _Writer, x: str, shape: tuple[int, ...], first: int) -> str:
    """Returns the mean over the axes from `first` on, which stay with size 1.

    onnxruntime sums up in float32 one by one: over millions of values that is wrong in the fourth digit. Means of means
    over short axes are not, so long axes are split first.
    """
    sizes = [factor for size in shape[first:] for factor in _factors(size)]
    x = writer.add("Reshape", [x, writer.array((*shape[:first], *sizes))])
    for axis in reversed(range(first, first + len(sizes))):
        x = writer.add("ReduceMean", [x], axes=(axis,))
    return writer.add("Reshape", [x, writer.array((*shape[:first], *(1,) * (len(shape) - first)))])


def _factors(size: int) -> tuple[int, int]:
    """Returns the two factors of a size that are nearest to each other.

    >>> _factors(64500)
    (250, 258)
    """
    small = next(factor for factor in range(math.isqrt(size), 0, -1) if size % factor == 0)
    return small, size // small


def _lstm(writer: _Writer, node: Node) -> str:
    x, weight, bias, _, h, c = node.inputs
    size, width = writer.type_of(h).shape[2], writer.type_of(x).shape[2]
    rows = np.concatenate((writer.value(weight).T, writer.value(bias)[:, None]), axis=1)  # [4H, N + H + 1]
    i, g, f, o = np.split(rows, 4)
    f[:, -1] += node.attributes["forget_bias"]
    rows = np.concatenate((i, o, f, g))[None]  # [1, 4H, N + H + 1]
    arrays = [rows[..., :width], rows[..., width:-1], np.pad(rows[..., -1], ((0, 0), (0, 4 * size)))]
    writer.last_cells[node.output] = f"{node.output}_outputs_2"
    return _recurrent(writer, node, "LSTM", arrays, [writer.name(h), writer.name(c)], hidden_size=size)


def _gru(writer: _Writer, node: Node) -> str:
    w_x, w_h, b_x, b_h = (writer.value(n) for n in node.inputs[1:5])
    size, n_batch = len(w_h), writer.type_of(node.inputs[6]).shape[0]
    rows = [np.concatenate((z, r, n))[None] for r, z, n in (np.split(w.T, 3) for w in (w_x, w_h, b_x, b_h))]
    state = writer.add("Reshape", [writer.name(node.inputs[6]), writer.array((1, n_batch, size))])
    arrays = [rows[0], rows[1], np.concatenate(rows[2:], axis=1)]
    return _recurrent(writer, node, "GRU", arrays, [state], hidden_size=size, linear_before_reset=1)


def _recurrent(
    writer: _Writer, node: Node, op: str, arrays: list[np.ndarray], states: list[str], **attributes: Any
) -> str:
    """Adds a layer [T, B, N] -> [T, B, H] of one direction; arrays are ONNX's W, R and B."""
    inputs = [writer.name(node.inputs[0]), *(writer.array(each) for each in arrays), "", *states]
    name = f"{node.output}_outputs"
    y = writer.add(op, inputs, name, n_outputs=1 + len(states), direction="forward", **attributes)  # [T, 1, B, H]
    return writer.add("Squeeze", [y], node.output, axes=(1,))


_RULES: dict[str, Callable[[_Writer, Node], str]] = {
    **{op: _same(op) for op in ("Abs", "Add", "Erf", "Less", "Mul", "Neg", "Sigmoid", "Sub", "Tanh")},
    "BatchMatMul": _matmul,
    "BiasAdd": _bias_add,
    "Concat": _concat,
    "CumSum": _cumsum,
    "DynamicGRUV2": _gru,
    "DynamicRNN": _lstm,
    "Gather": _gather,
    "LayerNorm": _layer_norm,
    "MakeTuple": _make_tuple,
    "MatMul": _matmul,
    "RealDiv": _same("Div"),
    "ReduceMean": _reduce_mean,
    "ReLU": _same("Relu"),
    "Reshape": _reshape,
    "ReverseV2": _reverse,
    "Rsqrt": _rsqrt,
    "Select": _same("Where"),
    "Softmax": _softmax,
    "Square": _square,
    "StridedSlice": _strided_slice,
    "Transpose": _transpose,
    "TupleGetItem": _tuple_get_item,
}
