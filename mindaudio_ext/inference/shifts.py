"""A mixture separated several times, each time a little later, and the mean of what comes out: the shift trick.

Défossez et al., "Music source separation in the waveform domain", 2019, which draws the shifts. Delaying a mixture
ought to delay the estimates and no more, but filters and chunks begin on a grid, so each shift makes errors of its own.
"""

from collections.abc import Iterable

import numpy as np

from mindaudio_ext.metrics._permutation import best_permutation

SPAN = 0.1  # seconds over which the shifts are spread


def starts_of(shifts: int, *, stride: int, sample_rate: int) -> list[int]:
    """Returns the samples by which a mixture is delayed: spread over about `SPAN`, their rests over a stride.

    >>> starts_of(4, stride=16, sample_rate=8000), [start % 16 for start in starts_of(4, stride=16, sample_rate=8000)]
    ([0, 196, 392, 588], [0, 4, 8, 12])

    Args:
        shifts: how many, n.
        stride: samples between two frames.
        sample_rate: Hz.
    """
    frames = max(1, int(SPAN * sample_rate) // (shifts * stride))
    return [n * frames * stride + n * stride // shifts for n in range(shifts)]


def delayed(mixtures: np.ndarray, start: int, *, room: int) -> np.ndarray:
    """Returns mixtures [B, T] with `start` samples of silence before them, [B, T + room]."""
    return np.pad(mixtures, ((0, 0), (start, room - start))).astype(np.float32)


def mean_of(shifted: Iterable[np.ndarray]) -> np.ndarray:
    """Returns the mean of estimates of the same mixtures, the sources in the order that the first has them.

    Args:
        shifted: float32 [B, C, T] for each shift.
    """
    first, *others = shifted
    total = first
    for estimates in others:
        total = total + np.stack([_ordered(one, like=other) for one, other in zip(estimates, first)])
    return total / (1 + len(others))


def _ordered(estimates: np.ndarray, *, like: np.ndarray) -> np.ndarray:
    """Puts estimates [C, T] into the order in which they agree best with others of the same mixture."""
    return estimates[best_permutation(estimates.astype(np.float64) @ like.astype(np.float64).T)]
