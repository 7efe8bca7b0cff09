"""What is around a separator: an encoder and the decoder that goes with it."""

from abc import ABC, abstractmethod

from mindspore import nn


class Filterbank(ABC):
    """Makes an encoder and its decoder; a file of this folder registers one under its name.

    Args:
        n_filters: features, N.
        kernel_size: samples that a frame sees, K.
        stride: samples between two frames.
        encoder_activation: of the features: "linear", "relu", "gelu" or "gated".

    Further arguments, which follow by keyword, are the options of `encoder_conf`.
    """

    def __init__(self, n_filters: int, kernel_size: int, stride: int, encoder_activation: str) -> None:
        self.n_filters, self.kernel_size, self.stride = n_filters, kernel_size, stride
        self.encoder_activation = encoder_activation

    @abstractmethod
    def encoder(self) -> nn.Cell:
        """Returns a cell that makes features [B, L, N] of a waveform [B, T], T at least K."""

    @abstractmethod
    def decoder(self, num_spks: int) -> nn.Cell:
        """Returns a cell that makes waveforms of the features of num_spks sources, C.

        It maps [B * C, L, N] to [B * C, T']; a waveform begins where the encoder's did.
        """
