"""A mixture separated several times, each time a little later, and the mean of what comes out: the shift trick.

Défossez et al., "Music source separation in the waveform domain", 2019, which draws the shifts. Delaying a mixture
ought to delay the estimates and no more, but filters and chunks begin on a grid, so each shift makes errors of its own.
"""

from collections.abc import Callable

import numpy as np

from mindaudio_ext.metrics.permutation import best_permutation

SPAN = 0.1  # seconds over which the shifts are spread


def step_of(shifts: int, *, stride: int, sample_rate: int) -> int:
    """Gives the samples between one shift and the next: also the parts of a stride that they leave are spread evenly.

    >>> step = step_of(4, stride=16, sample_rate=8000)
    >>> [shift * step for shift in range(4)], [shift * step % 16 for shift in range(4)]
    ([0, 196, 392, 588], [0, 4, 8, 12])

    Args:
        shifts: how many, n.
        stride: samples between two frames.
        sample_rate: Hz.
    """
    frames = int(SPAN * sample_rate) // (shifts * stride)
    return frames * stride + max(1, stride // shifts)


def mean_over_shifts(
    separate: Callable[[np.ndarray], np.ndarray], mixtures: np.ndarray, *, shifts: int, step: int
) -> np.ndarray:
    """Separates mixtures once for each shift.

    Args:
        separate: mixtures [B, T] -> estimates [B, C, T]. Called with one shape.
        mixtures: float32 [B, T].
        shifts: how often, n; 1 separates the mixtures as they are.
        step: samples between one shift and the next.

    Returns:
        Estimates, float32 [B, C, T], the sources in the order that the first shift gave them.
    """
    length, most = mixtures.shape[1], (shifts - 1) * step
    total: np.ndarray | None = None
    for shift in range(0, most + 1, step):
        shifted = np.pad(mixtures, ((0, 0), (shift, most - shift)))
        estimates = separate(shifted)[..., shift : shift + length]
        if total is None:
            total = first = estimates
        else:
            total = total + np.stack([_ordered(one, like=other) for one, other in zip(estimates, first)])
    return total / shifts


def _ordered(estimates: np.ndarray, *, like: np.ndarray) -> np.ndarray:
    """Puts estimates [C, T] into the order in which they agree best with others of the same mixture."""
    return estimates[best_permutation(estimates.astype(np.float64) @ like.astype(np.float64).T)]
