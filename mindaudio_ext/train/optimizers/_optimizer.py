"""What every optimizer is."""

from collections.abc import Sequence
from typing import Any

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops


class Optimizer(nn.Cell):
    """Updates parameters in place. What `get_parameters` gives is all of its state, and the parameters.

    Args:
        parameters: to be updated.
        weight_decay: L2 penalty; this times a parameter is added to its gradient.

    Inputs:
        gradients: one for each parameter.
        factor: of the gradients, float32 [].
        rate: learning rate, float32 [].
    """

    def __init__(self, parameters: Sequence[Parameter], *, weight_decay: float) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.weight_decay = weight_decay
        self.each = ops.HyperMap()  # MindSpore compiles a loop as calls within calls, at most 1000

    @classmethod
    def of_model(cls, model: nn.Cell, **options: Any) -> "Optimizer":
        """Makes the optimizer of all trainable parameters of a model."""
        return cls(model.trainable_params(), **options)

    def reset(self) -> None:
        """Sets the state to that of a new optimizer; parameters stay."""
        of_model = {parameter.name for parameter in self.parameters}
        for state in self.get_parameters():
            if state.name not in of_model:
                ops.assign(state, ops.zeros_like(state))


def penalised(gradient: Tensor, parameter: Parameter, weight_decay: float) -> Tensor:
    """Returns a gradient with that of the L2 penalty."""
    return gradient + weight_decay * parameter if weight_decay > 0 else gradient
