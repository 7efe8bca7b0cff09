"""Permutation-invariant training (Yu et al., 2017; utterance level: Kolbaek et al., 2017)."""

from mindspore import Tensor, nn, ops

from mindaudio_ext.losses._permutation import permutation_matrix
from mindaudio_ext.losses._si_snr import pairwise_si_snr
from mindaudio_ext.registry import LOSSES


@LOSSES.register("pit_si_snr")
class PITLoss(nn.Cell):
    """Negative SI-SNR under the best assignment of estimates to references, in dB, averaged over sources and examples.

    Args:
        num_spks: sources, C. All C! permutations are tried.
        si_snr_clamp: dB; what an example reaches counts up to here. None: no limit.
        clamp_sources: whether that limit holds for each source, and not for the mean of an example's.

    Inputs:
        estimates: [B, C, T].
        references: [B, C, T].
        lengths: samples of each example, [B], int32.

    Outputs:
        A scalar.
    """

    silent_references = False

    def __init__(self, *, num_spks: int, si_snr_clamp: float | None = None, clamp_sources: bool = False) -> None:
        super().__init__()
        self.clamp, self.clamp_sources = si_snr_clamp, clamp_sources and si_snr_clamp is not None
        self.n_pairs = num_spks * num_spks
        self.permutations = Tensor(permutation_matrix(num_spks).T)  # [C * C, C!]

    def construct(self, estimates: Tensor, references: Tensor, lengths: Tensor) -> Tensor:
        scores = self.scores(estimates, references, lengths)  # [B, C, C]
        if self.clamp_sources:
            scores = ops.minimum(scores, self.clamp)
        means = (scores.reshape(-1, self.n_pairs, 1) * self.permutations).sum(1)  # [B, C!]
        best = means.max(axis=1)  # [B]
        if self.clamp is not None:
            best = ops.minimum(best, self.clamp)
        return -best.mean()

    def scores(self, estimates: Tensor, references: Tensor, lengths: Tensor) -> Tensor:
        """Returns what estimate i scores against reference j, dB, [B, C, C]."""
        return pairwise_si_snr(estimates, references, lengths)
