"""A network as it was exported, in the fewest and oldest operators: what can be computed now, is.

MindSpore 2.10 exports operators (MatMulExt, Muls, LessScalar, ...) that device converters have not heard of, and
computes the packing of weights in the graph. Shapes are static, so all of it can be settled here.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mindaudio_ext.export.graph import FLOAT16, FLOAT32, Graph, Node, Type
from mindaudio_ext.export.operators import OPERATORS, call, slices


def simplify(graph: Graph) -> Graph:
    """Returns a graph that computes the same.

    What only depends on constants has become one; `Load`, `Depend` and the like are gone; every change of shape is a
    `Reshape`, every slice has a start, an end and a step for each axis.
    """
    rewriter = _Rewriter(graph)
    for node in graph.nodes:
        rewriter.names[node.output] = rewriter.rewrite(node)
    rewriter.graph.output = rewriter.names[graph.output]
    return _renamed(_without_unread(rewriter.graph))


def in_float32(graph: Graph) -> Graph:
    """Returns the graph with float32 wherever it has float16: the network before it is halved for a device."""

    def widened(kind: Any) -> Any:
        if isinstance(kind, tuple):
            return tuple(widened(each) for each in kind)
        return Type(kind.shape, "float32") if kind and kind.dtype == "float16" else kind

    constants = dict(graph.constants)
    for name, value in graph.constants.items():
        if isinstance(value, np.ndarray) and value.dtype == np.float16:
            constants[name] = value.astype(np.float32)
    for node in graph.nodes:
        if node.op == "Cast" and constants[node.inputs[1]] == FLOAT16:
            constants[node.inputs[1]] = FLOAT32
    nodes = [Node(node.op, node.inputs, node.output, widened(node.type), node.attributes) for node in graph.nodes]
    return Graph({name: widened(kind) for name, kind in graph.inputs.items()}, graph.output, constants, nodes)


class _Rewriter:
    """The graph that is being made, and by what names the old one's values are known in it."""

    def __init__(self, old: Graph) -> None:
        self.graph = Graph(old.inputs, "", dict(old.constants), [])
        self.names: dict[str, str] = {}
        self._made: dict[str, Node] = {}

    def rewrite(self, node: Node) -> str:
        """Adds what a node computes; gives its name."""
        node = Node(node.op, [self.names.get(n, n) for n in node.inputs], node.output, node.type, node.attributes)
        if node.op in ("Load", "Depend", "TensorMove"):
            return node.inputs[0]
        if node.op == "MatMulExt" and self._spreads(node):
            return self.constant(
                self.graph.constants[node.inputs[1]].reshape((1,) * (len(node.type.shape) - 1) + (-1,))
            )
        if node.op in OPERATORS and all(n in self.graph.constants for n in node.inputs):
            return self.constant(call(node.op, [self.graph.constants[n] for n in node.inputs], node.attributes))
        return _RULES[node.op](self, node) if node.op in _RULES else self.add(node)

    def add(self, node: Node) -> str:
        self.graph.nodes.append(node)
        self._made[node.output] = node
        return node.output

    def constant(self, value: Any) -> str:
        name = f"constant {len(self.graph.constants)}"
        self.graph.constants[name] = value
        return name

    def value(self, name: str) -> Any:
        return self.graph.constants[name]

    def type_of(self, name: str) -> Any:
        return self._made[name].type if name in self._made else self.graph.type_of(name)

    def members(self, name: str) -> list[str]:
        """Returns the names of what a MakeTuple puts together."""
        return self._made[name].inputs

    def reshape(self, name: str, kind: Type, output: str) -> str:
        """Adds a Reshape, unless the shape is right; one of a Reshape goes back to what that had."""
        while name in self._made and self._made[name].op == "Reshape":
            name = self._made[name].inputs[0]
        if self.type_of(name).shape == kind.shape:
            return name
        return self.add(Node("Reshape", [name, self.constant(kind.shape)], output, kind))

    def _spreads(self, node: Node) -> bool:
        """Whether a product only repeats a row of constants, which a broadcast does without the memory."""
        ones = self.graph.constants.get(node.inputs[0])
        return ones is not None and node.inputs[1] in self.graph.constants and ones.shape[-1] == 1 and (ones == 1).all()


def _reshape(rewriter: _Rewriter, node: Node) -> str:
    return rewriter.reshape(node.inputs[0], node.type, node.output)


def _cast(rewriter: _Rewriter, node: Node) -> str:
    if rewriter.type_of(node.inputs[0]).dtype == node.type.dtype:
        return node.inputs[0]
    return rewriter.add(node)


def _with_array(op: str) -> Callable[[_Rewriter, Node], str]:
    """Returns the rule for an operator whose second operand is a number; `op` takes an array there."""

    def rule(rewriter: _Rewriter, node: Node) -> str:
        number = np.array(rewriter.value(node.inputs[1]), rewriter.type_of(node.inputs[0]).dtype)
        return rewriter.add(Node(op, [node.inputs[0], rewriter.constant(number)], node.output, node.type))

    return rule


def _div(rewriter: _Rewriter, node: Node) -> str:
    return rewriter.add(Node("RealDiv", node.inputs, node.output, node.type))


def _matmul_ext(rewriter: _Rewriter, node: Node) -> str:
    a, b = node.inputs
    shape_a, shape_b = rewriter.type_of(a).shape, rewriter.type_of(b).shape
    no = rewriter.constant(False)
    if shape_a[:-2] == shape_b[:-2] and len(shape_a) > 2:
        return rewriter.add(Node("BatchMatMul", [a, b, no, no], node.output, node.type))
    if len(shape_b) != 2:
        return rewriter.add(node)
    rows = math.prod(shape_a[:-1])
    flat = rewriter.reshape(a, Type((rows, shape_a[-1]), node.type.dtype), f"{node.output} rows")
    kind = Type((rows, shape_b[1]), node.type.dtype)
    product = rewriter.add(Node("MatMul", [flat, b, no, no], f"{node.output} product", kind))
    return rewriter.reshape(product, node.type, node.output)


def _strided_slice(rewriter: _Rewriter, node: Node) -> str:
    x = node.inputs[0]
    begin, end, strides, begin_mask, end_mask, ellipsis, new, shrink = (rewriter.value(n) for n in node.inputs[1:])
    if ellipsis or new:
        return rewriter.add(node)
    shape = rewriter.type_of(x).shape
    index = slices(begin, end, strides, begin_mask, end_mask, shrink)
    index += (slice(None),) * (len(shape) - len(index))
    ranges = [range(size)[i : i + 1 or None] if isinstance(i, int) else range(size)[i] for i, size in zip(index, shape)]
    kind = Type(tuple(len(each) for each in ranges), node.type.dtype)
    if kind.shape != shape:
        limits = [tuple(getattr(each, name) for each in ranges) for name in ("start", "stop", "step")]
        none = rewriter.constant(0)
        inputs = [x, *(rewriter.constant(limit) for limit in limits), *[none] * 5]
        x = rewriter.add(Node("StridedSlice", inputs, f"{node.output} slice", kind))
    return rewriter.reshape(x, node.type, node.output)


def _stack(rewriter: _Rewriter, node: Node) -> str:
    """A Concat of its parts, each with the new axis."""
    axis = node.attributes["axis"] % len(node.type.shape)
    kind = Type((*node.type.shape[:axis], 1, *node.type.shape[axis + 1 :]), node.type.dtype)
    parts = [
        rewriter.reshape(name, kind, f"{node.output} part {number}")
        for number, name in enumerate(rewriter.members(node.inputs[0]))
    ]
    kinds = (kind,) * len(parts)
    members = rewriter.add(Node("MakeTuple", parts, f"{node.output} parts", kinds))
    return rewriter.add(Node("Concat", [members, rewriter.constant(axis)], node.output, node.type))


_RULES: dict[str, Callable[[_Rewriter, Node], str]] = {
    "Cast": _cast,
    "Div": _div,
    "Divs": _with_array("RealDiv"),
    "ExpandDims": _reshape,
    "LessScalar": _with_array("Less"),
    "MatMulExt": _matmul_ext,
    "Muls": _with_array("Mul"),
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Stack": _stack,
    "StridedSlice": _strided_slice,
}


def _without_unread(graph: Graph) -> Graph:
    """Leaves out nodes and constants that nothing reads."""
    read, nodes = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in read:
            read.update(node.inputs)
            nodes.append(node)
    constants = {name: value for name, value in graph.constants.items() if name in read}
    return Graph(graph.inputs, graph.output, constants, nodes[::-1])


def _renamed(graph: Graph) -> Graph:
    """Names the nodes by operator and number, made constants by number; weights and inputs keep their names."""
    names = {name: name for name in (*graph.inputs, *graph.constants)}
    made = [name for name, value in graph.constants.items() if " " in name or not isinstance(value, np.ndarray)]
    names |= {name: f"constant_{number}" for number, name in enumerate(made)}
    names |= {node.output: f"{node.op}_{number}" for number, node in enumerate(graph.nodes)}
    nodes = [
        Node(node.op, [names[n] for n in node.inputs], names[node.output], node.type, node.attributes)
        for node in graph.nodes
    ]
    constants = {names[name]: value for name, value in graph.constants.items()}
    return Graph(graph.inputs, names[graph.output], constants, nodes)
