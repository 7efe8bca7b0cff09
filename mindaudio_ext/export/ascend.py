"""What an Ascend graph may consist of."""

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.graph import Graph

ALLOWED = frozenset(
    (
        *("Abs", "Add", "BatchMatMul", "BiasAdd", "Cast", "Concat", "CumSum", "DynamicGRUV2", "DynamicRNN"),
        *("Erf", "Gather", "LayerNorm", "Less", "MakeTuple", "MatMul", "Mul", "Neg", "RealDiv", "ReduceMean", "ReLU"),
        *("Reshape", "ReverseV2", "Rsqrt", "Select", "Sigmoid", "Softmax", "Square", "StridedSlice", "Sub", "Tanh"),
        *("Transpose", "TupleGetItem"),
    )
)
"""Operators that MindSpore's sources map to one of Ascend's (its op adapters), and that `operators` can prove."""


def check_operators(graph: Graph, name: str) -> None:
    """Checks that an Ascend can take every operator of a graph.

    Raises:
        InputError: names the first that is not in `ALLOWED`.
    """
    for node in graph.nodes:
        if node.op not in ALLOWED:
            raise InputError(f"{name}: operator {node.op} is not one for Ascend; leave ascend out of export_targets")
        kinds = node.type if isinstance(node.type, tuple) else (node.type,)
        if any(kind.dtype == "float64" for kind in kinds):
            raise InputError(f"{name}: operator {node.op} gives float64, which an Ascend does not compute")
