"""Draws who speaks when in a simulated conversation, so that conversations are as asked for.

A conversation alternates stretches in which one speaks with events, which are pauses or overlaps. An overlap is a
back-channel, a short piece within another's turn, or an interruption, which ends the turn. Each event has one stretch
before it, so of a time T the shares of nobody (p0), one (p1) and two (p2) ask for T (p0 / mean pause + p2 / mean
overlap) events, and for stretches of the mean length p1 / (p0 / mean pause + p2 / mean overlap).

A turn is of whole pieces, so that words are hardly cut, and is therefore longer or shorter than wanted, and the last
one goes on beyond the end. What is too much or too little of anything is held against what comes next, in the
conversation and in those after it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mindaudio_ext.data.conversation import Conversation, Placed
from mindaudio_ext.data.conversation_statistics import (
    SHORTEST_OVERLAP,
    SHORTEST_PAUSE,
    SHORTEST_SOLO,
    Statistics,
    Tally,
)

_MEMORY = 12  # events that make up for what there is too much or too little of
_CHOICES = 4  # pieces with which a turn may begin
_LONGEST = 1.1  # of the asked length, after which it ends in any case


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
        n_samples: after which it ends, when the shares are right and all have spoken; mostly within a tenth and a
            turn more.
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
