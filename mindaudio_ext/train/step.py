"""One compiled training step: forward, loss, gradients, clipping, update."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.losses.pit import PITLoss


def make_optimizer(config: Config, model: nn.Cell) -> nn.Optimizer:
    """Makes the optimizer that a config names; weight decay is an L2 penalty, as in PyTorch's Adam and SGD."""
    parameters = model.trainable_params()
    if config.optimizer == "adam":
        return nn.Adam(parameters, config.lr, weight_decay=config.weight_decay)
    return nn.SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def make_train_step(
    model: nn.Cell, optimizer: nn.Optimizer, *, num_spks: int, clip_norm: float
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Makes `step(mixture [B, T], sources [B, C, T], lengths [B]) -> (loss, gradient norm)`, compiled when first called.

    Gradients whose global norm is above `clip_norm` are scaled down to it; the norm returned is the one before.
    """
    loss_fn = PITLoss(num_spks)

    def forward(mixture: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
        return loss_fn(model(mixture), sources, lengths)

    value_and_grad = ms.value_and_grad(forward, None, optimizer.parameters)
    square, scale_all = ops.MultitypeFuncGraph("square"), ops.MultitypeFuncGraph("scale")
    square.register("Tensor")(_sum_of_squares)
    scale_all.register("Tensor", "Tensor")(_scale)
    hyper_map = ops.HyperMap()

    @ms.jit
    def step(mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradients = value_and_grad(mixture, sources, lengths)
        norm = ops.sqrt(ops.addn(hyper_map(square, gradients)))
        factor = clip_norm / ops.maximum(norm, clip_norm)
        optimizer(hyper_map(ops.partial(scale_all, factor), gradients))
        return loss, norm

    return step


def _sum_of_squares(gradient: Tensor) -> Tensor:
    return ops.square(gradient).sum()


def _scale(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient * factor
