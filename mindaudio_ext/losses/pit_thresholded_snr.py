"""Thresholded SNR for sources that may be silent (Wisdom et al., "What's all the FUSS ...", ICASSP 2021, section 3).

SI-SNR has no value for a silent reference, and no term for what an estimate holds there. Here the error of a source,
and what there is in place of silence, are powers relative to that of the mixture, so that PIT can compare the two.
"""

from typing import Annotated

import mindspore as ms
from annotated_types import Gt, Interval
from mindspore import Tensor, nn, ops

from mindaudio_ext.losses._permutation import permutation_matrix
from mindaudio_ext.registry import LOSSES


@LOSSES.register("pit_thresholded_snr")
class PITThresholdedSNR(nn.Cell):
    """Error under the best assignment of estimates to references, in dB under the mixture, averaged.

    With powers P over an example's samples, the floor f, x the sum of the references and t = 10^(-snr_max / 10):

        source heard:   10 log10((P(estimate - source) + t (P(source) + f)) / (P(x) + f))
        source silent:  10 log10((P(estimate) + t (P(x) + f)) / (P(x) + f))

    The first is minus the SNR, but for a constant of the source, so its gradient is the paper's; the second is the
    paper's too, which has the mixture's power in the threshold. Noise in a mixture is not of its sources and not in x.
    Nothing here removes means or scales: levels and signs are learned.

    Args:
        num_spks: sources, C. All C! permutations are tried.
        snr_max: dB; the gradient of a source that is better than this vanishes.
        floor: dBFS; a source of less power is silent, and where nobody speaks an estimate is held against this.

    Inputs:
        estimates: [B, C, T].
        references: [B, C, T]; any of them may be silent, also all.
        lengths: samples of each example, [B], int32.

    Outputs:
        A scalar, at least about -2 snr_max.
    """

    silent_references = True

    def __init__(
        self,
        *,
        num_spks: int,
        snr_max: Annotated[float, Gt(0)] = 30.0,
        floor: Annotated[float, Interval(ge=-90, le=-40)] = -70.0,
    ) -> None:
        super().__init__()
        self.n_pairs = num_spks * num_spks
        self.threshold, self.floor = 10 ** (-snr_max / 10), 10 ** (floor / 10)
        self.permutations = Tensor(permutation_matrix(num_spks).T)  # [C * C, C!]

    def construct(self, estimates: Tensor, references: Tensor, lengths: Tensor) -> Tensor:
        lengths = lengths.reshape(-1, 1, 1)
        weights = (ops.arange(estimates.shape[-1]) < lengths).astype(ms.float32) / lengths.astype(ms.float32)
        mixture = (ops.square(references.sum(1, keepdims=True)) * weights).sum(-1, keepdims=True) + self.floor
        power = (ops.square(references) * weights).sum(-1).expand_dims(1)  # [B, 1, C]
        estimated = (ops.square(estimates) * weights).sum(-1, keepdims=True)  # [B, C, 1]
        errors = ops.square(estimates.expand_dims(2) - references.expand_dims(1))  # [B, C, C, T]
        errors = (errors * weights.expand_dims(1)).sum(-1)  # [B, C, C]
        heard = (errors + self.threshold * (power + self.floor)) / mixture
        silent = (estimated + self.threshold * mixture) / mixture
        losses = 10 * ops.log10(ops.where(power > self.floor, heard, silent))  # [B, C, C]
        means = (losses.reshape(-1, self.n_pairs, 1) * self.permutations).sum(1)  # [B, C!]
        return means.min(axis=1).mean()
