"""MindAudio 0.3's own Conv-TasNet and TasNet, wrapped so that they take and give waveforms of any length.

In a conf: `model: mindaudio.conv_tasnet` or `model: mindaudio.tasnet`, with options in `model_conf`. These limits are
MindAudio's and remain:

- Conv-TasNet: its normalisations have a scale of 1 and a shift of 0 that are not trained; `causal`, `norm_type` and
  `mask_nonlinear` have no effect there and are not offered. B, H, P, X and R are the paper's letters.
- TasNet: its LSTM runs forwards only (`bidirectional` crashes), and frames do not overlap. `separator.new_lstm` is a
  parameter that it never uses; it is in the checkpoints and not trained.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from annotated_types import Ge
from mindaudio.models import conv_tasnet, tasnet
from mindspore import Tensor, nn, ops

from mindaudio_ext.layers.chunk import overlap_add
from mindaudio_ext.registry import MODELS

Count = Annotated[int, Ge(1)]


@MODELS.register("mindaudio.conv_tasnet")
class MindAudioConvTasNet(conv_tasnet.ConvTasNet):
    """MindAudio's Conv-TasNet with another overlap-add.

    Its own is a float16 matrix for 4 s at 8 kHz, which MindSpore 2.10 refuses, and which adds the two halves of a frame
    to each other, not to its neighbours'.

    Args:
        num_spks: sources, C.
        n_filters: encoder filters, N.
        kernel_size: samples of a filter; even, with frames every half of it.
        B: channels between the blocks.
        H: channels in a block.
        P: frames of a convolution; odd.
        X: blocks in a repeat.
        R: repeats.

    Inputs:
        mixture: [B, T] with T >= kernel_size.

    Outputs:
        Estimates, [B, C, T].
    """

    decoder: nn.Cell
    export_targets: ClassVar[tuple[str, ...]] = ("host",)  # its other operators are none of Ascend's, or of ONNX

    def __init__(
        self,
        *,
        num_spks: int,
        n_filters: int,
        kernel_size: int,
        B: Count = 128,
        H: Count = 256,
        P: Count = 3,
        X: Count = 7,
        R: Count = 2,
    ) -> None:
        super().__init__(N=n_filters, L=kernel_size, C=num_spks, B=B, H=H, P=P, X=X, R=R)
        self.decoder = _OverlapAddDecoder(self.decoder.basis_signals, kernel_size // 2)

    @staticmethod
    def check_options(*, kernel_size: int, P: int, **_: object) -> Iterator[tuple[str, str]]:
        """Yields a key or option and what is wrong with it."""
        if kernel_size % 2:
            yield "kernel_size", f"must be even for model 'mindaudio.conv_tasnet', got {kernel_size}"
        if P % 2 == 0:
            yield "P", f"must be odd, got {P}"

    def construct(self, mixture: Tensor) -> Tensor:
        n_batch, n_samples = mixture.shape
        features = self.encoder(mixture)  # [B, N, L]
        estimates = self.decoder(features, self.separator(features))  # [B * C, (L + 1) * hop]
        silence = ops.zeros((estimates.shape[0], self.L // 2), mixture.dtype)
        estimates = ops.concat((estimates, silence), axis=1)[:, :n_samples]
        return estimates.reshape(n_batch, self.C, n_samples)


class _OverlapAddDecoder(nn.Cell):
    """Masks features and makes them waveforms with MindAudio's dense layer."""

    def __init__(self, basis_signals: nn.Dense, hop: int) -> None:
        super().__init__()
        self.basis_signals = basis_signals
        self.hop = hop

    def construct(self, features: Tensor, masks: Tensor) -> Tensor:
        masked = (features.expand_dims(1) * masks).transpose(0, 1, 3, 2)  # [B, C, L, N]
        frames = self.basis_signals(masked)  # [B, C, L, kernel]
        _, _, n_frames, kernel_size = frames.shape
        frames = frames.reshape(-1, n_frames, kernel_size, 1)  # [B * C, L, kernel, 1]
        return overlap_add(frames, self.hop).squeeze(-1)  # [B * C, (L + 1) * hop]


@MODELS.register("mindaudio.tasnet")
class MindAudioTasNet(tasnet.TasNet):
    """MindAudio's TasNet on waveforms; its own takes frames.

    Args:
        num_spks: sources, C.
        n_filters: encoder filters, N.
        kernel_size: samples of a frame; frames do not overlap.
        hidden_size: LSTM units.
        num_layers: LSTM layers.

    Inputs:
        mixture: [B, T].

    Outputs:
        Estimates, [B, C, T].
    """

    export_targets: ClassVar[tuple[str, ...]] = ("host",)  # its other operators are none of Ascend's, or of ONNX

    def __init__(
        self, *, num_spks: int, n_filters: int, kernel_size: int, hidden_size: Count = 500, num_layers: Count = 4
    ) -> None:
        super().__init__(L=kernel_size, N=n_filters, hidden_size=hidden_size, num_layers=num_layers, nspk=num_spks)
        for parameter in self.separator.new_lstm.get_parameters():
            parameter.requires_grad = False

    def construct(self, mixture: Tensor) -> Tensor:
        n_batch, n_samples = mixture.shape
        n_frames = (n_samples + self.L - 1) // self.L
        silence = ops.zeros((n_batch, self.L - 1), mixture.dtype)
        frames = ops.concat((mixture, silence), axis=1)[:, : n_frames * self.L].reshape(
            n_batch, -1, self.L
        )  # [B, L, K]
        features, levels = self.encoder(frames)  # [B, L, N], [B, L, 1]
        estimates = self.decoder(features, self.separator(features), levels)  # [B, C, L, K]
        return estimates.reshape(n_batch, self.nspk, -1)[:, :, :n_samples]
