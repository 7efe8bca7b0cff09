"""The learned filterbank with zeros after the waveform, so that no sample at its end is left out."""

from mindspore import Tensor, nn, ops

from mindaudio_ext.encoders.conv import ConvFilterbank, Encoder
from mindaudio_ext.registry import ENCODERS


@ENCODERS.register("padded_conv")
class PaddedConvFilterbank(ConvFilterbank):
    """The filterbank `conv`; zeros fill up the waveform to a multiple of the stride, as SepReformer's authors do."""

    def encoder(self) -> nn.Cell:
        return EndPaddingEncoder(self.n_filters, self.kernel_size, self.stride, self.encoder_activation)


class EndPaddingEncoder(Encoder):
    """The convolution of `Encoder`, of a waveform that zeros fill up to a multiple of the stride.

    Args, inputs and outputs: those of `Encoder`.
    """

    def construct(self, waveform: Tensor) -> Tensor:
        n_batch, n_samples = waveform.shape
        padded = ops.concat((waveform, ops.zeros((n_batch, self.stride), waveform.dtype)), axis=1)
        return super().construct(padded[:, : (n_samples + self.stride - 1) // self.stride * self.stride])
