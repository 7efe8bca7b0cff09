"""Simulated conversations: what they are to be like and are, who speaks when in one, its pieces and its signals."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

SHORTEST_PAUSE = 0.2  # seconds: a shorter one is within a piece
SHORTEST_OVERLAP = 0.1
SHORTEST_SOLO = 0.2
_FRAME = 0.01  # seconds, of the energy by which pieces are cut
_RANGE = 35.0  # dB below an utterance's loud frames: what is quieter is a pause
_LOUD = 95  # per cent of the frames are below the loud ones
_LONGEST_PIECE, _SHORTEST_PIECE = 1.5, 0.3  # seconds, of what is cut where it is quietest
_DIP = 5  # frames, of the mean power by which it is cut
_EDGE = 0.02  # seconds before and after a piece's frames that belong to it
_FADE = 0.005  # seconds, at a piece's ends


@dataclass(frozen=True)
class Statistics:
    """What conversations are to be like.

    Attributes:
        silence: share of the time in which nobody speaks.
        overlap: share in which two speak; never more do.
        mean_pause: seconds, exponential above 0.2 s.
        mean_overlap: seconds, exponential above 0.1 s.
        backchannels: share of the overlaps that are within another's turn; the others are interruptions.
        same_speaker: share of the pauses after which the same person goes on.
        monologues: share of the stretches of one speaker that are five times as long as the others.
        talk: relative shares of talk of the speakers, the first one's first; empty: all alike.
    """

    silence: float = 0.15
    overlap: float = 0.15
    mean_pause: float = 0.6
    mean_overlap: float = 0.8
    backchannels: float = 0.4
    same_speaker: float = 0.4
    monologues: float = 0.05
    talk: tuple[float, ...] = ()

    def problem(self, n_speakers: int = 2) -> str | None:
        """Says why conversations of so many speakers cannot be like this; None when they can."""
        for name in ("silence", "overlap", "backchannels", "same_speaker", "monologues"):
            if not 0 <= getattr(self, name) <= 1:
                return f"{name}: a share from 0 to 1 is expected, got {getattr(self, name):g}"
        if not SHORTEST_PAUSE < self.mean_pause <= 60:
            return f"mean_pause: more than {SHORTEST_PAUSE} s is expected, got {self.mean_pause:g}"
        if not SHORTEST_OVERLAP < self.mean_overlap <= 60:
            return f"mean_overlap: more than {SHORTEST_OVERLAP} s is expected, got {self.mean_overlap:g}"
        if self.silence + self.overlap >= 1:
            return f"silence and overlap: {self.silence:g} and {self.overlap:g} leave no time for one speaker"
        if self.silence < 0.01:
            return f"silence: at least 0.01 is expected, got {self.silence:g}; every conversation ends with some"
        changes = (1 - self.same_speaker) * self.silence + (1 - self.backchannels) * self.overlap
        if n_speakers > 1 and changes < 0.001:
            return "same_speaker and backchannels: no turn ever goes to another speaker; ask for less of them"
        if self.talk and (len(self.talk) < n_speakers or not all(0.05 <= share <= 20 for share in self.talk)):
            return f"talk: {n_speakers} numbers from 0.05 to 20 are expected, got {list(self.talk)}"
        solo = self.mean_solo(n_speakers)
        if solo < SHORTEST_SOLO + 0.1:
            return (
                f"silence, overlap and their means ask for stretches of one speaker of {solo:.2f} s, "
                f"less than {SHORTEST_SOLO + 0.1:g} s; ask for longer pauses or overlaps, or for less of them"
            )
        return None

    def of(self, n_speakers: int) -> "Statistics":
        """Returns what of this can be had with so many speakers: one alone never overlaps, and always goes on."""
        if n_speakers > 1:
            return self
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return Statistics(**values | {"overlap": 0.0, "same_speaker": 1.0, "talk": ()})

    def events(self, n_speakers: int = 2) -> float:
        """Pauses and overlaps a second."""
        overlap = self.overlap if n_speakers > 1 else 0.0
        return self.silence / self.mean_pause + overlap / self.mean_overlap

    def mean_solo(self, n_speakers: int = 2) -> float:
        """Seconds of a stretch of one speaker."""
        overlap = self.overlap if n_speakers > 1 else 0.0
        return (1 - self.silence - overlap) / self.events(n_speakers)


@dataclass(frozen=True)
class Placed:
    """A piece of speech in a conversation.

    Attributes:
        speaker: its number.
        piece: which of the speaker's pieces.
        start: sample of the conversation.
        length: samples; fewer than the piece has when it is a back-channel that no piece is short enough for.
    """

    speaker: int
    piece: int
    start: int
    length: int


@dataclass
class Tally:
    """What conversations have: of times in samples, and of how many events."""

    samples: int = 0
    silent: int = 0
    overlapped: int = 0
    pauses: int = 0
    overlaps: int = 0
    backchannels: int = 0
    same_speaker: int = 0
    changes: int = 0  # pauses after which somebody speaks
    talk: list[int] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Adds another's counts."""
        for one in fields(self):
            if one.name != "talk":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        size = max(len(self.talk), len(other.talk))
        both = [talk + [0] * (size - len(talk)) for talk in (self.talk, other.talk)]
        self.talk = [a + b for a, b in zip(*both)]

    def since(self, before: "Tally") -> "Tally":
        """Returns what was counted after `before`, from which this went on; its talk as it is."""
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        earlier = {one.name: getattr(before, one.name) for one in fields(self) if one.name != "talk"}
        return Tally(**counts | {name: counts[name] - count for name, count in earlier.items()})

    def lines(self, asked: Statistics, rate: int) -> list[str]:
        """Says what was asked for and what there is, a line each."""
        found = {
            "silence": (self.silent, self.samples),
            "overlap": (self.overlapped, self.samples),
            "mean_pause": (self.silent / rate, self.pauses),
            "mean_overlap": (self.overlapped / rate, self.overlaps),
            "backchannels": (self.backchannels, self.overlaps),
            "same_speaker": (self.same_speaker, self.changes),
        }
        return [
            f"{name}: asked {getattr(asked, name):.3f}, measured {count / total:.3f}" if total else f"{name}: none"
            for name, (count, total) in found.items()
        ]


@dataclass(frozen=True)
class Conversation:
    """A conversation to be.

    Attributes:
        n_samples: of it.
        placed: its pieces.
        tally: what it is like.
    """

    n_samples: int
    placed: tuple[Placed, ...]
    tally: Tally

    def turns(self) -> list[tuple[int, int, int]]:
        """Lists speaker, first sample and end of each stretch of speech without a pause, by time."""
        found: list[tuple[int, int, int]] = []
        last: dict[int, int] = {}
        for one in sorted(self.placed, key=lambda placed: placed.start):
            place = last.get(one.speaker)
            if place is not None and found[place][2] == one.start:
                found[place] = (one.speaker, found[place][1], one.start + one.length)
            else:
                last[one.speaker] = len(found)
                found.append((one.speaker, one.start, one.start + one.length))
        return found


def find_pieces(samples: np.ndarray, sample_rate: int) -> list[slice]:
    """Lists the pieces of an utterance, [T], between its pauses of 0.2 s or more; none in silence.

    A pause is of frames more than 35 dB below the loud ones. Speech of more than 1.5 s without one is cut further,
    where it is quietest; such pieces lie side by side, so that said one after the other they are as they were.

    >>> tone = np.sin(np.arange(800))
    >>> find_pieces(np.concatenate([tone, np.zeros(2400), tone]), 8000)
    [slice(0, 960, None), slice(3040, 4000, None)]
    """
    size = max(1, round(_FRAME * sample_rate))
    n_frames = len(samples) // size
    power = np.square(samples[: n_frames * size].reshape(n_frames, size), dtype=np.float64).mean(axis=1)
    if not n_frames or power.max() == 0:
        return []
    heard = np.flatnonzero(power > np.percentile(power[power > 0], _LOUD) * 10 ** (-_RANGE / 10))
    breaks = np.flatnonzero(np.diff(heard) > round(SHORTEST_PAUSE / _FRAME))
    edge = round(_EDGE * sample_rate)
    firsts, lasts = heard[np.r_[0, breaks + 1]], heard[np.r_[breaks, len(heard) - 1]]
    found = []
    for first, last in zip(firsts, lasts):
        start, stop = max(0, int(first) * size - edge), min(len(samples), (int(last) + 1) * size + edge)
        if stop - start >= SHORTEST_OVERLAP * sample_rate:
            cuts = [start, *(frame * size for frame in _dips(power, int(first), int(last) + 1)), stop]
            found += [slice(a, b) for a, b in itertools.pairwise(cuts)]
    return found


def _dips(power: np.ndarray, first: int, end: int) -> list[int]:
    """Returns the frames at which speech of more than 1.5 s is cut: where it is quietest, mostly between words."""
    if (end - first) * _FRAME <= _LONGEST_PIECE:
        return []
    margin = round(_SHORTEST_PIECE / _FRAME)
    smooth = np.convolve(power[first:end], np.ones(_DIP), "same")[margin : end - first - margin]
    place = first + margin + int(smooth.argmin())
    return [*_dips(power, first, place), place, *_dips(power, place, end)]


def render(
    conversation: Conversation, pieces: Sequence[Sequence[np.ndarray]], *, sample_rate: int, n_sources: int
) -> np.ndarray:
    """Returns the speakers' signals, float32 [n_sources, T], silent where they are; pieces fade in and out.

    Args:
        conversation: who speaks when.
        pieces: of each speaker, each [n], at the wanted level.
        sample_rate: Hz.
        n_sources: at least as many as speakers; those of the others are silent.
    """
    sources = np.zeros((n_sources, conversation.n_samples), np.float32)
    for one in conversation.placed:
        samples = np.array(pieces[one.speaker][one.piece][: one.length], np.float32)
        n_fade = min(len(samples) // 2, round(_FADE * sample_rate))
        ramp = (np.arange(n_fade, dtype=np.float32) + 0.5) / max(1, n_fade)
        samples[:n_fade] *= ramp
        samples[len(samples) - n_fade :] *= ramp[::-1]
        sources[one.speaker, one.start : one.start + one.length] = samples
    return sources
