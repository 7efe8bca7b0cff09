"""Which estimate is which source."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def best_permutation(scores: np.ndarray) -> np.ndarray:
    """Gives the estimate of each reference, such that the mean score is the highest possible.

    >>> best_permutation(np.array([[1.0, 9.0], [8.0, 2.0]])).tolist()
    [1, 0]

    Args:
        scores: [C, C]; `scores[i, j]` is the score of estimate i against reference j, higher is better.

    Returns:
        [C], int64: the index of the estimate that belongs to reference 0, 1, ...

    Raises:
        ValueError: the matrix is not square, or a score is not finite.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"expected a square matrix of scores, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")
    return linear_sum_assignment(scores.T, maximize=True)[1]
