"""Who speaks when, told from the levels of separated tracks; and tracks made silent where their speaker is silent.

A model for conversations (`conversations: true`) leaves little in the track of somebody who is silent, and its tracks
add up to the recording, so that levels can be compared: with the loudest speech of the recording, below which lies
what is nobody's, and with the other tracks at the same moment, of which a little leaks into every track.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from mindaudio_ext.data.rttm import Turn

_FRAME = 0.01  # seconds
_LOUD = 95  # per cent of the frames in which anything is heard are below the loud ones
_FADE = 0.02  # seconds, before and after a turn


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a track is taken for speech.

    Attributes:
        quiet: dB below the recording's loud frames: what is lower is silence.
        leak: dB below the loudest track around that moment: what is lower has leaked from there.
        smoothing: seconds, over which power is averaged.
        around: seconds before and after a moment in which the other tracks are looked at.
        gap: seconds: a shorter pause is part of a turn.
        shortest: seconds: a shorter turn is none.
        least: seconds of speech in all, of somebody who is there.
        apart: dB above the loudest other track: what is louder is surely this track's.
        own: share of a track's speech that is surely its own, of somebody who is there ...
        rare: ... unless that is more than this share of everybody's speech. The rest is what leaked from others.
    """

    quiet: float = 35.0
    leak: float = 12.0
    smoothing: float = 0.05
    around: float = 0.1
    gap: float = 0.3
    shortest: float = 0.15
    least: float = 0.5
    apart: float = 10.0
    own: float = 0.3
    rare: float = 0.04


class Powers:
    """The power of tracks, frame by frame of 10 ms, of signals that come in parts; 100 numbers a second and track.

    Args:
        num_spks: tracks, C.
        sample_rate: Hz.

    Attributes:
        num_spks: as given.
        seconds_a_frame: of one frame.
    """

    def __init__(self, num_spks: int, sample_rate: int) -> None:
        self.num_spks = num_spks
        self._size = max(1, round(_FRAME * sample_rate))
        self._rest = np.zeros((num_spks, 0), np.float32)
        self._frames: list[np.ndarray] = []
        self.seconds_a_frame = self._size / sample_rate

    def add(self, tracks: np.ndarray) -> None:
        """Takes the next samples, [C, n]."""
        waiting = np.concatenate((self._rest, tracks), axis=1)
        n_frames = waiting.shape[1] // self._size
        self._frames.append(_power(waiting[:, : n_frames * self._size], self._size))
        self._rest = waiting[:, n_frames * self._size :]

    def all(self) -> np.ndarray:
        """Returns mean squares [C, frames]; the last frame may be of fewer samples."""
        rest = [_power(self._rest, self._rest.shape[1])] if self._rest.shape[1] else []
        return np.concatenate([np.zeros((len(self._rest), 0)), *self._frames, *rest], axis=1)


def _power(tracks: np.ndarray, size: int) -> np.ndarray:
    return np.square(tracks.reshape(len(tracks), -1, size), dtype=np.float64).mean(axis=2)


def find_turns(powers: np.ndarray, seconds_a_frame: float, rule: Rule | None = None) -> list[list[tuple[float, float]]]:
    """Tells when each track's speaker speaks.

    Args:
        powers: mean squares of tracks that add up to the recording, [C, frames].
        seconds_a_frame: of one frame.
        rule: when it is speech.

    Returns:
        For each track the start and end of its turns, in seconds; none for a track in which nobody speaks.
    """
    rule = rule or Rule()
    n_frames = powers.shape[1]
    total = powers.sum(axis=0)
    if not total.any():
        return [[] for _ in powers]
    frames = [max(1, round(seconds / seconds_a_frame)) for seconds in (rule.smoothing, rule.around)]
    smooth = uniform_filter1d(powers, frames[0], axis=1, mode="nearest")  # [C, F]
    floor = np.percentile(total[total > 0], _LOUD) * 10 ** (-rule.quiet / 10)
    around = maximum_filter1d(smooth.max(axis=0), 2 * frames[1] + 1, mode="nearest")  # [F]
    heard = (smooth > floor) & (smooth > around * 10 ** (-rule.leak / 10))
    turns = [_runs(one, rule, seconds_a_frame, n_frames) for one in heard]
    there = _are_there(turns, smooth, smooth > floor, seconds_a_frame, rule)
    return [own if is_there else [] for own, is_there in zip(turns, there)]


def _are_there(
    turns: Sequence[Sequence[tuple[float, float]]],
    powers: np.ndarray,
    loud: np.ndarray,
    seconds_a_frame: float,
    rule: Rule,
) -> list[bool]:
    """Tells of each track whether it has somebody's speech, not only what leaked; `powers`, `loud`: [C, F]."""
    speech = np.zeros_like(loud)
    for track, own in enumerate(turns):
        for start, end in own:
            speech[track, round(start / seconds_a_frame) : round(end / seconds_a_frame)] = True
    speech &= loud
    others = np.stack([np.delete(powers, track, axis=0).max(axis=0, initial=0) for track in range(len(powers))])
    surely = (speech & (powers > others * 10 ** (rule.apart / 10))).sum(axis=1)
    enough = (surely >= rule.own * speech.sum(axis=1)) | (surely >= rule.rare * speech.any(axis=0).sum())
    seconds = [sum(end - start for start, end in own) for own in turns]
    there = [time >= rule.least and bool(one) for time, one in zip(seconds, enough)]
    return there if any(there) else [time >= rule.least for time in seconds]


def _runs(heard: np.ndarray, rule: Rule, seconds_a_frame: float, n_frames: int) -> list[tuple[float, float]]:
    """Lists the stretches in which a track, [F], is heard, in seconds: short pauses closed, short turns left out."""
    edges = np.flatnonzero(np.diff(np.r_[False, heard, False]))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return []
    parted = np.flatnonzero((starts[1:] - ends[:-1]) * seconds_a_frame >= rule.gap)
    starts, ends = starts[np.r_[0, parted + 1]], ends[np.r_[parted, len(ends) - 1]]
    whole = [(start * seconds_a_frame, min(end, n_frames) * seconds_a_frame) for start, end in zip(starts, ends)]
    return [(start, end) for start, end in whole if end - start >= rule.shortest]


def silenced(
    blocks: Iterator[np.ndarray], turns: Sequence[Sequence[tuple[float, float]]], rate: int
) -> Iterator[np.ndarray]:
    """Makes tracks digitally silent outside of their turns, which fade in and out within 20 ms.

    Args:
        blocks: the tracks from their start, [n, C].
        turns: of each track, starts and ends in seconds, by time.
        rate: Hz.

    Yields:
        The same blocks, silenced.
    """
    shapes = [_shape(own, rate) for own in turns]
    first = 0
    for block in blocks:
        samples = np.arange(first, first + len(block))
        gains = np.stack([np.interp(samples, *shape) for shape in shapes], axis=1)  # [n, C]
        yield (gains * block).astype(np.float32)
        first += len(block)


def _shape(turns: Sequence[tuple[float, float]], rate: int) -> tuple[list[float], list[float]]:
    """Returns the corners of a track's gain: samples, and the gain there."""
    places, gains = [-1.0], [0.0]
    for start, end in turns:
        places += [(start - _FADE) * rate, start * rate, end * rate, (end + _FADE) * rate]
        gains += [0.0, 1.0, 1.0, 0.0]
    return places, gains


@dataclasses.dataclass(frozen=True)
class Speech:
    """Who speaks when in a recording.

    Attributes:
        seconds: the recording's length.
        turns: of each track, start and end in seconds.
    """

    seconds: float
    turns: tuple[tuple[tuple[float, float], ...], ...]

    @property
    def speaking(self) -> list[int]:
        """The tracks, from 0, in which somebody speaks."""
        return [track for track, own in enumerate(self.turns) if own]

    def shares(self) -> tuple[float, float, float]:
        """Returns the shares of the time in which nobody, one, and several speak."""
        changes = sorted((time, step) for own in self.turns for turn in own for time, step in zip(turn, (1, -1)))
        times, _counts, at, count = [0.0, 0.0, 0.0], 0, 0.0, 0
        for time, step in [*changes, (self.seconds, 0)]:
            times[min(count, 2)] += min(time, self.seconds) - at
            at, count = min(time, self.seconds), count + step
        return tuple(each / self.seconds for each in times)  # type: ignore[return-value]

    def as_rttm(self) -> list[Turn]:
        """Returns the turns by time; the speakers are called as their tracks: s1, s2, ..."""
        return sorted(Turn(*turn, f"s{track}") for track, own in enumerate(self.turns, 1) for turn in own)

    @property
    def summary(self) -> str:
        """Says how many speak, and for how much of the time one, several and nobody."""
        n_speakers = len(self.speaking)
        if not n_speakers:
            return "no speech"
        nobody, one, several = (f"{100 * share:.0f} %" for share in self.shares())
        people = "1 speaker" if n_speakers == 1 else f"{n_speakers} speakers"
        return f"{people}: one speaks {one}, several {several}, nobody {nobody} of the time"


def speech_of(tracks: np.ndarray, sample_rate: int, rule: Rule | None = None) -> Speech:
    """Tells who speaks when in a recording's tracks, [C, T], that add up to it; see `find_turns`."""
    powers = Powers(len(tracks), sample_rate)
    powers.add(tracks)
    turns = find_turns(powers.all(), powers.seconds_a_frame, rule)
    return Speech(tracks.shape[1] / sample_rate, tuple(map(tuple, turns)))
