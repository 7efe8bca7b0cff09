"""The short-time Fourier transform as products with matrices, so that it exports to any device."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.encoders._filterbank import Filterbank
from mindaudio_ext.layers.chunk import overlap_add, split
from mindaudio_ext.registry import ENCODERS

Window = Literal["hann", "sqrt_hann"]
Padding = Literal["zeros", "reflect"]


@ENCODERS.register("stft")
class STFTFilterbank(Filterbank):
    """Real parts, then imaginary parts, of K / 2 + 1 frequencies: N = K + 2 features; nothing of it is learned.

    Analysis and synthesis have the same window, and what overlaps adds up to the signal itself. A frame begins every
    `stride` samples.

    Args:
        window: of analysis and synthesis.
        padding: "zeros": the first frame begins K - stride before the signal; windows that overlap must add up to a
            constant. "reflect": frame l is centred at sample l * stride, the signal is mirrored at its ends, and the
            inverse divides by the windows that are there, as PyTorch's and librosa's do.

    Source: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", 1984.
    """

    def __init__(
        self,
        n_filters: int,
        kernel_size: int,
        stride: int,
        encoder_activation: str,
        *,
        window: Window = "sqrt_hann",
        padding: Padding = "zeros",
    ) -> None:
        super().__init__(n_filters, kernel_size, stride, encoder_activation)
        self.window, self.padding = _window(window, kernel_size), padding

    @staticmethod
    def check_options(
        *,
        n_filters: int,
        kernel_size: int,
        stride: int | None,
        encoder_activation: str,
        window: Window,
        padding: Padding = "zeros",
        **_: Any,
    ) -> Iterator[tuple[str, str]]:
        """Yields what cannot be transformed back."""
        stride = kernel_size // 2 if stride is None else stride
        if kernel_size % 2:
            yield "kernel_size", f"the stft needs an even one, got {kernel_size}"
        elif n_filters != kernel_size + 2:
            features = f"real and imaginary parts of {kernel_size // 2 + 1} frequencies"
            yield "n_filters", f"the stft of {kernel_size} samples has {kernel_size + 2} ({features}), got {n_filters}"
        elif kernel_size % stride or not _adds_up(_overlapped(_window(window, kernel_size), stride), padding):
            yield "stride", f"{window} windows of {kernel_size} samples do not add up every {stride} samples"
        if encoder_activation != "linear":
            yield "encoder_activation", f"the stft takes linear alone, got {encoder_activation}"

    def encoder(self) -> nn.Cell:
        return (STFT if self.padding == "zeros" else CentredSTFT)(self.window, self.stride)

    def decoder(self, num_spks: int) -> nn.Cell:
        return (InverseSTFT if self.padding == "zeros" else CentredInverseSTFT)(self.window, self.stride)


class STFT(nn.Cell):
    """Waveform to the real and imaginary parts of its frames' spectra.

    Args:
        window: float64 [K].
        stride: samples between two frames.

    Inputs:
        waveform: [B, T].

    Outputs:
        [B, L, K + 2]: K / 2 + 1 real parts, then as many imaginary ones; L = (T + K - stride) // stride + 1.
    """

    def __init__(self, window: np.ndarray, stride: int) -> None:
        super().__init__()
        self.kernel_size, self.stride = len(window), stride
        spectra = np.fft.rfft(np.diag(window))  # [K, F], of a one at each place
        self.matrix = Tensor(np.concatenate((spectra.real, spectra.imag), axis=1).astype(np.float32))  # [K, 2F]

    def construct(self, waveform: Tensor) -> Tensor:
        frames = split(self.padded(waveform).expand_dims(-1), self.kernel_size, self.stride).squeeze(-1)  # [B, L, K]
        return ops.matmul(frames, self.matrix)

    def padded(self, waveform: Tensor) -> Tensor:
        """Puts zeros around the waveform."""
        before = ops.zeros((waveform.shape[0], self.kernel_size - self.stride), waveform.dtype)
        after = ops.zeros((waveform.shape[0], self.kernel_size), waveform.dtype)
        return ops.concat((before, waveform, after), axis=1)

    def own_multiply_adds(self, waveform: Tensor) -> int:
        """Counts the products with the matrix."""
        n_frames = (waveform.shape[1] + self.kernel_size - self.stride) // self.stride + 1
        return waveform.shape[0] * n_frames * self.matrix.size


class CentredSTFT(STFT):
    """An STFT whose frame l is centred at sample l * stride of a signal that is mirrored at its ends.

    Inputs:
        waveform: [B, T] with T > K / 2.

    Outputs:
        [B, L, K + 2], L = T // stride + 1.
    """

    def __init__(self, window: np.ndarray, stride: int) -> None:
        super().__init__(window, stride)
        half = len(window) // 2
        self.mirror = Tensor(np.eye(half, dtype=np.float32)[::-1])  # a product, so that it exports to any device

    def padded(self, waveform: Tensor) -> Tensor:
        """Mirrors the waveform at its first and its last sample."""
        half = self.kernel_size // 2
        before = ops.matmul(waveform[:, 1 : half + 1], self.mirror)
        after = ops.matmul(waveform[:, -half - 1 : -1], self.mirror)
        return ops.concat((before, waveform, after), axis=1)

    def own_multiply_adds(self, waveform: Tensor) -> int:
        """Counts the products with the matrices."""
        n_batch, n_samples = waveform.shape
        return n_batch * ((n_samples // self.stride + 1) * self.matrix.size + 2 * self.mirror.size)


class InverseSTFT(nn.Cell):
    """Spectra of frames to the waveform, which begins where that of `STFT` does.

    Args:
        window: float64 [K].
        stride: samples between two frames.

    Inputs:
        features: [B, L, K + 2].

    Outputs:
        [B, L * stride].
    """

    def __init__(self, window: np.ndarray, stride: int) -> None:
        super().__init__()
        self.n_before, self.stride = len(window) - stride, stride
        self.matrix = _synthesis(window / _overlapped(window, stride)[0])  # [2F, K]

    def construct(self, features: Tensor) -> Tensor:
        frames = ops.matmul(features, self.matrix)  # [B, L, K]
        return overlap_add(frames.expand_dims(-1), self.stride).squeeze(-1)[:, self.n_before :]

    def own_multiply_adds(self, features: Tensor) -> int:
        """Counts the products with the matrix."""
        return features.shape[0] * features.shape[1] * self.matrix.size


class CentredInverseSTFT(nn.Cell):
    """Spectra of frames to the waveform, which begins where that of `CentredSTFT` does.

    Args:
        window: float64 [K].
        stride: samples between two frames.

    Inputs:
        features: [B, L, K + 2].

    Outputs:
        [B, (L - 1) * stride + K / 2].
    """

    def __init__(self, window: np.ndarray, stride: int) -> None:
        super().__init__()
        self.stride, self.half = stride, len(window) // 2
        self.matrix = _synthesis(window)  # [2F, K]
        self.weights = Tensor((window**2).astype(np.float32).reshape(1, 1, -1, 1))

    def construct(self, features: Tensor) -> Tensor:
        frames = ops.matmul(features, self.matrix)  # [B, L, K]
        total = overlap_add(frames.expand_dims(-1), self.stride).squeeze(-1)
        weights = overlap_add(ops.tile(self.weights, (1, features.shape[1], 1, 1)), self.stride).squeeze(-1)
        weights = ops.relu(weights[:, self.half :] - 1e-11) + 1e-11  # a clip is no operator for Ascend
        return total[:, self.half :] / weights

    def own_multiply_adds(self, features: Tensor) -> int:
        """Counts the products with the matrix."""
        return features.shape[0] * features.shape[1] * self.matrix.size


def _synthesis(window: np.ndarray) -> Tensor:
    """Returns the matrix [2F, K] that makes a windowed frame of real and imaginary parts."""
    size = len(window)
    real, imaginary = np.fft.irfft(np.eye(size // 2 + 1), size), np.fft.irfft(1j * np.eye(size // 2 + 1), size)
    return Tensor((np.concatenate((real, imaginary)) * window).astype(np.float32))


def _adds_up(overlapped: np.ndarray, padding: Padding) -> bool:
    """Tells whether the signal can be had back from windows whose squares add up to this."""
    return overlapped.min() > 1e-6 if padding == "reflect" else bool(np.ptp(overlapped) <= 1e-6)


def _window(name: Window, size: int) -> np.ndarray:
    """Returns a periodic window, float64 [K]."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return hann if name == "hann" else np.sqrt(hann)


def _overlapped(window: np.ndarray, stride: int) -> np.ndarray:
    """Returns the sum of the squared windows at each of `stride` places, where all that overlap are there."""
    return (window**2).reshape(-1, stride).sum(axis=0)
