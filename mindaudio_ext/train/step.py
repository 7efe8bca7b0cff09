"""One compiled training step: forward, loss, gradients, clipping, update, moving average."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.losses.pit import PITLoss
from mindaudio_ext.train.distributed import Average
from mindaudio_ext.train.dropout import count_dropout
from mindaudio_ext.train.memory import recompute_blocks
from mindaudio_ext.train.optimizer import make_optimizer
from mindaudio_ext.train.precision import LossScale, in_half_precision


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
        config: of the optimizer, the loss, and how gradients are computed.
        model: mixture [B, T] -> estimates [B, C, T]; its recomputation is set here.
        average: of loss and gradients over the ranks, each of which has its share of the batch; None for one.

    Attributes:
        state: all that a step changes: the model's parameters and the optimizer's state, by unique names.
    """

    def __init__(self, config: Config, model: nn.Cell, average: Average | None = None) -> None:
        average = Average() if average is None else average
        self.n_parts = config.accum_steps
        if config.recompute:
            recompute_blocks(model)
        update = self.update = Update(config, model, count_dropout(model, config.seed))
        self.state: list[Parameter] = [*model.get_parameters(), *update.state]
        loss_fn, n_parts = PITLoss(config.num_spks, config.si_snr_clamp), self.n_parts
        estimate = in_half_precision(model) if config.mixed_precision else model

        def forward(mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            loss = loss_fn(estimate(mixture).astype(ms.float32), sources, lengths) / n_parts
            return update.scaled(loss), loss

        scaled_and_grad = ms.value_and_grad(forward, None, update.parameters, has_aux=True)

        def value_and_grad(mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            (_, loss), gradients = scaled_and_grad(mixture, sources, lengths)
            return loss, gradients

        @ms.jit
        def step(mixture: Tensor, sources: Tensor, lengths: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            loss, gradients = value_and_grad(mixture, sources, lengths)
            loss, gradients = average(loss, gradients)
            return update(loss, gradients, rate)

        self._step = step
        if n_parts == 1:
            return
        sums = update.parameters.clone("sum", init="zeros")

        @ms.jit
        def add(mixture: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
            loss, gradients = value_and_grad(mixture, sources, lengths)
            for total, gradient in zip(sums, gradients):
                ops.assign_add(total, gradient)
            return loss

        @ms.jit
        def finish(loss: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            gradients = []
            for total in sums:
                gradients.append(total + 0)
            loss, gradients = average(loss, tuple(gradients))
            results = update(loss, gradients, rate)
            for total in sums:
                ops.assign(total, ops.zeros_like(total))
            return results

        self._add, self._finish = add, finish

    def __call__(self, batch: Batch, rate: float) -> StepResult:
        """Updates the model by one batch at a learning rate."""
        rate = Tensor(rate, ms.float32)
        if self.n_parts == 1:
            results = self._step(Tensor(batch.mixture), Tensor(batch.sources), Tensor(batch.lengths), rate)
        else:
            arrays = (np.split(array, self.n_parts) for array in (batch.mixture, batch.sources, batch.lengths))
            losses = [float(self._add(*map(Tensor, part))) for part in zip(*arrays)]
            results = self._finish(Tensor(sum(losses), ms.float32), rate)
        loss, norm, applied = results
        return StepResult(float(loss), float(norm), bool(applied))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the `with`, the model has the moving averages of its parameters, if there are any."""
        pairs = list(zip(self.update.parameters, self.update.averages))
        values = [parameter.asnumpy().copy() for parameter, _ in pairs]
        for parameter, average in pairs:
            ops.assign(parameter, average)
        try:
            yield
        finally:
            for (parameter, _), value in zip(pairs, values):
                ops.assign(parameter, Tensor(value))

    def restart(self, model: nn.Cell) -> None:
        """Takes the parameters of another model of the same kind, and a new optimizer."""
        for parameter, value in zip(self.update.parameters, model.trainable_params()):
            ops.assign(parameter, Tensor(value.asnumpy()))
        for average, parameter in zip(self.update.averages, self.update.parameters):
            ops.assign(average, parameter)
        self.update.optimizer.reset()


class Update(nn.Cell):
    """Clips gradients by their global norm and hands them to the optimizer, unless something is not finite.

    Args:
        config: of the optimizer, `clip_norm`, `ema_decay` and `mixed_precision`.
        model: whose trainable parameters are updated.
        count: int32 [], to be increased by one; None: there is no such count.

    Inputs:
        loss: [].
        gradients: of the scaled loss, one for each of `parameters`.
        rate: learning rate, [].

    Outputs:
        Loss [], global norm of the gradients before clipping [], and whether the update was applied (bool []).

    Attributes:
        averages: exponential moving averages of the parameters; empty when `ema_decay` is 0.
        state: all it changes but the model's parameters.
    """

    def __init__(self, config: Config, model: nn.Cell, count: Parameter | None = None) -> None:
        super().__init__(auto_prefix=False)
        self.count, self.counts = count, count is not None
        self.clip_norm, self.decay = config.clip_norm, config.ema_decay
        self.scales = config.mixed_precision
        self.loss_scale = LossScale() if self.scales else None
        self.optimizer = make_optimizer(config, model)
        self.parameters = self.optimizer.parameters
        self.averages = self.parameters.clone("ema", init="same") if self.decay > 0 else ParameterTuple(())
        of_model = {parameter.name for parameter in model.get_parameters()}
        self.state = [parameter for parameter in self.get_parameters() if parameter.name not in of_model]

    def scaled(self, loss: Tensor) -> Tensor:
        """Gives what is to be differentiated in place of the loss."""
        return loss * self.loss_scale.scale if self.scales else loss

    def construct(self, loss: Tensor, gradients: tuple[Tensor, ...], rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        unit = 1 / self.loss_scale.scale if self.scales else 1.0
        squares = []
        for gradient in gradients:
            squares.append(ops.square(gradient * unit).sum())
        norm = ops.sqrt(ops.addn(squares))
        factor = unit * self.clip_norm / ops.maximum(norm, self.clip_norm)
        clipped = []
        for gradient in gradients:
            clipped.append(gradient * factor)
        applied = ops.isfinite(loss + norm)
        applied = self.optimizer(clipped, rate, applied)
        if self.decay > 0:
            share = ops.where(applied, 1 - self.decay, 0.0)
            for average, parameter in zip(self.averages, self.parameters):
                ops.assign_add(average, share * (parameter - average))
        if self.counts:
            ops.assign_add(self.count, Tensor(1, ms.int32))
        if self.scales:
            self.loss_scale(ops.isfinite(norm))
        return loss, norm, applied
