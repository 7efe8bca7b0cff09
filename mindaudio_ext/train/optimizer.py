"""Adam and SGD as PyTorch has them, in steps that can be left out: a step that is not `applied` changes nothing."""

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
        gradients: one for each parameter; of any value, also NaN, when not applied.
        rate: learning rate, float32 [].
        applied: bool []; when false, parameters and state stay as they are, bit for bit.
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

    def _penalised(self, gradient: Tensor, parameter: Parameter, applied: Tensor) -> Tensor:
        if self.weight_decay > 0:
            gradient = gradient + self.weight_decay * parameter
        return ops.where(applied, gradient, ops.zeros_like(gradient))


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

    def construct(self, gradients: tuple[Tensor, ...], rate: Tensor, applied: Tensor) -> Tensor:
        beta1, beta2 = ops.where(applied, BETA1, 1.0), ops.where(applied, BETA2, 1.0)
        power1 = ops.where(applied, ops.assign(self.power1, self.power1 * beta1), 0.0)
        power2 = ops.where(applied, ops.assign(self.power2, self.power2 * beta2), 0.0)
        rate = ops.where(applied, rate, 0.0)
        epsilon = EPSILON * ops.sqrt(1 - power2)
        for parameter, m1, m2, gradient in zip(self.parameters, self.moments1, self.moments2, gradients):
            gradient = self._penalised(gradient, parameter, applied)
            self.adam(parameter, m1, m2, power1, power2, rate, beta1, beta2, epsilon, gradient)
        return applied


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: a step goes by `momentum` times the last velocity, plus gradient."""

    def __init__(self, parameters: Sequence[Parameter], *, weight_decay: float, momentum: float) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.momentum = momentum
        self.velocities = self.parameters.clone("velocity", init="zeros")
        self.sgd = ops.ApplyMomentum()

    def construct(self, gradients: tuple[Tensor, ...], rate: Tensor, applied: Tensor) -> Tensor:
        momentum = ops.where(applied, self.momentum, 1.0)
        rate = ops.where(applied, rate, 0.0)
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients):
            self.sgd(parameter, velocity, rate, self._penalised(gradient, parameter, applied), momentum)
        return applied


def make_optimizer(config: Config, model: nn.Cell) -> Optimizer:
    """Makes the optimizer that a config names, of all trainable parameters of a model."""
    parameters = model.trainable_params()
    if config.optimizer == "adam":
        return Adam(parameters, weight_decay=config.weight_decay)
    return SGD(parameters, weight_decay=config.weight_decay, momentum=config.momentum)
