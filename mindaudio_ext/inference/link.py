"""The tracks of a long recording in one order of speakers from start to end: by whose voice is in them.

Chunks are joined in the order in which they agree where they overlap. That fails in silence, and a network may give a
voice another output after any pause. So the joined tracks are cut at pauses into phrases. Of each phrase and track
there is a vector of the voice (`voice.py`), and phrases are put in the orders in which the vectors of a track are
nearest to their mean over the whole recording. A change of order from one phrase to the next costs something, but not
at a join at which the order of the chunks could not be told.

A network may also share one person out among its tracks. So where tracks are seldom loud at once, hardly anybody speaks
into another's phrase, and several voices fit the vectors hardly better than one does, it was one person: everything
goes into the first track but a hundredth of the others, with which the tracks still add up to the recording. Too
little speech cannot tell.

Estimates wait in a file meanwhile, so that memory does not grow with the length.
"""

import itertools
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from mindaudio_ext.inference.activity import Powers
from mindaudio_ext.inference.chunks import Join, Joiner
from mindaudio_ext.inference.voice import voices_of

_PAUSE = 0.05  # seconds, at least
_QUIET, _LOUD = 30.0, 95  # dB below the loud frames, which are so many per cent; averaged over 3 frames
_LONGEST = 30.0  # seconds of a phrase, which is in memory
_CHANGE = 5.0  # cost of another order than that of the phrase before; squared distances times weights in units of 2.5 s
_PERSON, _MOST = 3.0, 200.0  # cost of a person, a phrase, and at most
_AT_ONCE = 0.06  # share of the phrases with several voices up to which there may be one person ...
_BOTH, _NEAR = 0.3, 10.0  # and, of the loud frames, in which a second track is at most 10 dB below the loudest ...
_STEADIER = 8.0  # ... and a change costs so many times as much
_SECOND = 2.0  # by which several voices must then fit better than one, a unit of weight
_LEAST = 4.0  # units of weight, 10 s of speech, that tell one person from several
_LEFT = np.float32(0.01)  # what one person's other tracks are multiplied by
_NEW = 120.0  # squared distance at which a voice is taken for that of somebody who was not heard yet
_SURE = 20.0  # by which the best order after a join must beat the second best
_ROUNDS, _STARTS = 20, 8  # of the search, and from how many beginnings
_IN_MEMORY = 1 << 25  # bytes

Voice = tuple[np.ndarray, float] | None  # a vector and its weight
Order = list[int]  # of each track, which one of the phrase's it is


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
        by_overlap: list[Join] = []
        joined, powers = _joined(chunks, by_overlap), None
        for estimates in joined:
            powers = powers or Powers(len(estimates), sample_rate)
            powers.add(estimates)
            file.write(np.ascontiguousarray(estimates.T, np.float32).tobytes())
        assert powers is not None, "there was no chunk"
        free = [join.sample for join in by_overlap if not join.certain]
        frames = powers.all()
        bounds, changes = find_phrases(frames, round(powers.seconds_a_frame * sample_rate), sample_rate, free)

        def phrases() -> Iterator[np.ndarray]:
            file.seek(0)
            for start, stop in itertools.pairwise(bounds):
                data = file.read(4 * powers.num_spks * (stop - start))
                yield np.frombuffer(data, np.float32).reshape(-1, powers.num_spks).T

        voices = [voices_of(phrase, sample_rate) for phrase in phrases()]
        if share_at_once(frames) <= _BOTH and is_one_person(voices, changes):
            joins += [Join(join.sample, True) for join in by_overlap]
            for phrase in phrases():
                others = _LEFT * phrase[1:]
                yield np.concatenate((phrase.sum(axis=0, keepdims=True) - others.sum(axis=0), others))
            return
        orders = order_phrases(voices, changes)
        first = [bounds.index(sample) for sample in free]
        clear = {
            sample: is_clear(voices, orders, start, stop)
            for sample, start, stop in zip(free, first, [*first[1:], len(voices)])
        }
        joins += [Join(join.sample, clear.get(join.sample, True)) for join in by_overlap]
        for order, phrase in zip(orders, phrases()):
            yield phrase[order]


def _joined(chunks: Iterator[tuple[int, np.ndarray]], joins: list[Join]) -> Iterator[np.ndarray]:
    """Joins chunks by what they share."""
    joiner = Joiner(joins)
    for position, estimates in chunks:
        yield joiner.add(position, estimates)
    yield joiner.rest()


def find_phrases(
    powers: np.ndarray, frame: int, sample_rate: int, free: Sequence[int] = ()
) -> tuple[list[int], list[float]]:
    """Cuts a recording in the middle of its pauses.

    Args:
        powers: of its tracks, [C, F].
        frame: samples of a frame.
        sample_rate: Hz.
        free: samples at which it is cut, too, and at which any order may follow any other.

    Returns:
        The samples at which phrases begin and the last one ends, which may be up to a frame beyond the recording's
        end; and for each phrase but the first what another order than that of the phrase before costs.
    """
    total = powers.sum(axis=0)
    n_samples, cuts = powers.shape[1] * frame, {sample: 0.0 for sample in free}
    if total.any():
        loud = np.percentile(total[total > 0], _LOUD)
        quiet = uniform_filter1d(total, 3, mode="nearest") < loud * 10 ** (-_QUIET / 10)
        edges = np.flatnonzero(np.diff(np.r_[False, quiet, False]))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist()):
            if (end - start) * frame >= _PAUSE * sample_rate and start > 0 and end < len(total):
                cuts.setdefault((start + end) // 2 * frame, _CHANGE)
    longest, before = round(_LONGEST * sample_rate), 0
    for cut in [*sorted(cuts), n_samples]:
        cuts |= dict.fromkeys(range(before + longest, cut, longest), np.inf)
        before = cut
    return [0, *sorted(cuts), n_samples], [cuts[cut] for cut in sorted(cuts)]


def share_at_once(powers: np.ndarray) -> float:
    """Returns the share of the loud frames in which a second track is about as loud as the loudest; powers [C, F]."""
    *_, second, first = np.sort(powers, axis=0)
    loud = first > np.percentile(first[first > 0], _LOUD) * 10 ** (-_QUIET / 10) if first.any() else first > 0
    near = loud & (second > first * 10 ** (-_NEAR / 10))
    return float(near.sum() / max(1, loud.sum()))


def order_phrases(voices: Sequence[Sequence[Voice]], changes: Sequence[float]) -> list[Order]:
    """Puts phrases in orders in which each track is one person's.

    Args:
        voices: of each phrase and track, the vector of the voice and its weight; None where nobody is heard alone.
        changes: for each phrase but the first, what another order than that of the phrase before costs.

    Returns:
        The order of each phrase.
    """
    n_heard = sum(any(phrase) for phrase in voices)
    if _alone(voices):
        changes = [_STEADIER * change for change in changes]
    return _best_orders(voices, changes, min(_PERSON * n_heard, _MOST))[0]


def is_one_person(voices: Sequence[Sequence[Voice]], changes: Sequence[float]) -> bool:
    """Tells whether all phrases are surely one person's, whatever tracks they are in.

    Args: those of `order_phrases`.
    """
    mean = _pooled([voice for phrase in voices for voice in phrase])
    if mean is None or mean[1] < _LEAST or not _alone(voices):
        return False
    as_one = sum(_distance(mean, voice) * voice[1] for phrase in voices for voice in phrase if voice)
    as_several = _best_orders(voices, [_STEADIER * change for change in changes], 0.0)[1]
    return as_one - as_several <= _SECOND * mean[1]


def _alone(voices: Sequence[Sequence[Voice]]) -> bool:
    """Tells whether hardly anybody speaks into another's phrase."""
    n_voices = [sum(voice is not None for voice in phrase) for phrase in voices]
    return sum(n > 1 for n in n_voices) <= _AT_ONCE * sum(n > 0 for n in n_voices)


def _best_orders(
    voices: Sequence[Sequence[Voice]], changes: Sequence[float], person: float
) -> tuple[list[Order], float]:
    """Returns the orders whose distances, changes and people cost least, and what they cost."""
    n_tracks = len(voices[0])
    permutations = [list(order) for order in itertools.permutations(range(n_tracks))]
    best, lowest = [permutations[0]] * len(voices), np.inf
    for means in _beginnings(voices, n_tracks):
        orders: list[Order] = []
        for _ in range(_ROUNDS):
            found, total = _cheapest([_costs(phrase, means, permutations) for phrase in voices], changes, permutations)
            if found == orders:
                break
            orders = found
            means = _means(voices, orders)
        total += person * sum(mean is not None for mean in means)  # or one voice would be shared out among all
        if total < lowest - 1e-9:
            best, lowest = orders, total
    return best, lowest


def is_clear(voices: Sequence[Sequence[Voice]], orders: Sequence[Order], start: int, stop: int) -> bool:
    """Tells whether no other order of the phrases from `start` to `stop`, all alike, fits the others about as well."""
    others = [place for place in range(len(voices)) if not start <= place < stop]
    means = _means([voices[place] for place in others], [orders[place] for place in others])
    permutations = list(itertools.permutations(range(len(voices[0]))))
    costs = np.zeros(len(permutations))
    for phrase, order in zip(voices[start:stop], orders[start:stop]):
        costs += _costs(phrase, means, [[order[track] for track in other] for other in permutations])
    first, second = sorted(costs)[:2]
    return bool(second - first > _SURE)


def _means(voices: Sequence[Sequence[Voice]], orders: Sequence[Order]) -> list[Voice]:
    """Returns each track's mean."""
    n_tracks = len(orders[0]) if orders else 0
    return [_pooled([phrase[order[track]] for phrase, order in zip(voices, orders)]) for track in range(n_tracks)]


def _pooled(voices: Sequence[Voice]) -> Voice:
    """Returns the mean of vectors by their weights, and the weight of all; None of none."""
    known = [voice for voice in voices if voice is not None]
    if not known:
        return None
    weights = np.array([weight for _, weight in known])
    return weights @ np.stack([vector for vector, _ in known]) / weights.sum(), float(weights.sum())


def _beginnings(voices: Sequence[Sequence[Voice]], n_tracks: int) -> Iterator[list[Voice]]:
    """Yields means to begin a search with: of the tracks as they are, of full phrases, of the most unlike voices."""
    yield _means(voices, [list(range(n_tracks))] * len(voices))

    def weight(phrase: Sequence[Voice]) -> tuple[int, float]:
        known = [voice[1] for voice in phrase if voice is not None]
        return len(known), min(known, default=0.0)

    for phrase in sorted(voices, key=weight, reverse=True)[:_STARTS]:
        yield list(phrase)
    every = [voice for phrase in voices for voice in phrase if voice is not None and voice[1] >= 0.5]
    if every:
        chosen = [max(every, key=lambda voice: voice[1])]
        while len(chosen) < min(n_tracks, len(every)):
            chosen.append(max(every, key=lambda voice: min(_distance(voice, each) for each in chosen)))
        yield [*chosen, *([None] * (n_tracks - len(chosen)))]


def _distance(one: Voice, other: Voice) -> float:
    if one is None or other is None:
        return _NEW
    return float(np.square(one[0] - other[0]).sum())


def _costs(phrase: Sequence[Voice], means: Sequence[Voice], permutations: Sequence[Sequence[int]]) -> list[float]:
    """Returns the cost of each order of a phrase's tracks: squared distances times weights."""
    pairs = [[_distance(mean, voice) * voice[1] if voice else 0.0 for voice in phrase] for mean in means]
    return [sum(pairs[track][place] for track, place in enumerate(order)) for order in permutations]


def _cheapest(
    costs: Sequence[Sequence[float]], changes: Sequence[float], permutations: Sequence[Order]
) -> tuple[list[Order], float]:
    """Returns the orders whose costs, those of changes added, are lowest, and these (Viterbi)."""
    totals, origins = np.array(costs[0]), []
    for own, change in zip(costs[1:], changes):
        # Of equal ways the one without a change.
        stays = totals <= totals.min() + change
        origins.append(np.where(stays, np.arange(len(totals)), totals.argmin()))
        totals = np.where(stays, totals, totals.min() + change) + own
    place = int(totals.argmin())
    places = [place]
    for origin in reversed(origins):
        places.append(place := int(origin[place]))
    return [list(permutations[place]) for place in reversed(places)], float(totals.min())
