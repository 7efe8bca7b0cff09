"""Which utterances make which mixture of a set: each once in a pass, speakers differ, every draw has its own seed."""

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.errors import InputError
from mindaudio_ext.keys import require_key

MIXTURES_FORMAT = 1  # of the recipe for mixtures: changes when the same parameters give other samples


@dataclass(frozen=True)
class Candidate:
    """An utterance that can be mixed, with its loudness in LUFS at the mixtures' rate."""

    utterance: Utterance
    loudness: float


@dataclass(frozen=True)
class Plan:
    """One mixture to be: its key, its number in the set and its sources in order."""

    key: str
    index: int
    sources: tuple[Candidate, ...]


@dataclass(frozen=True)
class Parameters:
    """What the samples of a set depend on, apart from the utterances."""

    set_name: str
    n_mixtures: int
    num_spks: int
    sample_rate: int
    seed: int
    format: int = MIXTURES_FORMAT


def draw_mixtures(sources: Sequence[Candidate], parameters: Parameters) -> list[Plan]:
    """Draws which utterances are mixed: in each pass over them, shuffled, each is used at most once.

    Raises:
        InputError: when there are fewer speakers than sources in a mixture.
    """
    speakers = {source.utterance.speaker for source in sources}
    if len(speakers) < parameters.num_spks:
        raise InputError(
            f"set {parameters.set_name}: speech of {len(speakers)} speaker(s); "
            f"mixtures of {parameters.num_spks} different speakers cannot be made"
        )
    plans: list[Plan] = []
    used: set[str] = set()
    for turn in range(parameters.n_mixtures):  # each pass gives one mixture at least
        order = rng_of(parameters, "pass", turn).permutation(len(sources))
        for group in _group([sources[i] for i in order], parameters.num_spks):
            if len(plans) == parameters.n_mixtures:
                return plans
            pair = "_".join(source.utterance.key for source in group)
            names = itertools.chain([pair], (f"{pair}-{i}" for i in itertools.count(2)))
            key = next(name for name in names if name not in used)
            require_key(key, f"set {parameters.set_name}")
            used.add(key)
            plans.append(Plan(key, len(plans), group))
    return plans


def _group(sources: Sequence[Candidate], size: int) -> list[tuple[Candidate, ...]]:
    """Takes the sources in order into groups of different speakers; those that find no partner are left over."""
    waiting = list(sources)
    groups = []
    while waiting:
        places: list[int] = []
        speakers: set[str] = set()
        for place, source in enumerate(waiting):
            if source.utterance.speaker not in speakers:
                places.append(place)
                speakers.add(source.utterance.speaker)
            if len(places) == size:
                break
        if len(places) < size:
            break
        groups.append(tuple(waiting[place] for place in places))
        for place in reversed(places):
            del waiting[place]
    return groups


class Seeded(Protocol):
    """A set's parameters, as far as its draws depend on them alone."""

    @property
    def set_name(self) -> str:
        """Name of the set."""

    @property
    def seed(self) -> int:
        """Of every draw."""


def rng_of(parameters: Seeded, purpose: str, number: int) -> np.random.Generator:
    """Returns a generator of its own for each use, so that no order of work changes a draw."""
    name = zlib.crc32(f"{parameters.set_name} {purpose}".encode())
    return np.random.default_rng([parameters.seed, name, number])
