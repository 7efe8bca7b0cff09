"""A network as a list of operators.

A node has one output, as in MindIR: an operator with several gives a tuple, of which `TupleGetItem` takes one.
"""

import dataclasses
from typing import Any

FLOAT16, FLOAT32 = 42, 43  # MindSpore's type ids, the second argument of Cast


class TypeId(int):
    """A type id among the constants that a file shall have as a type, not as a number."""


@dataclasses.dataclass(frozen=True)
class Type:
    """Shape and element type of a tensor."""

    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass
class Node:
    """One operator.

    Attributes:
        op: its MindSpore name.
        inputs: names, in MindSpore's order.
        output: name.
        type: of the output; a tuple of them for several.
        attributes: the primitive's, by name: numbers, strings, tuples of these.
    """

    op: str
    inputs: list[str]
    output: str
    type: Any
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Graph:
    """A network.

    Attributes:
        inputs: name and type of each.
        output: the name of what it gives.
        constants: by name: arrays (weights too), numbers, tuples of numbers, or None.
        nodes: each after those whose output it reads.
    """

    inputs: dict[str, Type]
    output: str
    constants: dict[str, Any]
    nodes: list[Node]

    def type_of(self, name: str) -> Any:
        """Returns the type of an input, an array among the constants, or a node's output."""
        if name in self.inputs:
            return self.inputs[name]
        if name in self.constants:
            return Type(self.constants[name].shape, str(self.constants[name].dtype))
        return next(node.type for node in self.nodes if node.output == name)


def describe_tensor(name: str, kind: Type) -> dict[str, Any]:
    """Returns name, shape and type of an input or output as a manifest has them."""
    return {"name": name, "shape": list(kind.shape), "dtype": kind.dtype}
