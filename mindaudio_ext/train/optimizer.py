"""Adam and SGD as PyTorch has them."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindaudio_ext.config import Config

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


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

    def reset(self) -> None:
        """Sets the state to that of a new optimizer; parameters stay."""
        of_model = {parameter.name for parameter in self.parameters}
        for state in self.get_parameters():
            if state.name not in of_model:
                is_power = state.name in ("beta1_power", "beta2_power")
                ops.assign(state, ops.ones_like(state) if is_power else ops.zeros_like(state))

    def _penalised(self, gradient: Tensor, parameter: Parameter) -> Tensor:
        return gradient + self.weight_decay * parameter if self.weight_decay > 0 else gradient


class Adam(Optimizer):
    """Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    MindSpore's operator adds epsilon before the second moment's bias is corrected, so it is given a corrected epsilon.
    """

    def __init__(self, parameters: Sequence[Parameter], *, weight_decay: float) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.moments1 = self.parameters.clone("moment1", init="zeros")
        self.moments2 = self.parameters.clone("moment2", init="zeros")
        self.power1 = Parameter(Tensor(1.0, ms.float32), name="beta1_power")
        self.power2 = Parameter(Tensor(1.0, ms.float32), name="beta2_power")
        self.adam = ops.Adam()

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> None:
        power1 = ops.assign(self.power1, self.power1 * BETA1)
        power2 = ops.assign(self.power2, self.power2 * BETA2)
        epsilon = EPSILON * ops.sqrt(1 - power2)
        for parameter, m1, m2, gradient in zip(self.parameters, self.moments1, self.moments2, gradients):
            gradient = self._penalised(gradient * factor, parameter)
            self.adam(parameter, m1, m2, power1, power2, rate, BETA1, BETA2, epsilon, gradient)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: a step goes by `momentum` times the last velocity, plus gradient."""

    def __init__(self, parameters: Sequence[Parameter], *, weight_decay: float, momentum: float) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.momentum = momentum
        self.velocities = self.parameters.clone("velocity", init="zeros")
        self.sgd = ops.ApplyMomentum()

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> None:
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients):
            self.sgd(parameter, velocity, rate, self._penalised(gradient * factor, parameter), self.momentum)


def make_optimizer(config: Config, model: nn.Cell) -> Optimizer:
    """Makes the optimizer that a config names, of all trainable parameters of a model."""
    parameters = model.trainable_params()
    if config.optimizer == "adam":
        return Adam(parameters, weight_decay=config.weight_decay)
    return SGD(parameters, weight_decay=config.weight_decay, momentum=config.momentum)
