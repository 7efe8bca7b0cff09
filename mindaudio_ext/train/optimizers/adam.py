"""Adam as PyTorch has it."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import Parameter, Tensor, ops

from mindaudio_ext.registry import OPTIMIZERS
from mindaudio_ext.train.optimizers._optimizer import Optimizer, penalised

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@OPTIMIZERS.register("adam")
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

    def reset(self) -> None:
        super().reset()
        for power in (self.power1, self.power2):
            ops.assign(power, ops.ones_like(power))

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor, rate: Tensor) -> None:
        power1 = ops.assign(self.power1, self.power1 * BETA1)
        power2 = ops.assign(self.power2, self.power2 * BETA2)
        epsilon = EPSILON * ops.sqrt(1 - power2)
        update = ops.partial(_update, self.adam, factor, self.weight_decay, (power1, power2, rate, epsilon))
        self.each(update, self.parameters, self.moments1, self.moments2, gradients)


def _update(
    adam: ops.Primitive,
    factor: Tensor,
    weight_decay: float,
    scalars: tuple[Tensor, ...],
    parameter: Parameter,
    m1: Parameter,
    m2: Parameter,
    gradient: Tensor,
) -> tuple[Tensor, ...]:
    power1, power2, rate, epsilon = scalars
    gradient = penalised(gradient * factor, parameter, weight_decay)
    return adam(parameter, m1, m2, power1, power2, rate, BETA1, BETA2, epsilon, gradient)
