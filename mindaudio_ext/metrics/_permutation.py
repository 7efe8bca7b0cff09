"""Which estimate is which source."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from mindaudio_ext.metrics.si_snr import si_snr


def best_permutation(scores: np.ndarray) -> np.ndarray:
    """Returns the estimate of each reference, such that the mean score is the highest possible.

    >>> best_permutation(np.array([[1.0, 9.0], [8.0, 2.0]])).tolist()
    [1, 0]

    Args:
        scores: [C, R], R at most C; `scores[i, j]` is the score of estimate i against reference j, higher is better.

    Returns:
        [R], int64: the index of the estimate that belongs to reference 0, 1, ...

    Raises:
        ValueError: there are more references than estimates, or a score is not finite.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[0] < scores.shape[1]:
        raise ValueError(
            f"expected a matrix of scores with no more references than estimates, got shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")
    return linear_sum_assignment(scores.T, maximize=True)[1]


def assign_estimates(*, estimates: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the estimate of each reference, such that the mean SI-SNR is the highest possible, and the SI-SNR.

    Against a silent reference nothing can be measured: it has no part in the choice and gets what the others leave.

    >>> time = np.arange(100)
    >>> low, high, silence = np.sin(time / 9), np.sin(time / 3), np.zeros(100)
    >>> order, scores = assign_estimates(estimates=np.stack([low, high]), references=np.stack([silence, low]))
    >>> order.tolist(), scores.tolist()
    ([1, 0], [nan, 100.0])

    Args:
        estimates: [C, T].
        references: [C, T].

    Returns:
        The index of the estimate that belongs to reference 0, 1, ..., int64 [C]; and the SI-SNR of the two, dB, [C],
        NaN where the reference is silent, that is constant.

    Raises:
        ValueError: as `si_snr`.
    """
    is_silent = np.ptp(references, axis=1) == 0  # [C]
    order, scores = np.empty(len(references), np.int64), np.full(len(references), np.nan)
    heard = references[~is_silent]  # [R, T]
    if len(heard):
        shape = (len(estimates), *heard.shape)
        pairs = si_snr(  # [C, R]
            estimate=np.broadcast_to(estimates[:, None], shape), reference=np.broadcast_to(heard[None], shape)
        )
        order[~is_silent] = best_permutation(pairs)
        scores[~is_silent] = pairs[order[~is_silent], np.arange(len(heard))]
    order[is_silent] = np.setdiff1d(np.arange(len(estimates)), order[~is_silent])
    return order, scores
