"""The learned filterbank of TasNet: convolutions to features and back."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from mindaudio_ext.encoders._filterbank import Filterbank
from mindaudio_ext.layers.activation import gelu
from mindaudio_ext.layers.chunk import overlap_add, split
from mindaudio_ext.registry import ENCODERS


@ENCODERS.register("conv")
class ConvFilterbank(Filterbank):
    """A convolution and a transposed one, both learned (Luo and Mesgarani, "TasNet", ICASSP 2018)."""

    def encoder(self) -> nn.Cell:
        return Encoder(self.n_filters, self.kernel_size, self.stride, self.encoder_activation)

    def decoder(self, num_spks: int) -> nn.Cell:
        return Decoder(self.n_filters, self.kernel_size, self.stride)


class Encoder(nn.Cell):
    """A one-dimensional convolution without bias: waveform to features (TasNet's encoder).

    Args:
        n_filters: features, N.
        kernel_size: samples a filter sees.
        stride: samples between two frames.
        activation: "linear", "relu" for non-negative features, "gelu", or "gated": relu times the sigmoid of a second
            set of filters (Luo and Mesgarani, "TasNet", ICASSP 2018, equation 3).

    Inputs:
        waveform: [B, T] with T >= kernel_size.

    Outputs:
        Features, [B, L, N] with L = (T - kernel_size) // stride + 1.
    """

    def __init__(self, n_filters: int, kernel_size: int, stride: int, activation: str) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.activation = activation
        self.weight = Parameter(_filters(n_filters, kernel_size), name="weight")
        if activation == "gated":
            self.gate_weight = Parameter(_filters(n_filters, kernel_size), name="gate_weight")

    def construct(self, waveform: Tensor) -> Tensor:
        frames = split(waveform.expand_dims(-1), self.kernel_size, self.stride).squeeze(-1)  # [B, L, kernel]
        features = ops.matmul(frames, self.weight.T)  # [B, L, N]
        if self.activation == "linear":
            return features
        if self.activation == "relu":
            return ops.relu(features)
        if self.activation == "gelu":
            return gelu(features)
        return ops.relu(features) * ops.sigmoid(ops.matmul(frames, self.gate_weight.T))


class Decoder(nn.Cell):
    """A transposed one-dimensional convolution without bias: features to waveform.

    Args:
        n_filters: features, N.
        kernel_size: samples of a filter.
        stride: samples between two frames.

    Inputs:
        features: [B, L, N].

    Outputs:
        Waveform, [B, (L - 1) * stride + kernel_size].
    """

    weight_is_per_input = True  # for the count of multiply-adds

    def __init__(self, n_filters: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = Parameter(_filters(n_filters, kernel_size), name="weight")

    def construct(self, features: Tensor) -> Tensor:
        frames = ops.matmul(features, self.weight)  # [B, L, kernel]
        return overlap_add(frames.expand_dims(-1), self.stride).squeeze(-1)


def _filters(n_filters: int, kernel_size: int) -> Tensor:
    """[N, kernel], uniform with the variance of PyTorch's convolutions."""
    return initializer(Uniform(kernel_size**-0.5), (n_filters, kernel_size), ms.float32)
