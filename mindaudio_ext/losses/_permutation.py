"""All assignments of estimates to references, as one matrix."""

from itertools import permutations

import numpy as np


def permutation_matrix(n_src: int) -> np.ndarray:
    """[C!, C * C]: row p has 1 / C where permutation p pairs estimate i with reference j, at column i * C + j."""
    orders = list(permutations(range(n_src)))
    matrix = np.zeros((len(orders), n_src, n_src), np.float32)
    for row, order in enumerate(orders):
        matrix[row, np.arange(n_src), order] = 1 / n_src
    return matrix.reshape(len(orders), -1)
