"""A mixture separated several times, each time a little later, and the mean of what comes out: the shift trick.

Défossez et al., "Music source separation in the waveform domain", 2019, which draws the shifts. Delaying a mixture
ought to delay the estimates and no more, but filters and chunks begin on a grid, so each shift makes errors of its own.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mindaudio_ext.metrics.permutation import best_permutation

SPAN = 0.1  # seconds over which the shifts are spread


def starts_of(shifts: int, *, stride: int, sample_rate: int) -> list[int]:
    """Gives the samples by which a mixture is delayed: spread over about `SPAN`, their rests over a stride.

    >>> starts_of(4, stride=16, sample_rate=8000), [start % 16 for start in starts_of(4, stride=16, sample_rate=8000)]
    ([0, 196, 392, 588], [0, 4, 8, 12])

    Args:
        shifts: how many, n.
        stride: samples between two frames.
        sample_rate: Hz.
    """
    frames = max(1, int(SPAN * sample_rate) // (shifts * stride))
    return [n * frames * stride + n * stride // shifts for n in range(shifts)]


def mean_over_shifts(
    separate: Callable[[np.ndarray], np.ndarray], mixtures: np.ndarray, starts: Sequence[int]
) -> np.ndarray:
    """Separates mixtures once for each shift, in a signal that has room for all of them.

    Args:
        separate: mixtures [B, T] -> estimates [B, C, T]. Called with one shape.
        mixtures: float32 [B, T].
        starts: samples of silence before the mixtures, rising; of [0] they are separated as they are.

    Returns:
        Estimates, float32 [B, C, T], the sources in the order that the first shift gave them.
    """
    length = mixtures.shape[1]
    total: np.ndarray | None = None
    for start in starts:
        shifted = np.pad(mixtures, ((0, 0), (start, starts[-1] - start)))
        estimates = separate(shifted)[..., start : start + length]
        if total is None:
            total = first = estimates
        else:
            total = total + np.stack([_ordered(one, like=other) for one, other in zip(estimates, first)])
    return total / len(starts)


def _ordered(estimates: np.ndarray, *, like: np.ndarray) -> np.ndarray:
    """Puts estimates [C, T] into the order in which they agree best with others of the same mixture."""
    return estimates[best_permutation(estimates.astype(np.float64) @ like.astype(np.float64).T)]
