"""The time-domain separation network (TasNet): encoder -> separator -> masks -> decoder.

mixture [B, T] -> features [B, L, N] -> masks [B, C, L, N] -> masked features -> estimates [B, C, T]; with
`normalize_variance` the mixture is brought to one level before that, and the estimates to the mixture's after it
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindaudio_ext.config import Config, arguments_of, check_options
from mindaudio_ext.registry import ENCODERS, MODELS, get_separator

SMALLEST_VARIANCE = 1e-16  # that a mixture is divided by: one 16-bit step in 19 minutes at 8 kHz has as much


@MODELS.register("tasnet")
class TasNet(nn.Cell):
    """Separates a mixture with a separator from the registry.

    Luo and Mesgarani, "Conv-TasNet", TASLP 2019, section II.

    Args:
        separator: a registered name.
        separator_conf: the separator's options.
        num_spks: sources, C.
        n_filters: features of the encoder, N.
        kernel_size: samples of a filter.
        stride: samples between frames; half of kernel_size when None.
        encoder_activation: "linear", "relu", "gelu" or "gated".
        mask_activation: "relu", "sigmoid", "softmax" (over the sources), or "complex": the separator gives real and
            imaginary parts of masks; or "mapping": it gives the sources' features themselves.
        encoder: a registered name: "conv" (learned), "mixing_conv" (TDANet's) or "stft".
        encoder_conf: the encoder's options.
        normalize_variance: divide each mixture by its standard deviation (unbiased, of all samples) before the encoder
            and multiply the estimates by it (Wang et al., "TF-GridNet", TASLP 2023, section III).
        mixture_consistency: give what the estimates lack of the mixture to all of them in equal shares, so that they
            add up to it (Wisdom et al., "Differentiable consistency constraints", ICASSP 2019, section 3.2). Shares
            by the estimates' energy would need the whole signal; equal ones are the same in training, in chunks and
            streams, and keep the estimates a linear function of the separated waveforms.

    Attributes:
        n_auxiliary: estimates beside the last ones that `with_auxiliary` gives, for training; each has its own decoder.

    Inputs:
        mixture: [B, T] with T >= kernel_size.

    Outputs:
        Estimates, [B, C, T]. Samples after the last whole frame (fewer than a stride) are zero before the mixture is
        made up.
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
        encoder: str = "conv",
        encoder_conf: Mapping[str, Any] = MappingProxyType({}),
        normalize_variance: bool = False,
        mixture_consistency: bool = False,
    ) -> None:
        super().__init__()
        stride = stride or kernel_size // 2
        self.kernel_size, self.stride, self.num_spks = kernel_size, stride, num_spks
        self.mask_activation, self.mixture_consistency = mask_activation, mixture_consistency
        self.normalize_variance = normalize_variance
        filterbank = ENCODERS.get(encoder)(n_filters, kernel_size, stride, encoder_activation, **encoder_conf)
        self.encoder = filterbank.encoder()
        self.separator = get_separator(separator)(n_filters, num_spks, **separator_conf)
        self.decoder = filterbank.decoder(num_spks)
        self.n_auxiliary = getattr(self.separator, "n_auxiliary", 0)
        if self.n_auxiliary > 0:
            self.auxiliary_decoders = nn.CellList([filterbank.decoder(num_spks) for _ in range(self.n_auxiliary)])

    def construct(self, mixture: Tensor) -> Tensor:
        features = self.features(mixture)  # [B, L, N]
        return self.estimates(features, self.separator(features), mixture)

    def with_auxiliary(self, mixture: Tensor) -> tuple[Tensor, ...]:
        """Makes the estimates and then the auxiliary ones, each [B, C, T], of mixtures [B, T]."""
        features = self.features(mixture)  # [B, L, N]
        outputs = self.separator.with_auxiliary(features)
        estimates = (self.estimates(features, outputs[0], mixture),)  # type: tuple[Tensor, ...]
        for i in range(self.n_auxiliary):
            of_sources = self.of_sources(features, outputs[i + 1])
            auxiliary = self.decode(self.auxiliary_decoders[i], of_sources, mixture.shape[1])
            estimates = (*estimates, self._at_level(auxiliary, mixture))
        return estimates

    def features(self, mixture: Tensor) -> Tensor:
        """Makes features, [B, L, N], of mixtures, [B, T], with `normalize_variance` at one level."""
        return self.encoder(mixture / standard_deviation(mixture) if self.normalize_variance else mixture)

    def estimates(self, features: Tensor, output: Tensor, mixture: Tensor) -> Tensor:
        """Makes estimates, [B, C, T], of features, what the separator gives of them, [B, C, L, N], and the mixtures.

        With `mixture_consistency` they add up to the mixture.
        """
        estimates = self._at_level(self.reconstruct(features, output, mixture.shape[1]), mixture)
        return make_consistent(estimates, mixture.expand_dims(1)) if self.mixture_consistency else estimates

    def _at_level(self, estimates: Tensor, mixture: Tensor) -> Tensor:
        """With `normalize_variance` brings estimates, [B, C, T], to the level of the mixtures, [B, T]."""
        return estimates * standard_deviation(mixture).expand_dims(1) if self.normalize_variance else estimates

    def reconstruct(self, features: Tensor, output: Tensor, n_samples: int) -> Tensor:
        """Makes estimates, [B, C, T], of features [B, L, N] and what the separator gives, [B, C, L, N]."""
        return self.decode(self.decoder, self.of_sources(features, output), n_samples)

    def of_sources(self, features: Tensor, output: Tensor) -> Tensor:
        """Makes the sources' features, [B, C, L, N], of the mixture's and what the separator gives."""
        return self.mask(features.expand_dims(1), output)

    def decode(self, decoder: nn.Cell, features: Tensor, n_samples: int) -> Tensor:
        """Makes estimates, [B, C, T], of the sources' features, [B, C, L, N]."""
        n_batch = features.shape[0]
        features = features.reshape((n_batch * self.num_spks, -1, features.shape[-1]))  # [B * C, L, N]
        silence = ops.zeros((n_batch * self.num_spks, self.stride), features.dtype)
        estimates = ops.concat((decoder(features), silence), axis=1)[:, :n_samples]  # [B * C, T]
        return estimates.reshape(n_batch, self.num_spks, n_samples)

    def mask(self, features: Tensor, logits: Tensor) -> Tensor:
        """Makes the sources' features, [B, C, L, N], of the mixture's [B, 1, L, N] and logits [B, C, L, N]."""
        if self.mask_activation == "relu":
            return ops.relu(logits) * features
        if self.mask_activation == "sigmoid":
            return ops.sigmoid(logits) * features
        if self.mask_activation == "softmax":
            return ops.softmax(logits, axis=1) * features
        return logits if self.mask_activation == "mapping" else _complex_product(logits, features)


def _complex_product(x: Tensor, y: Tensor) -> Tensor:
    """Multiplies [..., N] and [..., N], each real parts before imaginary ones."""
    n_real = x.shape[-1] // 2
    x_real, x_imag, y_real, y_imag = x[..., :n_real], x[..., n_real:], y[..., :n_real], y[..., n_real:]
    return ops.concat((x_real * y_real - x_imag * y_imag, x_real * y_imag + x_imag * y_real), axis=-1)


def standard_deviation(mixture: Tensor) -> Tensor:
    """Returns the unbiased standard deviation of each mixture of [B, T], [B, 1]; of silence a small number.

    Without a square root, which is no operator for Ascend.
    """
    mixture = mixture.astype(ms.float32)
    n_samples = mixture.shape[1]
    centred = mixture - mixture.mean(axis=1, keep_dims=True)
    variance = ops.square(centred).mean(axis=1, keep_dims=True) * (n_samples / (n_samples - 1))
    variance = ops.relu(variance - SMALLEST_VARIANCE) + SMALLEST_VARIANCE
    return variance * ops.rsqrt(variance)


def make_consistent(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Makes estimates, [B, C, T], add up to the mixture, [B, 1, T]."""
    return estimates + (mixture / estimates.shape[1] - estimates.mean(axis=1, keep_dims=True))


def build_model(config: Config) -> nn.Cell:
    """Makes the model that a config describes: a `TasNet`, or one of MindAudio's own.

    Raises:
        InputError: the separator is not registered, or an option is wrong.
    """
    check_options(config)
    return MODELS.get(config.model)(**arguments_of(config, "model_conf"))
