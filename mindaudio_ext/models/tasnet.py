"""The time-domain separation network (TasNet): encoder -> separator -> masks -> decoder.

mixture [B, T] -> features [B, L, N] -> masks [B, C, L, N] -> masked features -> estimates [B, C, T]
"""

from collections.abc import Mapping
from typing import Any

from mindspore import Tensor, nn, ops

from mindaudio_ext.config import Config
from mindaudio_ext.layers.filterbank import Decoder, Encoder
from mindaudio_ext.registry import get_separator


class TasNet(nn.Cell):
    """Separates a mixture with a separator from the registry.

    Luo and Mesgarani, "Conv-TasNet", TASLP 2019, section II.

    Args:
        separator: a registered name.
        separator_conf: the separator's options.
        num_spks: sources, C.
        n_filters: encoder filters, N.
        kernel_size: samples of a filter.
        stride: samples between frames; half of kernel_size when None.
        encoder_activation: "linear", "relu" or "gated".
        mask_activation: "relu", "sigmoid" or "softmax" (over the sources).

    Inputs:
        mixture: [B, T] with T >= kernel_size.

    Outputs:
        Estimates, [B, C, T]. Samples after the last whole frame (fewer than a stride) are zero.
    """

    def __init__(
        self,
        *,
        separator: str,
        separator_conf: Mapping[str, Any],
        num_spks: int,
        n_filters: int,
        kernel_size: int,
        stride: int | None,
        encoder_activation: str,
        mask_activation: str,
    ) -> None:
        super().__init__()
        stride = stride or kernel_size // 2
        self.kernel_size, self.stride, self.num_spks = kernel_size, stride, num_spks
        self.mask_activation = mask_activation
        self.encoder = Encoder(n_filters, kernel_size, stride, encoder_activation)
        self.separator = get_separator(separator)(n_filters, num_spks, **separator_conf)
        self.decoder = Decoder(n_filters, kernel_size, stride)

    def construct(self, mixture: Tensor) -> Tensor:
        features = self.encoder(mixture)  # [B, L, N]
        return self.reconstruct(features, self.separator(features), mixture.shape[1])

    def reconstruct(self, features: Tensor, logits: Tensor, n_samples: int) -> Tensor:
        """Makes estimates, [B, C, T], of features [B, L, N] and mask logits [B, C, L, N]."""
        n_batch = features.shape[0]
        masks = self.activate(logits)  # [B, C, L, N]
        masked = masks * features.expand_dims(1)  # [B, C, L, N]
        masked = masked.reshape((n_batch * self.num_spks, -1, masked.shape[-1]))  # [B * C, L, N]
        silence = ops.zeros((n_batch * self.num_spks, self.stride), features.dtype)
        estimates = ops.concat((self.decoder(masked), silence), axis=1)[:, :n_samples]  # [B * C, T]
        return estimates.reshape(n_batch, self.num_spks, n_samples)

    def activate(self, logits: Tensor) -> Tensor:
        """Makes masks of logits, [B, C, L, N]."""
        if self.mask_activation == "relu":
            return ops.relu(logits)
        if self.mask_activation == "sigmoid":
            return ops.sigmoid(logits)
        return ops.softmax(logits, axis=1)


def build_model(config: Config) -> nn.Cell:
    """Makes the model that a config describes: a `TasNet`, or one of MindAudio's own.

    Raises:
        InputError: the separator is not registered, or an option is wrong.
    """
    if config.model != "tasnet":
        from mindaudio_ext.models import mindaudio  # MindAudio takes a second to import

        return mindaudio.build(config)
    return TasNet(**tasnet_arguments(config))


def tasnet_arguments(config: Config) -> dict[str, Any]:
    """Gives the arguments of `TasNet` that a config describes."""
    return {
        "separator": config.separator,
        "separator_conf": config.separator_conf,
        "num_spks": config.num_spks,
        "n_filters": config.n_filters,
        "kernel_size": config.kernel_size,
        "stride": config.stride,
        "encoder_activation": config.encoder_activation,
        "mask_activation": config.mask_activation,
    }
