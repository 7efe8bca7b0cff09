"""Stochastic gradient descent as PyTorch has it."""

from collections.abc import Sequence

from mindspore import Parameter, Tensor, ops

from mindaudio_ext.registry import OPTIMIZERS
from mindaudio_ext.train.optimizers._optimizer import Optimizer, penalised


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent with momentum: a step goes by `momentum` times the last velocity, plus gradient."""

    def __init__(self, parameters: Sequence[Parameter], *, weight_decay: float, momentum: float) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.momentum = momentum
        self.velocities = self.parameters.clone("velocity", init="zeros")
        self.sgd = ops.ApplyMomentum()

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> None:
        update = ops.partial(_update, self.sgd, factor, rate, self.momentum, self.weight_decay)
        self.each(update, self.parameters, self.velocities, gradients)


def _update(
    sgd: ops.Primitive,
    factor: Tensor,
    rate: Tensor,
    momentum: float,
    weight_decay: float,
    parameter: Parameter,
    velocity: Parameter,
    gradient: Tensor,
) -> Tensor:
    return sgd(parameter, velocity, rate, penalised(gradient * factor, parameter, weight_decay), momentum)
