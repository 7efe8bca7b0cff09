"""One compiled training step: forward, loss, gradients, clipping, update."""

from typing import NamedTuple

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.losses.pit import PITLoss
from mindaudio_ext.train.distributed import Average
from mindaudio_ext.train.optimizer import make_optimizer


class StepResult(NamedTuple):
    """What a step gives.

    Attributes:
        loss: mean over the batch, dB.
        grad_norm: global norm of the gradients, before clipping.
        applied: whether the parameters were updated; not when loss or norm is NaN or infinite.
    """

    loss: float
    grad_norm: float
    applied: bool


class TrainStep:
    """Trains a model by batches of one shape.

    Args:
        config: of the optimizer, `clip_norm` and `num_spks`.
        model: mixture [B, T] -> estimates [B, C, T].
        average: of loss and gradients over the ranks, each of which has an equal share of the batch; None for one.

    Attributes:
        state: all that a step changes: the model's parameters and the optimizer's state, by unique names.
    """

    def __init__(self, config: Config, model: nn.Cell, average: Average | None = None) -> None:
        loss_fn = PITLoss(config.num_spks)
        update = Update(config, model)
        average = Average(1) if average is None else average
        self.state: list[Parameter] = [*model.get_parameters(), *update.state]

        def forward(mixture: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
            return loss_fn(model(mixture), sources, lengths)

        value_and_grad = ms.value_and_grad(forward, None, update.parameters)

        @ms.jit
        def step(mixture: Tensor, sources: Tensor, lengths: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            loss, gradients = average(*value_and_grad(mixture, sources, lengths))
            return update(loss, gradients, rate)

        self._step = step

    def __call__(self, batch: Batch, rate: float) -> StepResult:
        """Updates the model by one batch at a learning rate."""
        loss, norm, applied = self._step(
            Tensor(batch.mixture), Tensor(batch.sources), Tensor(batch.lengths), Tensor(rate, ms.float32)
        )
        return StepResult(float(loss), float(norm), bool(applied))


class Update(nn.Cell):
    """Clips gradients by their global norm and hands them to the optimizer, unless something is not finite.

    Args:
        config: of the optimizer and `clip_norm`.
        model: whose trainable parameters are updated.

    Inputs:
        loss: [].
        gradients: one for each of `parameters`.
        rate: learning rate, [].

    Outputs:
        Loss [], global norm of the gradients before clipping [], and whether the update was applied (bool []).
    """

    def __init__(self, config: Config, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.clip_norm = config.clip_norm
        self.optimizer = make_optimizer(config, model)
        self.parameters = self.optimizer.parameters
        of_model = {parameter.name for parameter in model.get_parameters()}
        self.state = [parameter for parameter in self.get_parameters() if parameter.name not in of_model]

    def construct(self, loss: Tensor, gradients: tuple[Tensor, ...], rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        squares = []
        for gradient in gradients:
            squares.append(ops.square(gradient).sum())
        norm = ops.sqrt(ops.addn(squares))
        factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
        clipped = []
        for gradient in gradients:
            clipped.append(gradient * factor)
        applied = ops.isfinite(loss + norm)
        return loss, norm, self.optimizer(clipped, rate, applied)
