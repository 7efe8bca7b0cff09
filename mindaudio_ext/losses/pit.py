"""Permutation-invariant training (Yu et al., 2017; utterance level: Kolbaek et al., 2017)."""

from itertools import permutations

import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.losses.si_snr import pairwise_si_snr


class PITLoss(nn.Cell):
    """Negative SI-SNR under the best assignment of estimates to references, in dB, averaged over sources and examples.

    Args:
        n_src: number of sources, C. All C! permutations are tried.
        clamp: dB; what an example reaches counts up to here. None: no limit.

    Inputs:
        estimates: [B, C, T].
        references: [B, C, T].
        lengths: samples of each example, [B], int32.

    Outputs:
        A scalar.
    """

    def __init__(self, n_src: int, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.n_pairs = n_src * n_src
        self.permutations = Tensor(_permutation_matrix(n_src).T)  # [C * C, C!]

    def construct(self, estimates: Tensor, references: Tensor, lengths: Tensor) -> Tensor:
        scores = pairwise_si_snr(estimates, references, lengths)  # [B, C, C]
        means = (scores.reshape(-1, self.n_pairs, 1) * self.permutations).sum(1)  # [B, C!]
        best = means.max(axis=1)  # [B]
        if self.clamp is not None:
            best = ops.minimum(best, self.clamp)
        return -best.mean()


def _permutation_matrix(n_src: int) -> np.ndarray:
    """[C!, C * C]: row p has 1 / C where permutation p pairs estimate i with reference j, at column i * C + j."""
    orders = list(permutations(range(n_src)))
    matrix = np.zeros((len(orders), n_src, n_src), np.float32)
    for row, order in enumerate(orders):
        matrix[row, np.arange(n_src), order] = 1 / n_src
    return matrix.reshape(len(orders), -1)
