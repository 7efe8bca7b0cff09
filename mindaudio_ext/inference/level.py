"""The level of estimates, which a loss of SI-SNR leaves free: as in the mixture, and within 16 bits."""

import numpy as np

from mindaudio_ext.data.audio import FULL_SCALE

LARGEST = (FULL_SCALE - 1) / FULL_SCALE  # what 16 bits can hold, of full scale 1


def fit_level(*, estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Brings each estimate to the level and polarity that it has in the mixture; no reference is used.

    A loss of SI-SNR leaves level and sign of each estimate free. What can be known of them is in the mixture: the
    estimates should add up to it, so the gains are those with the least |mixture - sum of gain * estimate|^2, means
    removed. Estimates that resemble each other (a model that hardly separates) make such gains arbitrary, also zero or
    of the wrong sign. When one is far from the gain with which its estimate alone comes nearest to the mixture, all
    take the latter gains, times the common factor with which the sum comes nearest.

    Args:
        estimates: [C, T].
        mixture: [T].

    Returns:
        [C, T], float32. A silent estimate stays silent; of a silent mixture all are.
    """
    levels = Levels(len(estimates))
    levels.add(estimates=estimates, mixture=mixture)
    return (estimates * levels.gains()[:, None]).astype(np.float32)


class Levels:
    """The gains of `fit_level` for a mixture that comes in parts.

    Args:
        n_src: sources, C.
    """

    def __init__(self, n_src: int) -> None:
        self._n_samples = 0
        self._sums = np.zeros(n_src + 1)  # of the estimates and the mixture
        self._products = np.zeros((n_src + 1, n_src + 1))

    def add(self, *, estimates: np.ndarray, mixture: np.ndarray) -> None:
        """Takes the next part: [C, n] and [n]."""
        signals = np.concatenate((estimates, mixture[None])).astype(np.float64)  # [C + 1, n]
        self._n_samples += len(mixture)
        self._sums += signals.sum(axis=1)
        self._products += signals @ signals.T

    def gains(self) -> np.ndarray:
        """Returns the factor of each estimate, [C]."""
        centred = self._products - np.outer(self._sums, self._sums) / max(1, self._n_samples)
        norms = np.sqrt(np.maximum(np.diag(centred)[:-1], 0))  # [C]
        norms[norms <= 1e-9 * np.sqrt(np.diag(self._products)[:-1])] = np.inf  # silent: its gain is 0
        alone = centred[:-1, -1] / norms  # [C], the gain of each unit estimate taken alone
        alike = centred[:-1, :-1] / np.outer(norms, norms)  # [C, C], the units' products
        gains = np.linalg.lstsq(alike, alone, rcond=1e-6)[0]
        ratios = np.divide(gains, alone, out=np.ones_like(gains), where=alone != 0)
        if not ((ratios > 0.5) & (ratios < 2)).all():
            energy = alone @ alike @ alone
            gains = alone * (alone @ alone / energy if energy > 0 else 1.0)
        return gains / norms


def loudest(energies: np.ndarray, number: int) -> list[int]:
    """Returns which sources have the most energy, in their order.

    >>> loudest(np.array([2.0, 0.1, 5.0]), 2)
    [0, 2]

    Args:
        energies: [C].
        number: how many, at most C.
    """
    return sorted(np.argsort(-energies, kind="stable")[:number].tolist())


def limit_peak(estimates: np.ndarray) -> np.ndarray:
    """Scales all estimates of a mixture down by one factor when any sample would clip as 16 bits.

    >>> limit_peak(np.array([[0.5, -2.0], [0.25, 0.0]])).round(3).tolist()
    [[0.25, -1.0], [0.125, 0.0]]
    """
    peak = np.abs(estimates).max()
    return estimates * (LARGEST / peak) if peak > LARGEST else estimates
