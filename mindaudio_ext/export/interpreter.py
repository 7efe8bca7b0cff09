"""A MindIR run operator by operator in NumPy, straight from its file: what an Ascend would compute, without one."""

import os
from typing import Any

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.graph import Graph, Type
from mindaudio_ext.export.mindir_file import read_mindir
from mindaudio_ext.export.operators import OPERATORS, call


class Interpreter:
    """Runs a graph of one input.

    Args:
        graph: of operators that `operators.OPERATORS` has.
        name: what errors call it.

    Raises:
        InputError: it has another operator, or several inputs.
    """

    def __init__(self, graph: Graph, name: str = "graph") -> None:
        unknown = sorted({node.op for node in graph.nodes} - OPERATORS.keys())
        if unknown:
            raise InputError(f"{name}: operator {unknown[0]} cannot be interpreted")
        if len(graph.inputs) != 1:
            raise InputError(f"{name}: has {len(graph.inputs)} inputs, not one")
        self.graph, self.name = graph, name
        self._last_reader = {source: node.output for node in graph.nodes for source in node.inputs}

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the output.

        Args:
            inputs: of the graph's shape and type.

        Raises:
            InputError: it is not, or an operator gives what the graph does not say.
        """
        ((name, kind),) = self.graph.inputs.items()
        self._require(inputs, kind, f"input {name}")
        values: dict[str, Any] = {name: inputs}
        for node in self.graph.nodes:
            arguments = [values[n] if n in values else self.graph.constants[n] for n in node.inputs]
            result = call(node.op, arguments, node.attributes)
            self._require(result, node.type, f"{node.op} {node.output}")
            values[node.output] = result
            for source in set(node.inputs) & values.keys():
                if self._last_reader[source] == node.output and source != self.graph.output:
                    del values[source]
        return values[self.graph.output]

    def _require(self, value: Any, kind: Any, what: str) -> None:
        """Compares a value with the type that the graph gives it; of a tuple, the members that are there."""
        if isinstance(value, tuple):
            for member, its_kind in zip(value, kind):
                self._require(member, its_kind, what)
        elif isinstance(value, np.ndarray) and Type(value.shape, str(value.dtype)) != kind:
            raise InputError(
                f"{self.name}: {what} is {value.dtype} {value.shape}, the graph says {kind.dtype} {kind.shape}"
            )


def read_graph(path: str | os.PathLike) -> Interpreter:
    """Reads a MindIR for `Interpreter`.

    Raises:
        InputError: see `graph.read_mindir` and `Interpreter`.
    """
    return Interpreter(read_mindir(path), str(path))
