"""The optimizer that a config names."""

from mindspore import nn

from mindaudio_ext.config import Config, arguments_of
from mindaudio_ext.registry import OPTIMIZERS
from mindaudio_ext.train.optimizers._optimizer import Optimizer


def make_optimizer(config: Config, model: nn.Cell) -> Optimizer:
    """Makes the optimizer that a config names, of all trainable parameters of a model."""
    return OPTIMIZERS.get(config.optimizer).of_model(model, **arguments_of(config, "optimizer_conf"))
