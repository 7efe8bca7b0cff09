"""Chunks of a signal that overlap, and their estimates joined again: for long recordings, and for graphs of one length.

blocks [n] -> chunks [T] -> (each separated alone) estimates [C, T] -> ordered alike, cross-faded -> blocks [C, n]

A network may give the same two speakers in another order in every chunk. Where two chunks overlap they heard the same,
so the order in which their estimates agree best there is the right one.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from mindaudio_ext.metrics._permutation import best_permutation

QUIET = 0.01  # of the loudest chunk's root mean square: an overlap below that (-40 dB) tells nothing of who speaks
CERTAIN = 0.1  # of the overlap's energy, by which the best order must beat the second best


@dataclasses.dataclass(frozen=True)
class Join:
    """Two chunks joined at `sample`; not `certain` when nobody spoke there or the orders were equally good."""

    sample: int
    certain: bool


def take(blocks: Iterator[np.ndarray], most: int) -> tuple[np.ndarray, bool]:
    """Returns the signal's start, and whether it is all of it and no longer than `most` samples."""
    taken, length = [], 0
    for block in blocks:
        taken.append(block)
        length += len(block)
        if length > most:
            return np.concatenate(taken), False
    return np.concatenate(taken) if taken else np.zeros(0, np.float32), True


def cut(blocks: Iterable[np.ndarray], size: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cuts a signal into chunks of one length.

    >>> [(at, chunk.tolist()) for at, chunk in cut([np.arange(3), np.arange(3, 8)], 4, 3)]
    [(0, [0, 1, 2, 3]), (3, [3, 4, 5, 6]), (4, [4, 5, 6, 7])]

    Args:
        blocks: the signal, [n] each.
        size: samples of a chunk.
        hop: samples between the starts of two chunks, at most `size`; the last chunk ends where the signal does.

    Yields:
        A chunk's first sample and its samples. A signal shorter than `size` is one chunk.
    """
    waiting, position, last = np.zeros(0, np.float32), 0, None
    for block in blocks:
        waiting = np.concatenate((waiting, block)) if len(waiting) else block
        while len(waiting) > size:  # so that more is to come, and this is not the last
            last = waiting[:size]
            yield position, last
            waiting, position = waiting[hop:], position + hop
    if last is None:
        yield 0, waiting
    else:
        rest = np.concatenate((last[:hop], waiting))
        yield position - hop + len(rest) - size, rest[-size:]


def n_chunks(n_samples: int, size: int, hop: int) -> int:
    """Returns how many chunks `cut` makes of a signal.

    >>> n_chunks(8, 4, 3), n_chunks(4, 4, 3), n_chunks(3, 4, 3)
    (3, 1, 1)
    """
    return 1 + -(-max(0, n_samples - size) // hop)


class Joiner:
    """Puts the estimates of overlapping chunks together.

    Args:
        joins: gets one entry for each chunk after the first.
    """

    def __init__(self, joins: list[Join]) -> None:
        self._joins = joins
        self._order: np.ndarray | None = None
        self._pending: np.ndarray | None = None
        self._position = 0
        self._loudness = Loudness()

    def add(self, position: int, estimates: np.ndarray) -> np.ndarray:
        """Takes the next chunk and gives what is finished by it.

        Args:
            position: its first sample; after that of the chunk before, and before that chunk's end.
            estimates: [C, T].

        Returns:
            [C, n], all samples before `position` that were not given yet.
        """
        self._loudness.add(estimates)
        if self._pending is None:
            self._order, self._pending, self._position = np.arange(len(estimates)), estimates, position
            return estimates[:, :0]
        n_done = position - self._position
        done, ending = self._pending[:, :n_done], self._pending[:, n_done:]
        n_shared = ending.shape[1]
        order = agreeing_order(ending, estimates[:, :n_shared], self._loudness.loudest)
        if order is not None:
            self._order = order
        self._joins.append(Join(position + n_shared // 2, order is not None))
        estimates = estimates[self._order]
        rising = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n_shared, dtype=np.float32) + 0.5) / n_shared)
        joined = ending + rising * (estimates[:, :n_shared] - ending)
        self._pending, self._position = np.concatenate((joined, estimates[:, n_shared:]), axis=1), position
        return done

    def rest(self) -> np.ndarray:
        """Returns what is finished when no more chunks come, [C, n]."""
        assert self._pending is not None, "there was no chunk"
        return self._pending


class Loudness:
    """The level of the loudest chunk so far.

    Attributes:
        loudest: root mean square, over time, of the sources' sum of squares.
    """

    def __init__(self) -> None:
        self.loudest = 0.0

    def add(self, estimates: np.ndarray) -> None:
        """Takes the next chunk, [C, T]."""
        self.loudest = max(self.loudest, _level(estimates))


def agreeing_order(before: np.ndarray, after: np.ndarray, loudest: float) -> np.ndarray | None:
    """Returns the order of `after` that agrees best with `before`, [C, n] both; None when that is not clear.

    Args:
        before: the end of a chunk.
        after: the same samples at the start of the next.
        loudest: the level of the loudest chunk.
    """
    energy = float(np.square(before, dtype=np.float64).sum() + np.square(after, dtype=np.float64).sum()) / 2
    if min(_level(before), _level(after)) <= QUIET * loudest:
        return None
    scores = after.astype(np.float64) @ before.astype(np.float64).T  # [C, C]: an estimate after and one before
    best = best_permutation(scores)
    total = scores[best, np.arange(len(best))].sum()
    second = max(
        scores[order, np.arange(len(best))].sum()
        for order in map(list, itertools.permutations(range(len(best))))
        if order != best.tolist()
    )
    return best if total - second > CERTAIN * energy else None


def _level(estimates: np.ndarray) -> float:
    """The root mean square of [C, n], over time, of the sources' sum of squares."""
    return float(np.sqrt(np.square(estimates, dtype=np.float64).sum() / max(1, estimates.shape[1])))
