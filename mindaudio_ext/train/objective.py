"""What a training minimises: the loss of a model's estimates, and of auxiliary ones if it gives some."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn

from mindaudio_ext.config import Config, arguments_of
from mindaudio_ext.registry import LOSSES


class Objective(nn.Cell):
    """The loss of the estimates; with auxiliary ones (1 - weight) of it and weight of the mean of theirs.

    Lee, Xie, Gallagher, Zhang and Tu, "Deeply-supervised nets", AISTATS 2015.

    Args:
        config: of the losses, and the weight at first.

    Attributes:
        weight: float32 []; no parameter of the model or its checkpoint.

    Inputs:
        estimates: each [B, C, T]; what is decoded comes first, then auxiliary ones, if any.
        sources: [B, C, T].
        lengths: samples of each example, [B], int32.

    Outputs:
        A scalar.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(auto_prefix=False)
        self.loss = LOSSES.get(config.loss)(**arguments_of(config, "loss_conf"))
        self.auxiliary_loss = LOSSES.get(config.auxiliary_loss)(**arguments_of(config, "auxiliary_loss_conf"))
        weight = Tensor(config.auxiliary_weight, ms.float32)
        self.weight = Parameter(weight, name="auxiliary_weight", requires_grad=False)

    def construct(self, estimates: tuple[Tensor, ...], sources: Tensor, lengths: Tensor) -> Tensor:
        loss = self.loss(estimates[0].astype(ms.float32), sources, lengths)
        if len(estimates) == 1:
            return loss
        total = 0.0
        for estimate in estimates[1:]:
            total = total + self.auxiliary_loss(estimate.astype(ms.float32), sources, lengths)
        return (1 - self.weight) * loss + self.weight * total / (len(estimates) - 1)
