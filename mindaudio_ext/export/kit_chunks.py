"""Utterances of any length for a graph of one length: chunks that overlap by half, and their estimates joined again."""

import numpy as np

from mindaudio_ext.inference.chunks import Joiner, cut, n_chunks
from mindaudio_ext.inference.level import fit_level


def count_chunks(n_samples: int, length: int) -> int:
    """Returns how many chunks of `length` samples `split_mixture` makes of an utterance."""
    return n_chunks(n_samples, length, _hop(length))


def split_mixture(mixture: np.ndarray, length: int) -> np.ndarray:
    """Returns the chunks of a mixture: one every half chunk, the last one ending with the mixture.

    Args:
        mixture: float32 [T].
        length: samples of a chunk, S.

    Returns:
        [K, S]; a mixture shorter than S is one chunk with zeros at its end.
    """
    chunks = [chunk for _, chunk in cut([mixture], length, _hop(length))]
    return np.stack([np.pad(chunk, (0, length - len(chunk))) for chunk in chunks])


def join(estimates: np.ndarray, mixture: np.ndarray, *, at_level: bool = False) -> np.ndarray:
    """Joins the estimates of chunks to those of the utterance; no reference is used.

    A model leaves level, sign and order of its estimates open, in every chunk anew. Level and sign are those with which
    they best add up to the mixture; order and cross-fade are as in a long recording.

    Args:
        estimates: of `split_mixture(mixture, S)`, [K, C, S].
        mixture: [T].
        at_level: whether the estimates have their levels, adding up to their mixture, so that none are fitted.

    Returns:
        float32 [C, T], at the mixture's level.
    """
    length = estimates.shape[2]
    joiner, parts = Joiner([]), []
    for (start, chunk), estimate in zip(cut([mixture], length, _hop(length)), estimates, strict=True):
        estimate = estimate[:, : len(chunk)]
        parts.append(joiner.add(start, estimate if at_level else fit_level(estimates=estimate, mixture=chunk)))
    return np.concatenate([*parts, joiner.rest()], axis=1)


def _hop(length: int) -> int:
    return max(length // 2, 1)
