"""The chunks of a long recording in one order of speakers: by what overlapping chunks share, and by who speaks.

Where somebody speaks in the overlap of two chunks, their orders are known. Chunks that hang together in that way are a
stretch. Of each stretch and track there is a vector of the voice (`voice.py`), and the stretches are put in the orders
in which the vectors of a track are nearest to their mean over the whole recording.

Estimates wait in a file meanwhile, so that memory does not grow with the length.
"""

import dataclasses
import itertools
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from mindaudio_ext.inference.chunks import Join, Joiner, Loudness, agreeing_order
from mindaudio_ext.inference.voice import voices_of

_NEW = 45.0  # squared distance at which a voice is taken for that of somebody who was not heard yet; cost of a person
_SURE = 20.0  # by which the best order must beat the second best, times the weight in units of 2.5 s
_ROUNDS, _STARTS = 10, 8  # of the search, and from how many beginnings
_IN_MEMORY = 1 << 25  # bytes

Voice = tuple[np.ndarray, float] | None  # a vector and its weight


@dataclasses.dataclass
class _Chunk:
    """A chunk: its first sample, its shape, its order in the stretch, and the stretch's number."""

    position: int
    shape: tuple[int, int]
    order: np.ndarray
    stretch: int


def linked(
    chunks: Iterator[tuple[int, np.ndarray]], *, sample_rate: int, joins: list[Join], scratch: str | None = None
) -> Iterator[np.ndarray]:
    """Joins the estimates of overlapping chunks, each track one speaker's from start to end.

    Args:
        chunks: a chunk's first sample and its estimates [C, T], at their level.
        sample_rate: Hz.
        joins: gets an entry for each chunk after the first.
        scratch: folder of the file in which estimates wait; None for the system's.

    Yields:
        Estimates [C, n].
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=scratch, prefix=".tmp.") as file:
        heard: list[_Chunk] = []
        voices: list[list[Voice]] = []  # of each stretch and track
        loudness, before = Loudness(), np.zeros((0, 0), np.float32)
        for position, estimates in chunks:
            file.write(np.ascontiguousarray(estimates, np.float32).tobytes())
            loudness.add(estimates)
            relative = None
            if heard:
                shared = heard[-1].position + heard[-1].shape[1] - position
                relative = agreeing_order(before[:, -shared:], estimates[:, :shared], loudness.loudest)
            order = np.arange(len(estimates)) if relative is None else relative[heard[-1].order]
            if relative is None:
                voices.append([None] * len(estimates))
            shape = (estimates.shape[0], estimates.shape[1])
            heard.append(_Chunk(position, shape, order, len(voices) - 1))
            for track, voice in enumerate(voices_of(estimates[order], sample_rate)):
                voices[-1][track] = _pooled([voices[-1][track], voice])
            before = estimates
        orders, sure = order_stretches(voices)
        joiner = Joiner([])
        file.seek(0)
        for number, chunk in enumerate(heard):
            data = file.read(4 * chunk.shape[0] * chunk.shape[1])
            estimates = np.frombuffer(data, np.float32).reshape(chunk.shape)
            if number:
                known = chunk.stretch == heard[number - 1].stretch or sure[chunk.stretch]
                middle = (chunk.position + heard[number - 1].position + heard[number - 1].shape[1]) // 2
                joins.append(Join(middle, bool(known)))
            yield joiner.add(chunk.position, estimates[chunk.order[orders[chunk.stretch]]], ordered=True)
        yield joiner.rest()


def _pooled(voices: Sequence[Voice]) -> Voice:
    """Returns the mean of vectors by their weights, and the weight of all; None of none."""
    known = [voice for voice in voices if voice is not None]
    if not known:
        return None
    weights = np.array([weight for _, weight in known])
    return weights @ np.stack([vector for vector, _ in known]) / weights.sum(), float(weights.sum())


def order_stretches(voices: Sequence[Sequence[Voice]]) -> tuple[list[list[int]], list[bool]]:
    """Puts stretches in orders in which each track is one person's.

    Args:
        voices: of each stretch and track, the vector of the voice and its weight; None where nobody is heard alone.

    Returns:
        For each stretch the order of its tracks, and whether that is clear: it beats every other by far, or nothing
        comes before it. What nothing is known of keeps the order of the stretch before it.
    """
    n_tracks = len(voices[0])
    permutations = [list(order) for order in itertools.permutations(range(n_tracks))]
    best: tuple[float, list[list[int]]] | None = None
    for means in _beginnings(voices, n_tracks):
        orders: list[list[int]] = []
        for _ in range(_ROUNDS):
            costs = [_costs(stretch, means, permutations) for stretch in voices]
            found = _cheapest(costs, permutations)
            if found == orders:
                break
            orders = found
            means = [_pooled([own[order[t]] for own, order in zip(voices, orders)]) for t in range(n_tracks)]
        total = sum(min(_costs(stretch, means, permutations)) for stretch in voices)
        total += _NEW * sum(mean is not None for mean in means)  # or one person's voice would be shared out among all
        if best is None or total < best[0] - 1e-9:
            best = (total, orders)
    assert best is not None
    orders = best[1]
    sure = [True]
    for number in range(1, len(voices)):
        others = [own for place, own in enumerate(zip(voices, orders)) if place != number]
        means = [_pooled([own[order[t]] for own, order in others]) for t in range(n_tracks)]
        first, second = sorted(_costs(voices[number], means, permutations))[:2] if n_tracks > 1 else (0.0, np.inf)
        sure.append(second - first > _SURE)
    return orders, sure


def _beginnings(voices: Sequence[Sequence[Voice]], n_tracks: int) -> Iterator[list[Voice]]:
    """Yields means to begin a search with: of stretches in which most are heard, and of the most unlike voices."""
    yield list(voices[0])

    def weight(stretch: Sequence[Voice]) -> tuple[int, float]:
        known = [voice[1] for voice in stretch if voice is not None]
        return len(known), min(known, default=0.0)

    for stretch in sorted(voices, key=weight, reverse=True)[:_STARTS]:
        yield list(stretch)
    every = [voice for stretch in voices for voice in stretch if voice is not None and voice[1] >= 0.5]
    if every:
        chosen = [max(every, key=lambda voice: voice[1])]
        while len(chosen) < min(n_tracks, len(every)):
            chosen.append(max(every, key=lambda voice: min(_distance(voice, each) for each in chosen)))
        yield [*chosen, *([None] * (n_tracks - len(chosen)))]


def _distance(one: Voice, other: Voice) -> float:
    if one is None or other is None:
        return _NEW
    return float(np.square(one[0] - other[0]).sum())


def _costs(stretch: Sequence[Voice], means: Sequence[Voice], permutations: Sequence[Sequence[int]]) -> list[float]:
    """Returns the cost of each order of a stretch's tracks: squared distances times weights."""
    pairs = np.array([[_distance(mean, voice) * (voice[1] if voice else 0.0) for voice in stretch] for mean in means])
    return [float(sum(pairs[track, place] for track, place in enumerate(order))) for order in permutations]


def _cheapest(costs: Sequence[Sequence[float]], permutations: Sequence[list[int]]) -> list[list[int]]:
    """Returns the order of each stretch; of equal ones that of the stretch before."""
    orders: list[list[int]] = []
    for own in costs:
        lowest = min(own)
        equal = [order for order, cost in zip(permutations, own) if cost <= lowest + 1e-9]
        orders.append(orders[-1] if orders and orders[-1] in equal else equal[0])
    return orders
