"""Scale-invariant signal-to-noise ratio as a differentiable loss."""

from mindspore import Tensor, ops

EPSILON = 1e-8


def pairwise_si_snr(estimates: Tensor, references: Tensor, lengths: Tensor) -> Tensor:
    """SI-SNR of every estimate against every reference, in dB, means removed.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 3. Samples from a signal's length on count
    neither in the sums nor in the means.

    Args:
        estimates: [B, C, T].
        references: [B, C, T].
        lengths: samples of each example, [B], int32, at most T.

    Returns:
        [B, C, C]: estimate i against reference j.
    """
    lengths = lengths.reshape(-1, 1, 1)
    valid = (ops.arange(estimates.shape[-1]) < lengths).astype(estimates.dtype)  # [B, 1, T]
    n_valid = lengths.astype(estimates.dtype)
    estimates = centred(estimates, valid, n_valid).expand_dims(2)  # [B, C, 1, T]
    references = centred(references, valid, n_valid).expand_dims(1)  # [B, 1, C, T]
    power = ops.square(references).sum(-1, keepdims=True) + EPSILON
    target = (estimates * references).sum(-1, keepdims=True) / power * references  # [B, C, C, T]
    noise = ops.square(estimates - target).sum(-1) + EPSILON
    return 10 * ops.log10(ops.square(target).sum(-1) / noise + EPSILON)


def centred(signal: Tensor, valid: Tensor, n_valid: Tensor) -> Tensor:
    """Removes the mean of the samples that are valid, [B, 1, T], from signals [B, C, T]; the others become zero."""
    signal = signal * valid
    return (signal - signal.sum(-1, keepdims=True) / n_valid) * valid
