"""Training examples cut from a MindRecord directory: crops of its mixtures, or new mixtures of its sources.

What an example is depends on (seed, epoch, place in the epoch) alone. No source of an example is silent, unless the
loss takes such sources (`keep_silent`): its SI-SNR is not defined, and a loss of tens of dB for it is no explosion.
Where the first place to cut at has a silent source, another one is drawn; a mixture without such a place gives its
turn to another mixture.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.signal import resample_poly

from mindaudio_ext.data.audio import from_pcm16
from mindaudio_ext.data.mindrecord import Manifest, read_rows
from mindaudio_ext.data.mixture import LOUDEST, QUIETEST, SHORTEST, loudness, mix
from mindaudio_ext.data.silence import silent_sources
from mindaudio_ext.errors import InputError

Example = tuple[np.ndarray, np.ndarray]  # mixture float32 [T], sources float32 [C, T]
_PER_CENT = 100  # a speed is changed by whole per cents
_MOST_DRAWS = 100  # of mixtures in place of one that cannot be cut


class Examples(ABC):
    """The examples of each epoch.

    Args:
        manifest: the set.
        segment: samples of an example at most.
        seed: of all that is drawn.
        keep_silent: let sources be silent.
    """

    def __init__(self, manifest: Manifest, *, segment: int, seed: int, keep_silent: bool = False) -> None:
        self.manifest, self.segment, self.seed, self.keep_silent = manifest, segment, seed, keep_silent

    def cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example]:
        """Yields the examples at these places of an epoch (counted from 1), each of at most the segment's length.

        Raises:
            InputError: there are no mixtures, in many draws, whose sources are all heard.
        """
        for place, example in zip(places, self._cut(epoch, places)):
            yield self._in_place_of(place, epoch) if example is None else example

    @abstractmethod
    def _cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example | None]:
        """Yields the examples at these places; None where no part of the mixture has all sources."""

    def _in_place_of(self, place: int, epoch: int) -> Example:
        """Returns the example of another place, drawn until there is one."""
        rng = np.random.default_rng((self.seed, epoch, place, 1))
        for other in rng.integers(len(self.manifest.keys), size=_MOST_DRAWS).tolist():
            if (example := next(self._cut(epoch, [other]))) is not None:
                return example
        raise InputError(
            f"{self.manifest.path}: {_MOST_DRAWS} mixtures drawn at random have no segment in which every source is "
            "heard; train with a longer segment, or leave such mixtures out"
        )


class Crops(Examples):
    """Random crops of the set's mixtures, each mixture once an epoch.

    Args:
        manifest: the set.
        segment: samples of a crop; a shorter utterance is given whole.
        seed: of order and crops.
        keep_silent: cut wherever the first draw is.
    """

    def _cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example | None]:
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.manifest.keys))
        for index, mixture, sources in read_rows(self.manifest, order[list(places)].tolist()):
            window = _window(np.random.default_rng((self.seed, epoch, index)), sources, self.segment, self.keep_silent)
            yield None if window is None else (from_pcm16(mixture[window]), from_pcm16(sources[:, window]))


class DynamicMixtures(Examples):
    """New mixtures of the set's sources by LibriMix's rules: each source once an epoch, other pairs each epoch.

    Speakers differ, a source's loudness (that of its whole utterance) is drawn from -33 to -25 LUFS, peaks are kept as
    in `mixture.mix`, and a mixture is as long as its shortest crop.

    Args:
        manifest: the set.
        segment: samples of a crop; a shorter utterance is used whole.
        seed: of pairs, crops, levels and speeds.
        keep_silent: let sources be silent in their crop.
        speed_perturb: largest relative change of a source's speed; 0.05 draws from 0.95, 0.96, ... 1.05.

    Raises:
        InputError: the set does not tell its speakers.
    """

    def __init__(
        self, manifest: Manifest, *, segment: int, seed: int, keep_silent: bool = False, speed_perturb: float = 0.0
    ) -> None:
        if manifest.speakers is None:
            raise InputError(f"{manifest.path}: dynamic_mixing needs the speakers; its data directory has no src2spk")
        super().__init__(manifest, segment=segment, seed=seed, keep_silent=keep_silent)
        self.most_per_cent = round(speed_perturb * _PER_CENT)
        numbers = {name: number for number, name in enumerate(sorted(set().union(*map(set, manifest.speakers))))}
        self._speakers = np.array([[numbers[name] for name in row] for row in manifest.speakers])  # [rows, C]
        self._loudness: dict[int, float | None] = {}  # measured once a training

    def _cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example | None]:
        groups = self.groups(epoch)[list(places)]
        readers = [self._signals(slot) for slot in groups.T]
        for place, *signals in zip(places, *readers):
            yield self._mix(np.random.default_rng((self.seed, epoch, place)), dict(signals))

    def groups(self, epoch: int) -> np.ndarray:
        """Draws an epoch's mixtures: int [rows, C], each entry `row * C + source`, each once."""
        rng = np.random.default_rng((self.seed, epoch))
        speakers = self._speakers.ravel()
        groups = rng.permutation(len(speakers)).reshape(self._speakers.shape)
        # No speaker has more signals than there are groups, so swapping at random ends.
        while len(clashing := np.flatnonzero((np.diff(np.sort(speakers[groups])) == 0).any(axis=1))):
            for group in clashing:
                other, place = rng.integers(len(groups)), rng.integers(groups.shape[1])
                groups[[group, other], place] = groups[[other, group], place]
        return groups

    def _signals(self, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yields number and samples of the wanted signals."""
        rows = read_rows(self.manifest, (wanted // self.manifest.num_spks).tolist())
        for signal, (_, _, sources) in zip(wanted.tolist(), rows):
            yield signal, from_pcm16(sources[signal % self.manifest.num_spks])

    def _mix(self, rng: np.random.Generator, signals: dict[int, np.ndarray]) -> Example | None:
        targets = rng.uniform(QUIETEST, LOUDEST, len(signals))
        measured = [self._measure(signal, samples) for signal, samples in signals.items()]
        found = [self._crop(rng, samples) for samples in signals.values()]
        crops = [crop for crop in found if crop is not None]
        if len(crops) < len(found):
            return None
        levels = [target if level is None else level for level, target in zip(measured, targets)]
        mixture, sources = mix(crops, loudnesses=levels, targets=targets)
        if silent_sources(sources) and not self.keep_silent:  # in what is left of the longer ones, or in 16 bits
            return None
        return from_pcm16(mixture), from_pcm16(sources)

    def _crop(self, rng: np.random.Generator, samples: np.ndarray) -> np.ndarray | None:
        """Cuts a random crop which has the segment's length after its speed was changed; None of a silent source."""
        speed = _PER_CENT + int(rng.integers(-self.most_per_cent, self.most_per_cent, endpoint=True))
        window = _window(rng, samples[None], -(-self.segment * speed // _PER_CENT), self.keep_silent)
        if window is None:
            return None
        crop = samples[window]
        return crop if speed == _PER_CENT else resample_poly(crop, _PER_CENT, speed)[: self.segment]

    def _measure(self, signal: int, samples: np.ndarray) -> float | None:
        """Returns the loudness in LUFS of a whole source; None, and so its level stays, when it has none."""
        if signal not in self._loudness:
            long_enough = len(samples) >= SHORTEST * self.manifest.sample_rate
            level = loudness(samples, self.manifest.sample_rate) if long_enough else -np.inf
            self._loudness[signal] = level if np.isfinite(level) else None
        return self._loudness[signal]


def _window(rng: np.random.Generator, sources: np.ndarray, wanted: int, keep_silent: bool) -> slice | None:
    """Draws where to cut `wanted` samples of sources [C, T] such that none is silent; all when they are fewer.

    None when there is no such place. The first draw alone counts unless a source is silent there, and with
    `keep_silent` always.
    """
    length = sources.shape[1]
    start = int(rng.integers(length - wanted + 1)) if length > wanted else 0
    if keep_silent or not silent_sources(sources[:, start : start + wanted]):
        return slice(start, start + wanted)
    starts = _starts_with_all(sources, wanted)
    return slice(start := int(rng.choice(starts)), start + wanted) if len(starts) else None


def _starts_with_all(sources: np.ndarray, wanted: int) -> np.ndarray:
    """Returns where `wanted` samples of sources [C, T] can begin such that none of them is constant."""
    changes = np.zeros(sources.shape, np.int64)  # before each sample, from sample to sample
    np.cumsum(sources[:, 1:] != sources[:, :-1], axis=1, out=changes[:, 1:])
    n_starts = max(0, sources.shape[1] - wanted + 1)
    heard = changes[:, wanted - 1 : wanted - 1 + n_starts] > changes[:, :n_starts]  # [C, starts]
    return np.flatnonzero(heard.all(axis=0))
