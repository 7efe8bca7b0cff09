"""MindIR files, read and written through MindSpore's protobuf classes."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.attributes import to_attributes, to_inputs
from mindaudio_ext.export.graph import FLOAT16, FLOAT32, Graph, Node, Type, TypeId, describe_tensor
from mindaudio_ext.files import atomic_path

_DTYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
_CODES = {np.dtype(name): code for code, name in _DTYPES.items()}
_TYPE_IDS = {"float16": FLOAT16, "float32": FLOAT32}
VERSIONS = (1, 2)
"""Of MindIR, that can be written. Every MindSpore Lite reads 1, newer ones also 2; see `attributes`."""
_FLOAT, _INT64, _STRING, _BOOL, _TENSORS, _TUPLE, _LIST, _UMONAD, _NONE = 1, 7, 8, 9, 19, 20, 21, 23, 25


def read_mindir(path: str | os.PathLike, *, name: str = "") -> Graph:
    """Reads a MindIR without control flow.

    Args:
        path: the file.
        name: what errors call it, instead of its path.

    Raises:
        InputError: no such file, not a MindIR, or one with loops or branches.
    """
    model = _read_proto(path)
    if model.functions:
        raise InputError(f"{name or path}: has a loop or a branch; only a plain sequence of operators can be read")
    return to_inputs(_from_proto(model))


def describe_mindir(path: str | os.PathLike) -> dict[str, Any]:
    """Returns `inputs`, `outputs` and `operators` (counts) of any MindIR, as a manifest has them."""
    model = _read_proto(path)
    short = {primitive.name: primitive.op_type for primitive in model.primitives}
    bodies = (model.graph, *model.functions)
    names = [node.op_type.removeprefix("REF::") for body in bodies for node in body.node]
    prefix = f"{model.graph.name}:"
    inputs, outputs = (
        [describe_tensor(value.name.removeprefix(prefix), _tensor_type(value.tensor[0])) for value in values]
        for values in (model.graph.input, model.graph.output)
    )
    return {
        "inputs": inputs,
        "outputs": outputs,
        "operators": dict(sorted(Counter(short[name] for name in names if name in short).items())),
    }


def _read_proto(path: str | os.PathLike) -> Any:
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except DecodeError as error:
        raise InputError(f"{path}: not a MindIR") from error
    if not model.graph.node:
        raise InputError(f"{path}: not a MindIR with a graph")
    return model


def _from_proto(model: Any) -> Graph:
    short: dict[str, str] = {}  # what follows the graph's name, which holds this machine's call numbers

    def name_of(full: str) -> str:
        return short.setdefault(full, full.removeprefix(f"{model.graph.name}:"))

    primitives = {primitive.name: primitive for primitive in model.primitives}
    constants: dict[str, Any] = {name_of(weight.name): _array(weight) for weight in model.graph.parameter}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[name_of(node.output[0])] = _value(node.attribute[0])
            continue
        primitive = primitives[node.op_type.removeprefix("REF::")]
        attributes = {each.name: _value(each) for each in primitive.attribute}
        kind = next(_type(each) for each in node.attribute if each.name == "shape")
        names = [name_of(name) for name in node.input]
        nodes.append(Node(primitive.op_type, names, name_of(node.output[0]), kind, attributes))
    inputs = {name_of(value.name): _tensor_type(value.tensor[0]) for value in model.graph.input}
    return Graph(inputs, name_of(model.graph.output[0].name), constants, nodes)


def _tensor_type(tensor: Any) -> Type:
    return Type(tuple(tensor.dims), _DTYPES[tensor.data_type])


def _type(attribute: Any) -> Any:
    if attribute.type in (_TUPLE, _LIST):
        return tuple(_type(value) for value in attribute.values)
    return _tensor_type(attribute.tensors[0]) if attribute.tensors else None


def _array(tensor: Any) -> np.ndarray:
    return np.frombuffer(tensor.raw_data, _DTYPES[tensor.data_type]).reshape(tuple(tensor.dims))


def _value(attribute: Any) -> Any:
    """Returns a constant or an attribute as Python has it. The one number of a member of a tuple stands in a list."""
    kind = attribute.type
    if kind in (_TUPLE, _LIST):
        return tuple(_value(value) for value in attribute.values)
    if kind == _TENSORS:
        tensor = attribute.tensors[0]
        return _array(tensor) if tensor.HasField("raw_data") else _TYPE_IDS[_DTYPES[tensor.data_type]]
    if kind == _FLOAT:
        return attribute.floats[0] if attribute.floats else attribute.f
    if kind in (_INT64, _BOOL):
        number = attribute.ints[0] if attribute.ints else attribute.i
        return bool(number) if kind == _BOOL else number
    if kind == _STRING:
        text = attribute.strings[0] if attribute.strings else attribute.s
        return text.decode() if isinstance(text, bytes) else text
    return None  # NONE, or an order of effects


def write_mindir(graph: Graph, path: str | os.PathLike, *, version: int = 1) -> None:
    """Writes a graph as MindIR: arrays as its parameters, all other constants as nodes.

    Args:
        graph: as `read_mindir` gives it.
        path: the file.
        version: one of `VERSIONS`.
    """
    import mindspore
    from mindspore.train.mind_ir_pb2 import ModelProto

    graph = to_attributes(graph) if version == 1 else graph
    model = ModelProto(ir_version="1.1", producer_name="MindSpore", model_version=mindspore.__version__)
    model.mind_ir_version = version
    model.little_endian = True
    model.graph.name = "separate"
    for name, kind in graph.inputs.items():
        _fill_tensor(model.graph.input.add(name=name).tensor.add(), kind)
    for name, value in graph.constants.items():
        if isinstance(value, np.ndarray):
            tensor = model.graph.parameter.add(name=name, ref_key=name, raw_data=value.tobytes())
            _fill_tensor(tensor, Type(value.shape, str(value.dtype)))
        else:
            _fill_value(model.graph.node.add(op_type="Constant", output=[name], name=name).attribute.add(), value)
    primitives: dict[str, str] = {}
    for number, node in enumerate(graph.nodes, 1):
        written = model.graph.node.add(name=node.output, op_type=f"REF::{_primitive(model, primitives, node)}")
        written.input.extend(node.inputs)
        written.output.append(node.output)
        written.domain = f"Default/{node.op}-op{number}"
        _fill_type(written.attribute.add(name="shape"), node.type)
    _fill_tensor(model.graph.output.add(name=graph.output).tensor.add(), graph.type_of(graph.output))
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _primitive(model: Any, known: dict[str, str], node: Node) -> str:
    """Returns the name of a node's primitive among the model's, added when it is new."""
    key = f"{node.op} {sorted(node.attributes.items())}"
    if key not in known:
        known[key] = f"{node.op}:{len(known) + 1}"
        primitive = model.primitives.add(name=known[key], op_type=node.op)
        if model.mind_ir_version > 1:
            primitive.prim_type = 1 if node.op in _PLAIN_PRIMITIVES else 2
        for name, value in node.attributes.items():
            _fill_value(primitive.attribute.add(name=name), value)
    return known[key]


_PLAIN_PRIMITIVES = (
    "MakeTuple",
    "TupleGetItem",
    "DynamicRNN",
    "DynamicGRUV2",
)  # the others are defined by their inputs


def _fill_tensor(tensor: Any, kind: Type) -> None:
    tensor.dims.extend(kind.shape)
    tensor.data_type = _CODES[np.dtype(kind.dtype)]


def _fill_type(attribute: Any, kind: Any) -> None:
    if isinstance(kind, Type):
        attribute.type = _TENSORS
        _fill_tensor(attribute.tensors.add(), kind)
        return
    attribute.type = _TUPLE
    attribute.seq_info.is_dyn_len = False
    for each in kind:
        _fill_type(attribute.values.add(), each)


def _fill_value(attribute: Any, value: Any, *, member: bool = False) -> None:
    """The inverse of `_value`."""
    attribute.name = attribute.name or ("" if member else "value")
    if value is None:
        attribute.type = _NONE
    elif isinstance(value, TypeId):
        attribute.type = _TENSORS
        attribute.tensors.add(data_type=next(_CODES[np.dtype(n)] for n, i in _TYPE_IDS.items() if i == value))
    elif isinstance(value, tuple):
        attribute.type = _TUPLE
        for each in value:
            _fill_value(attribute.values.add(), each, member=True)
    else:
        kinds = {bool: (_BOOL, "i", "ints"), int: (_INT64, "i", "ints"), float: (_FLOAT, "f", "floats")}
        attribute.type, one, several = kinds.get(type(value), (_STRING, "s", "strings"))
        value = value.encode() if isinstance(value, str) else int(value) if isinstance(value, bool) else value
        if member:
            getattr(attribute, several).append(value)
        else:
            setattr(attribute, one, value)
