"""Simulated conversations: who speaks when in one, its pieces and its signals."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindaudio_ext.data.conversation_statistics import SHORTEST_OVERLAP, SHORTEST_PAUSE, Tally

_FRAME = 0.01  # seconds, of the energy by which pieces are cut
_RANGE = 35.0  # dB below an utterance's loud frames: what is quieter is a pause
_LOUD = 95  # per cent of the frames are below the loud ones
_LONGEST_PIECE, _SHORTEST_PIECE = 1.5, 0.3  # seconds, of what is cut where it is quietest
_DIP = 5  # frames, of the mean power by which it is cut
_EDGE = 0.02  # seconds before and after a piece's frames that belong to it
_FADE = 0.005  # seconds, at a piece's ends


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
