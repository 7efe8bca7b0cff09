"""Utterances of any length for a graph of one length: overlapping chunks, and their estimates joined again."""

import numpy as np

from mindaudio_ext.decode.separate import fit_level
from mindaudio_ext.metrics.permutation import best_permutation


def chunk_starts(n_samples: int, length: int) -> list[int]:
    """Gives where the chunks of an utterance begin: every half chunk, the last one so that it ends with the utterance.

    >>> chunk_starts(10, 4)
    [0, 2, 4, 6]
    >>> chunk_starts(9, 4)
    [0, 2, 4, 5]
    >>> chunk_starts(3, 4)
    [0]
    """
    last = max(n_samples - length, 0)
    return [*range(0, last, max(length // 2, 1)), last]


def split(mixture: np.ndarray, length: int) -> np.ndarray:
    """Gives the chunks of a mixture.

    Args:
        mixture: float32 [T].
        length: samples of a chunk, S.

    Returns:
        [K, S]; a mixture shorter than S is one chunk with zeros at its end.
    """
    padded = np.pad(mixture, (0, max(length - len(mixture), 0)))
    return np.stack([padded[start : start + length] for start in chunk_starts(len(mixture), length)])


def join(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Joins the estimates of chunks to those of the utterance; no reference is used.

    A model leaves level, sign and order of its estimates open, in every chunk anew. Level and sign are those with which
    they best add up to the mixture. The order is the one in which they best agree with what was joined so far, where
    both overlap; there one fades into the other.

    Args:
        estimates: of `split(mixture, S)`, [K, C, S].
        mixture: [T].

    Returns:
        float32 [C, T], at the mixture's level.
    """
    n_src, length = estimates.shape[1:]
    joined = np.zeros((n_src, len(mixture)), np.float32)
    end = 0
    for start, chunk in zip(chunk_starts(len(mixture), length), estimates, strict=True):
        part = mixture[start : start + length]
        fitted = fit_level(estimates=chunk[:, : len(part)], mixture=part)  # [C, S]
        overlap = end - start
        if overlap > 0:
            before = joined[:, start:end]
            fitted = fitted[best_permutation(fitted[:, :overlap] @ before.T)]  # [C estimates, C joined]
            rise = (np.arange(overlap, dtype=np.float32) + 0.5) / overlap
            fitted[:, :overlap] = before + rise * (fitted[:, :overlap] - before)
        end = start + len(part)
        joined[:, start:end] = fitted
    return joined
