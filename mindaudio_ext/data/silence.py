"""Silent sources: nothing can be scored against them, and a crop with one teaches nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

_TOLD = 5  # mixtures that a line names


def silent_sources(sources: np.ndarray) -> tuple[int, ...]:
    """Returns the numbers, from 1, of the sources [C, T] that are constant: with their mean removed nothing is left.

    >>> silent_sources(np.array([[1, 2, 3], [7, 7, 7], [0, 0, 0]]))
    (2, 3)
    """
    return tuple(int(number) for number in np.flatnonzero(np.ptp(sources, axis=1) == 0) + 1)


def describe_silent(silent: Mapping[str, Sequence[int]]) -> str:
    """Says how many sources are silent and in which mixtures: key -> numbers of its silent sources.

    >>> describe_silent({"a": (2,), "b": (1, 2)})
    '3 silent sources: a (2), b (1, 2)'
    """
    count = sum(map(len, silent.values()))
    keys = [f"{key} ({', '.join(map(str, numbers))})" for key, numbers in silent.items()]
    return f"{count} silent source{'s' * (count != 1)}: {name_some(keys)}"


def name_some(keys: Sequence[str]) -> str:
    """Returns the first keys in a line, and how many more there are.

    >>> name_some(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(keys) - _TOLD} more" if len(keys) > _TOLD else ""
    return ", ".join(keys[:_TOLD]) + more
