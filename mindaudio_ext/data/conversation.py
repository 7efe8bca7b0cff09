"""Who speaks when in a simulated conversation, and its signals: turns of whole pieces of speech, pauses, overlaps.

A conversation alternates stretches in which one speaks with events, which are pauses or overlaps. An overlap is a
back-channel, a short piece within another's turn, or an interruption, which ends the turn. Each event has one stretch
before it, so of a time T the shares of nobody (p0), one (p1) and two (p2) ask for T (p0 / mean pause + p2 / mean
overlap) events, and for stretches of the mean length p1 / (p0 / mean pause + p2 / mean overlap).

A turn is of whole pieces, so that words are hardly cut, and is therefore longer or shorter than wanted, and the last
one goes on beyond the end. What is too much or too little of anything is held against what comes next, in the
conversation and in those after it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

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
_MEMORY = 12  # events that make up for what there is too much or too little of
_CHOICES = 4  # pieces with which a turn may begin
_LONGEST = 1.1  # of the asked length, after which it ends in any case
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


def plan_conversation(
    rng: np.random.Generator,
    asked: Statistics,
    pieces: Sequence[Sequence[int]],
    *,
    n_samples: int,
    sample_rate: int,
    before: Tally | None = None,
) -> Conversation:
    """Draws a conversation.

    Args:
        rng: of all that is drawn.
        asked: what it is to be like.
        pieces: of each speaker the lengths in samples of the pieces, in the order in which they are said; when all are
            used, they are said again.
        n_samples: after which it ends, when the shares are right and all have spoken; mostly within a quarter more.
        sample_rate: Hz.
        before: what conversations of as many speakers before this one have, for which it makes up; None: there are
            none. Of one alone the shares are far from those asked for, as a few turns are few draws.
    """
    return _Planner(rng, asked, pieces, sample_rate, before or Tally()).plan(n_samples)


class _Planner:
    """A conversation that is being drawn."""

    def __init__(
        self,
        rng: np.random.Generator,
        asked: Statistics,
        pieces: Sequence[Sequence[int]],
        sample_rate: int,
        before: Tally,
    ) -> None:
        self.n_speakers = len(pieces)
        self.rng, self.asked, self.pieces, self.rate = rng, asked.of(len(pieces)), pieces, sample_rate
        self.next = [0] * len(pieces)
        self.before = before
        self.tally = replace(before, talk=[0] * len(pieces))
        self.solo = [0] * len(pieces)  # samples in which each speaks alone
        self.placed: list[Placed] = []

    def plan(self, n_samples: int) -> Conversation:
        """Draws it; see `plan_conversation`."""
        around = self._pause()  # one pause, of which a part comes first and the rest last
        start = first = int(self.rng.integers(around + 1))
        speaker, overlap = int(self.rng.integers(self.n_speakers)), 0
        while True:
            inner, ends_in_pause = self._events()
            backchannels = [self._backchannel(speaker) for _ in range(inner)]
            after = 0 if ends_in_pause else self._interruption()
            end = self._turn(speaker, start, overlap, backchannels, after)
            if ends_in_pause and self._is_over(end, n_samples):
                length = end + around - first
                self.tally.samples += length
                return Conversation(length, tuple(self.placed), self.tally.since(self.before))
            start, overlap = (end + self._pause(), 0) if ends_in_pause else (end - after, after)
            if not (ends_in_pause and self._goes_on()):
                speaker = self._other(speaker)

    def _is_over(self, end: int, n_samples: int) -> bool:
        """Tells whether all have spoken, and one of them has alone as long as should be."""
        if end < n_samples or not all(self.tally.talk):
            return False
        return end >= _LONGEST * n_samples or self._spoken() <= self._due()

    def _events(self) -> tuple[int, bool]:
        """Draws how many back-channels a turn has, and whether a pause ends it."""
        n_inner = 0
        while True:
            if self._is_pause(n_inner):
                return n_inner, True
            found, wanted = self.tally.backchannels + n_inner, self.asked.backchannels * (self.tally.overlaps + n_inner)
            if not self._draw(self.asked.backchannels, wanted - found):
                return n_inner, False
            n_inner += 1

    def _is_pause(self, n_inner: int) -> bool:
        asked, tally = self.asked, self.tally
        if asked.overlap == 0:
            return True
        of_pause, of_overlap = asked.mean_pause / asked.silence, asked.mean_overlap / asked.overlap
        # the time that the overlaps so far, and the pauses so far, are of; events of both kinds bring them together
        overlapped = (tally.overlapped / self.rate + n_inner * asked.mean_overlap) / asked.overlap
        silent = tally.silent / self.rate / asked.silence
        return self._draw(of_overlap / (of_pause + of_overlap), (overlapped - silent) / (of_pause + of_overlap))

    def _draw(self, share: float, lacking: float) -> bool:
        """Draws yes with a share that is corrected by how many are lacking so far."""
        return bool(self.rng.random() < share + lacking / _MEMORY) if 0 < share < 1 else share == 1

    def _goes_on(self) -> bool:
        tally, share = self.tally, self.asked.same_speaker
        found = self._draw(share, share * tally.changes - tally.same_speaker)
        tally.changes += 1
        tally.same_speaker += found
        return found

    def _other(self, speaker: int) -> int:
        if self.n_speakers == 1:
            return speaker
        others = [other for other in range(self.n_speakers) if other != speaker]
        silent = [other for other in others if not self.tally.talk[other]]
        return int(self.rng.choice(silent or others))

    def _length(self, mean: float, shortest: float, n_before: int, samples_before: int) -> int:
        """Draws samples of a pause or an overlap, of the mean that brings theirs to that asked for, in seconds."""
        lacking = mean * n_before - samples_before / self.rate
        scale = np.clip((mean - shortest + lacking / _MEMORY) / (mean - shortest), 0.5, 2)
        return round((shortest + self.rng.exponential(scale * (mean - shortest))) * self.rate)

    def _pause(self) -> int:
        tally = self.tally
        length = self._length(self.asked.mean_pause, SHORTEST_PAUSE, tally.pauses, tally.silent)
        tally.pauses += 1
        tally.silent += length
        return length

    def _overlap_length(self) -> int:
        return self._length(self.asked.mean_overlap, SHORTEST_OVERLAP, self.tally.overlaps, self.tally.overlapped)

    def _interruption(self) -> int:
        length = self._overlap_length()
        self.tally.overlapped += length
        self.tally.overlaps += 1
        return length

    def _backchannel(self, speaker: int) -> tuple[int, int, int]:
        """Draws who says it, which piece and how many samples of it."""
        other, wanted = self._other(speaker), self._overlap_length()
        lengths = np.asarray(self.pieces[other])
        nearest = np.flatnonzero(np.abs(lengths - wanted) <= np.abs(lengths - wanted).min() + 0.1 * wanted)
        piece = int(self.rng.choice(nearest))
        length = int(lengths[piece]) if lengths[piece] <= 1.2 * wanted else wanted
        self.tally.overlapped += length
        self.tally.overlaps += 1
        self.tally.backchannels += 1
        return other, piece, length

    def _turn(self, speaker: int, start: int, before: int, inner: list[tuple[int, int, int]], after: int) -> int:
        """Places a turn of so many samples of overlap before and after, with back-channels; returns its end."""
        fixed = before + after + sum(length for *_, length in inner)
        n_solos, least = len(inner) + 1, round(SHORTEST_SOLO * self.rate)
        shortest = fixed + n_solos * least
        wanted = fixed + self._solo(speaker, n_solos)
        end = start
        for piece in self._run(speaker, wanted, shortest):
            self.placed.append(Placed(speaker, piece, end, length := self.pieces[speaker][piece]))
            end += length
        self.tally.talk[speaker] += end - start
        self.solo[speaker] += end - start - fixed
        shares = self.rng.dirichlet(np.full(n_solos, 3.0)) * (end - start - fixed - n_solos * least)
        place = start + before
        for share, (other, piece, length) in zip(shares, inner):
            place += least + int(share)
            self.placed.append(Placed(other, piece, place, length))
            self.tally.talk[other] += length
            place += length
        return end

    def _run(self, speaker: int, wanted: float, shortest: int) -> list[int]:
        """Returns consecutive pieces, beginning with one of the speaker's next, of about the wanted length."""
        lengths, first = self.pieces[speaker], self.next[speaker]
        found: list[tuple[float, int, int]] = []
        for start in range(first, first + min(_CHOICES, len(lengths))):
            end, total = start, 0
            while total < shortest or abs(total + lengths[end % len(lengths)] - wanted) < abs(total - wanted):
                total += lengths[end % len(lengths)]
                end += 1
            found.append((abs(total - wanted), start, end))
        _, start, self.next[speaker] = min(found)
        return [place % len(lengths) for place in range(start, self.next[speaker])]

    def _solo(self, speaker: int, n_solos: int) -> float:
        """Draws how many samples of a turn the speaker is to be alone."""
        asked, spoken = self.asked, sum(self.solo)
        share = asked.talk[speaker] / sum(asked.talk[: self.n_speakers]) if asked.talk else 1 / self.n_speakers
        mean = asked.mean_solo(self.n_speakers) * self.rate
        of_speaker = (
            share * self.n_speakers * np.clip(share * (spoken + mean) / (self.solo[speaker] + share * mean), 0.5, 2)
        )
        factors = np.where(self.rng.random(n_solos) < asked.monologues, 5.0, 1.0) / (1 + 4 * asked.monologues)
        drawn = (mean * of_speaker * factors * self.rng.gamma(2.0, 0.5, n_solos)).sum()
        return max(0.0, drawn + self._due() - self._spoken() - n_solos * mean)

    def _spoken(self) -> int:
        """Returns the samples in which one has spoken so far, in the conversations before too."""
        return self.before.samples - self.before.silent - self.before.overlapped + sum(self.solo)

    def _due(self) -> float:
        """Returns the samples in which one should have spoken by now, of the pauses and overlaps there were."""
        events = self.asked.silence + self.asked.overlap
        return (1 - events) / events * (self.tally.silent + self.tally.overlapped)


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
