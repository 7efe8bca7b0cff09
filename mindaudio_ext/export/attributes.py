"""A graph in the form of MindIR version 1: operators have their options as attributes.

Version 2 made inputs of them, constants behind the tensors. In memory a graph has that form.
"""

from typing import Any

from mindaudio_ext.export.graph import Graph, Node, TypeId

# By operator: how many of its inputs stay inputs, and the attributes that the others become.
_OPTIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    "BatchMatMul": (2, ("transpose_a", "transpose_b")),
    "BiasAdd": (2, ("format",)),
    "Concat": (1, ("axis",)),
    "CumSum": (2, ("exclusive", "reverse")),
    "Gather": (3, ("batch_dims",)),
    "LayerNorm": (3, ("begin_norm_axis", "begin_params_axis", "epsilon")),
    "MatMul": (2, ("transpose_a", "transpose_b")),
    "ReduceMean": (2, ("keep_dims",)),
    "ReverseV2": (1, ("axis",)),
    "Softmax": (1, ("axis",)),
    "StridedSlice": (4, ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")),
}
# Second names of attributes: MindSpore 2.0 sets both, and which one a device's adapter reads changed between releases.
_ALSO = {"transpose_a": "transpose_x1", "transpose_b": "transpose_x2", "format": "data_format"}
_FORMATS = ("NCHW", "NHWC")  # by MindSpore's number


def to_attributes(graph: Graph) -> Graph:
    """Returns the graph with options as attributes, and the type that a Cast casts to as a type, not its number."""
    nodes, constants = [], dict(graph.constants)
    for node in graph.nodes:
        inputs, attributes = node.inputs, dict(node.attributes)
        if node.op in _OPTIONS:
            n_inputs, names = _OPTIONS[node.op]
            for name, source in zip(names, inputs[n_inputs:], strict=True):
                value = constants[source]
                value = _FORMATS[value] if name == "format" else value
                attributes |= {each: value for each in (name, _ALSO.get(name, name))}
            inputs = inputs[:n_inputs]
        elif node.op == "Cast":
            kind = TypeId(constants[inputs[1]])
            constants[f"type_{kind}"] = kind
            inputs = [inputs[0], f"type_{kind}"]
        nodes.append(Node(node.op, inputs, node.output, node.type, attributes))
    read = {name for node in nodes for name in node.inputs} | {graph.output}
    return Graph(graph.inputs, graph.output, {n: v for n, v in constants.items() if n in read}, nodes)


def to_inputs(graph: Graph) -> Graph:
    """Returns the graph with options as inputs: the inverse of `to_attributes`; other graphs stay as they are."""
    nodes, constants = [], dict(graph.constants)
    for node in graph.nodes:
        n_inputs, names = _OPTIONS.get(node.op, (len(node.inputs), ()))
        if names and len(node.inputs) == n_inputs:
            attributes = dict(node.attributes)
            options = [_number(name, attributes.pop(name)) for name in names]
            for name in names:
                attributes.pop(_ALSO.get(name, name), None)
            sources = [f"{node.output}.{name}" for name in names]
            constants |= dict(zip(sources, options))
            node = Node(node.op, [*node.inputs, *sources], node.output, node.type, attributes)
        nodes.append(node)
    return Graph(graph.inputs, graph.output, constants, nodes)


def _number(name: str, value: Any) -> Any:
    return _FORMATS.index(value) if name == "format" else value
