"""SNR of magnitude spectra under the best assignment: what SepReformer's auxiliary estimates are trained by.

Shin, Lee, Kim and Park, "Separate and reconstruct: asymmetric encoder-decoder for speech separation", NeurIPS 2024; the
constants are those of its authors' code.
"""

import numpy as np
from mindspore import Tensor, ops

from mindaudio_ext.layers.chunk import split
from mindaudio_ext.losses._si_snr import EPSILON, centred
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.registry import LOSSES

FRAME, HOP = 512, 128  # samples
LOWEST_SCALE = 0.01  # of a reference, which is scaled to the estimate
POWER_EPSILON, NORM_EPSILON = 1e-10, 1e-12


@LOSSES.register("pit_magnitude_snr")
class PITMagnitudeLoss(PITLoss):
    """Negative SNR of magnitude spectra, each reference scaled to the estimate, in dB; otherwise as `pit_si_snr`.

    Args:
        num_spks: sources, C. All C! permutations are tried.

    Inputs:
        estimates: [B, C, T].
        references: [B, C, T].
        lengths: samples of each example, [B], int32.

    Outputs:
        A scalar.
    """

    def __init__(self, *, num_spks: int) -> None:
        super().__init__(num_spks=num_spks)
        window = np.sqrt(2 / 3) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME))
        spectra = np.fft.rfft(np.diag(window / (0.5 * np.sqrt(FRAME * FRAME / HOP))))  # [K, F], of a one at each place
        self.matrix = Tensor(np.concatenate((spectra.real, spectra.imag), axis=1).astype(np.float32))  # [K, 2F]

    def scores(self, estimates: Tensor, references: Tensor, lengths: Tensor) -> Tensor:
        """Returns the SNR of estimate i and reference j, dB, [B, C, C]; samples from the length on are zeros."""
        n_batch, n_src, n_samples = estimates.shape
        lengths = lengths.reshape(-1, 1, 1)
        valid = (ops.arange(n_samples) < lengths).astype(estimates.dtype)  # [B, 1, T]
        n_valid = lengths.astype(estimates.dtype)
        estimates, references = centred(estimates, valid, n_valid), centred(references, valid, n_valid)
        products = ops.bmm(estimates, references.swapaxes(1, 2))  # [B, C, C]
        energies = ops.square(references).sum(-1).reshape(n_batch, 1, n_src)
        scale = ops.maximum(products / (energies + EPSILON), LOWEST_SCALE).reshape(n_batch, n_src, n_src, 1)
        powers = self._powers(references).reshape(n_batch, 1, n_src, -1)
        targets = ops.sqrt(ops.square(scale) * powers + POWER_EPSILON)  # [B, C, C, frames * F]
        magnitudes = ops.sqrt(self._powers(estimates) + POWER_EPSILON).reshape(n_batch, n_src, 1, -1)
        noise = ops.sqrt(ops.square(magnitudes - targets).sum(-1))
        return 20 * ops.log10(ops.sqrt(ops.square(targets).sum(-1)) / (noise + NORM_EPSILON) + NORM_EPSILON)

    def _powers(self, signals: Tensor) -> Tensor:
        """Returns the power spectra of the frames of [B, C, T], [B, C, frames * F]; zeros fill up the last hop."""
        n_batch, n_src, n_samples = signals.shape
        n_padded = max(FRAME, (n_samples + HOP - 1) // HOP * HOP)
        zeros = ops.zeros((n_batch, n_src, FRAME), signals.dtype)
        padded = ops.concat((signals, zeros), axis=2)[:, :, :n_padded]
        frames = split(padded.reshape(n_batch * n_src, n_padded, 1), FRAME, HOP).squeeze(-1)  # [B * C, frames, K]
        spectra = ops.square(ops.matmul(frames, self.matrix))
        half = spectra.shape[-1] // 2
        return (spectra[..., :half] + spectra[..., half:]).reshape(n_batch, n_src, -1)
