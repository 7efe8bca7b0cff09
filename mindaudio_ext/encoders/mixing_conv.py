"""TDANet's filterbank: the waveform is padded at both ends, and the decoder mixes the features of all sources."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from mindaudio_ext.encoders._filterbank import Filterbank
from mindaudio_ext.encoders.conv import Encoder
from mindaudio_ext.layers.chunk import overlap_add
from mindaudio_ext.registry import ENCODERS


@ENCODERS.register("mixing_conv")
class MixingConvFilterbank(Filterbank):
    """A convolution of the padded waveform, and one transposed convolution from all sources' features to all sources.

    Li, Yang and Hu, "An efficient encoder-decoder architecture with top-down attention for speech separation", ICLR
    2023; the zeros are those of its authors' code. Published are 4 ms filters every 1 ms, and n_filters of half the
    kernel and one.
    """

    def encoder(self) -> nn.Cell:
        return PaddingEncoder(self.n_filters, self.kernel_size, self.stride, self.encoder_activation)

    def decoder(self, num_spks: int) -> nn.Cell:
        return MixingDecoder(self.n_filters, num_spks, self.kernel_size, self.stride)


def zeros_before(kernel_size: int, stride: int) -> int:
    """Returns how many zeros come before the waveform."""
    return kernel_size // 2 + kernel_size - stride


class PaddingEncoder(Encoder):
    """The convolution of `Encoder`, of a waveform with zeros before and after it: every sample is in as many frames.

    Args, inputs and outputs: those of `Encoder`; there are more frames.
    """

    def construct(self, waveform: Tensor) -> Tensor:
        n_batch, n_samples = waveform.shape
        n_before = zeros_before(self.kernel_size, self.stride)
        rest = self.kernel_size - (self.stride + n_samples % self.kernel_size) % self.kernel_size
        silence = ops.zeros((n_batch, n_before + self.kernel_size), waveform.dtype)
        padded = ops.concat((silence[:, :n_before], waveform, silence), axis=1)
        return super().construct(padded[:, : n_samples + rest + 2 * n_before])


class MixingDecoder(nn.Cell):
    """A transposed convolution without bias from the features of all sources to the waveforms of all.

    Args:
        n_filters: features of a source, N.
        num_spks: sources, C.
        kernel_size: samples of a filter.
        stride: samples between two frames.

    Inputs:
        features: [B * C, L, N].

    Outputs:
        Waveforms that begin where the encoder's did, [B * C, T].
    """

    def __init__(self, n_filters: int, num_spks: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.stride, self.n_before = stride, zeros_before(kernel_size, stride)
        scale = Uniform((num_spks * kernel_size) ** -0.5)
        self.weight = Parameter(
            initializer(scale, (num_spks * n_filters, num_spks, kernel_size), ms.float32), name="weight"
        )

    def construct(self, features: Tensor) -> Tensor:
        n_in, n_src, kernel_size = self.weight.shape
        n_frames, n_filters = features.shape[1], features.shape[2]
        x = features.reshape(-1, n_src, n_frames, n_filters).transpose(0, 2, 1, 3).reshape(-1, n_frames, n_in)
        frames = ops.matmul(x, self.weight.reshape(n_in, n_src * kernel_size))  # [B, L, C * kernel]
        frames = frames.reshape(-1, n_frames, n_src, kernel_size).transpose(0, 2, 1, 3)  # [B, C, L, kernel]
        waveforms = overlap_add(frames.reshape(-1, n_frames, kernel_size, 1), self.stride)  # [B * C, T', 1]
        return waveforms.squeeze(-1)[:, self.n_before :]

    def own_multiply_adds(self, features: Tensor) -> int:
        """Returns the multiply-adds: each frame of all sources together meets the weight."""
        return features.size // (self.weight.shape[1] * features.shape[2]) * self.weight.size
