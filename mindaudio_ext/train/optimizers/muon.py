"""Muon, momentum made orthogonal."""

from collections.abc import Mapping, Sequence
from typing import Any

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindaudio_ext.layers.attention import SelfAttention
from mindaudio_ext.layers.rnn import RNN
from mindaudio_ext.registry import OPTIMIZERS
from mindaudio_ext.train.optimizers._optimizer import Optimizer
from mindaudio_ext.train.optimizers.adam import Adam


@OPTIMIZERS.register("muon")
class Muon(Optimizer):
    """Momentum made orthogonal, for matrices; Adam for everything else.

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the length of a step, 0.2 a value as
    Adam's about is, from Liu et al., "Muon is scalable for LLM training", 2025, section 2.2.

    Args:
        parameters: to be updated.
        matrices: names of those that are matrices, and how many of the same size are on top of each other in each.
        weight_decay: L2 penalty; of a matrix this times the rate goes away at each step, whatever its gradient.
        momentum: share of the velocity that is kept.
    """

    coefficients = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration
    n_iterations = 5

    def __init__(
        self, parameters: Sequence[Parameter], matrices: Mapping[str, int], *, weight_decay: float, momentum: float
    ) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.momentum = momentum
        groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        ours: list[Parameter] = []
        for place, parameter in enumerate(parameters):
            if parameter.name in matrices:
                n_parts = matrices[parameter.name]
                shape = (n_parts, parameter.shape[0] // n_parts, parameter.shape[1])
                groups.setdefault(shape, []).append((place, len(ours)))
                ours.append(parameter)
        self.groups = tuple((shape, tuple(members)) for shape, members in groups.items())
        self.velocities = ParameterTuple(ours).clone("velocity", init="zeros")
        self.others = tuple(place for place, parameter in enumerate(parameters) if parameter.name not in matrices)
        self.adam = Adam([parameters[place] for place in self.others], weight_decay=weight_decay)

    @classmethod
    def of_model(cls, model: nn.Cell, **options: Any) -> "Muon":
        return cls(model.trainable_params(), matrices_of(model), **options)

    def reset(self) -> None:
        super().reset()
        self.adam.reset()

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> None:
        of_others = []
        for place in self.others:
            of_others.append(gradients[place])
        self.adam(tuple(of_others), factor, rate)
        for (n_parts, rows, columns), members in self.groups:
            updates = []
            for place, number in members:
                gradient = gradients[place] * factor
                velocity = self.velocities[number]
                moving = self.momentum * velocity + (1 - self.momentum) * gradient
                ops.assign(velocity, moving)
                ahead = self.momentum * moving + (1 - self.momentum) * gradient
                updates.append(ahead.reshape(n_parts, rows, columns))
            steps = self._orthogonal(ops.concat(updates)) * (0.2 * max(rows, columns) ** 0.5 * rate)
            for i in range(len(members)):
                step = steps[i * n_parts : (i + 1) * n_parts].reshape(n_parts * rows, columns)
                parameter = self.parameters[members[i][0]]
                ops.assign_sub(parameter, step + rate * self.weight_decay * parameter)

    def _orthogonal(self, x: Tensor) -> Tensor:
        """Brings the singular values of matrices [M, rows, columns] near 1, whatever they are."""
        wide = x.shape[1] < x.shape[2]
        x = x.transpose(0, 2, 1) if wide else x
        x = x / (ops.sqrt(ops.square(x).sum(axis=(1, 2), keepdims=True)) + 1e-7)
        a, b, c = self.coefficients
        for _ in range(self.n_iterations):
            gram = ops.bmm(x.transpose(0, 2, 1), x)
            x = a * x + ops.bmm(x, b * gram + c * ops.bmm(gram, gram))
        return x.transpose(0, 2, 1) if wide else x


def matrices_of(model: nn.Cell) -> dict[str, int]:
    """Finds the matrices of dense layers and of our RNNs: a gate's, a query's, key's or value's is one of its own."""
    found = {}
    for _, cell in model.cells_and_names():  # an attention comes before its dense layers
        if isinstance(cell, SelfAttention):
            found[cell.in_proj.weight.name] = 3
        elif isinstance(cell, nn.Dense):
            found.setdefault(cell.weight.name, 1)
        elif isinstance(cell, RNN):
            for parameter in cell.get_parameters():
                if parameter.ndim == 2:
                    found[parameter.name] = parameter.shape[0] // cell.hidden_size
    return found
