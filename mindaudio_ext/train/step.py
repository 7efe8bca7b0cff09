"""One compiled training step: forward, loss, gradients, clipping, update, moving average."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.train.distributed import AllReduceMean, flattened
from mindaudio_ext.train.dropout import count_dropout
from mindaudio_ext.train.gradients import make_gradients
from mindaudio_ext.train.objective import Objective
from mindaudio_ext.train.optimizer import make_optimizer
from mindaudio_ext.train.precision import LossScale


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
        model: mixture [B, T] -> estimates [B, C, T]; one with `n_auxiliary` above 0 is trained by what its method
            `with_auxiliary` gives.
        average: of loss and gradients over the ranks, each of which has its share of the batch; None for one.

    Attributes:
        criterion: the loss.
        state: all that a step changes: the model's parameters and the optimizer's state, by unique names.
        statistics: the parameters that a forward pass changes and no optimizer: running means and variances.
        has_auxiliary: whether there is an auxiliary loss.
    """

    def __init__(self, config: Config, model: nn.Cell, average: AllReduceMean | None = None) -> None:
        self.n_parts = config.accum_steps
        update = self.update = Update(config, model, average, count_dropout(model, config.seed))
        self.state: list[Parameter] = [*model.get_parameters(), *update.state]
        self.statistics = _statistics(model)
        self.has_auxiliary = getattr(model, "n_auxiliary", 0) > 0 and config.auxiliary_weight > 0
        has_auxiliary, objective, n_parts = self.has_auxiliary, Objective(config), self.n_parts
        self._auxiliary_weight = objective.weight
        self.criterion: nn.Cell = objective.loss

        def loss_fn(estimates: Tensor | tuple[Tensor, ...], sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            loss = objective(estimates if has_auxiliary else (estimates,), sources, lengths) / n_parts
            return update.scaled(loss), loss

        self._gradients = make_gradients(
            model,
            loss_fn,
            update.parameters,
            recompute=config.recompute,
            recompute_rnns=config.recompute_rnns,
            half=config.mixed_precision,
            auxiliary=self.has_auxiliary,
        )

        # Gradients one by one: what is in a tuple is a constant to `ms.jit`, and compiled anew at every step. By a map:
        # MindSpore compiles a loop as calls within calls, at most 1000.
        each = ops.HyperMap()

        @ms.jit
        def add(*both: Tensor) -> tuple[Tensor, ...]:
            n = len(both) // 2
            return each(ops.add, both[:n], both[n:])

        self._add = add

    @one_at_a_time
    def __call__(self, batch: Batch, rate: float) -> StepResult:
        """Updates the model by one batch at a learning rate; a step that is not applied leaves its statistics too."""
        before = [parameter.asnumpy().copy() for parameter in self.statistics]
        arrays = (np.split(array, self.n_parts) for array in (batch.mixture, batch.sources, batch.lengths))
        loss = 0.0
        gradients: tuple[Tensor, ...] = ()
        for part in zip(*arrays):
            part_loss, found = self._gradients(*map(Tensor, part))
            loss += float(part_loss)
            gradients = self._add(*gradients, *found) if gradients else found
        result = self.update(Tensor(loss, ms.float32), gradients, rate)
        if not result.applied:
            for parameter, value in zip(self.statistics, before):
                ops.assign(parameter, Tensor(value))
        return result

    @one_at_a_time
    def weigh_auxiliary(self, weight: float) -> None:
        """Sets the share of the auxiliary loss in the next steps."""
        ops.assign(self._auxiliary_weight, Tensor(weight, ms.float32))

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
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
        for parameter, value in zip(self.statistics, _statistics(model)):
            ops.assign(parameter, Tensor(value.asnumpy()))
        for average, parameter in zip(self.update.averages, self.update.parameters):
            ops.assign(average, parameter)
        self.update.optimizer.reset()


def _approach(share: float, mean: Parameter, parameter: Parameter) -> Tensor:
    return ops.assign_add(mean, share * (parameter - mean))


def _statistics(model: nn.Cell) -> list[Parameter]:
    return [parameter for parameter in model.get_parameters() if not parameter.requires_grad]


class Update:
    """Clips gradients by their global norm and hands them to the optimizer, unless something is not finite.

    Args:
        config: of the optimizer, `clip_norm`, `ema_decay` and `mixed_precision`.
        model: whose trainable parameters are updated.
        average: of loss and gradients over the ranks; None for one.
        count: int32 [], to be increased by one; None: there is no such count.

    Attributes:
        parameters: those of the model that are trained.
        averages: their exponential moving averages; empty when `ema_decay` is 0.
        state: all it changes but the model's parameters.
    """

    def __init__(
        self, config: Config, model: nn.Cell, average: AllReduceMean | None = None, count: Parameter | None = None
    ) -> None:
        average, decay = AllReduceMean() if average is None else average, config.ema_decay
        optimizer = self.optimizer = make_optimizer(config, model)
        parameters = self.parameters = optimizer.parameters
        averages = self.averages = parameters.clone("ema", init="same") if decay > 0 else ParameterTuple(())
        loss_scale = self.loss_scale = LossScale() if config.mixed_precision else None
        self.clip_norm = config.clip_norm
        of_scale = loss_scale.get_parameters() if loss_scale else ()
        of_count = () if count is None else (count,)
        of_model = {parameter.name for parameter in parameters}
        of_optimizer = [state for state in optimizer.get_parameters() if state.name not in of_model]
        self.state = [*of_optimizer, *averages, *of_scale, *of_count]

        each = ops.HyperMap()

        @ms.jit
        def gather(loss: Tensor, *gradients: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
            loss, gradients = average(loss, gradients)
            return loss, ops.sqrt(ops.square(ops.concat(each(flattened, gradients))).sum()), gradients

        @ms.jit
        def apply(factor: Tensor, rate: Tensor, *gradients: Tensor) -> None:
            optimizer(gradients, factor, rate)
            if decay > 0:
                each(ops.partial(_approach, 1 - decay), averages, parameters)

        self._gather, self._apply, self._count = gather, apply, count

    def scaled(self, loss: Tensor) -> Tensor:
        """Returns what is to be differentiated in place of the loss."""
        return loss if self.loss_scale is None else loss * self.loss_scale.scale

    def __call__(self, loss: Tensor, gradients: tuple[Tensor, ...], rate: float) -> StepResult:
        """Updates the parameters.

        Args:
            loss: of this rank's share of the batch.
            gradients: of the scaled loss, one for each parameter.
            rate: learning rate.
        """
        loss, norm, gradients = self._gather(loss, *gradients)
        unit = 1.0 if self.loss_scale is None else 1 / float(self.loss_scale.scale)
        loss, norm = float(loss), float(norm) * unit
        applied = math.isfinite(loss + norm)
        if applied:
            factor = unit * min(1.0, self.clip_norm / norm) if norm > 0 else unit
            self._apply(Tensor(factor, ms.float32), Tensor(rate, ms.float32), *gradients)
        if self._count is not None:
            ops.assign_add(self._count, Tensor(1, ms.int32))
        if self.loss_scale is not None:
            self.loss_scale(Tensor(math.isfinite(norm)))
        return StepResult(loss, norm, applied)
