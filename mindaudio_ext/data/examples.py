"""Training examples cut from a MindRecord directory: crops of its mixtures, or new mixtures of its sources.

What an example is depends on (seed, epoch, place in the epoch) alone.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import mindspore.dataset as ds
import numpy as np
from scipy.signal import resample_poly

from mindaudio_ext.data.audio import from_pcm16
from mindaudio_ext.data.mindrecord import SCHEMA, Manifest, decode_row
from mindaudio_ext.data.mixture import LOUDEST, QUIETEST, SHORTEST, loudness, mix
from mindaudio_ext.errors import InputError

Example = tuple[np.ndarray, np.ndarray]  # mixture float32 [T], sources float32 [C, T]
_PER_CENT = 100  # a speed is changed by whole per cents


class Examples(Protocol):
    """Gives the examples of an epoch."""

    def cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example]:
        """Yields the examples at these places of an epoch (counted from 1), each of at most the segment's length."""


class Crops:
    """Random crops of the set's mixtures, each mixture once an epoch.

    Args:
        manifest: the set.
        segment: samples of a crop; a shorter utterance is given whole.
        seed: of order and crops.
    """

    def __init__(self, manifest: Manifest, *, segment: int, seed: int) -> None:
        self.manifest, self.segment, self.seed = manifest, segment, seed

    def cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example]:
        """Yields the examples at these places of an epoch, counted from 1."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.manifest.keys))
        for index, mixture, sources in read_rows(self.manifest, order[list(places)].tolist()):
            window = _window(np.random.default_rng((self.seed, epoch, index)), len(mixture), self.segment)
            yield from_pcm16(mixture[window]), from_pcm16(sources[:, window])


class DynamicMixtures:
    """New mixtures of the set's sources by LibriMix's rules: each source once an epoch, other pairs each epoch.

    Speakers differ, a source's loudness (that of its whole utterance) is drawn from -33 to -25 LUFS, peaks are kept as
    in `mixture.mix`, and a mixture is as long as its shortest crop.

    Args:
        manifest: the set.
        segment: samples of a crop; a shorter utterance is used whole.
        seed: of pairs, crops, levels and speeds.
        speed_perturb: largest relative change of a source's speed; 0.05 draws from 0.95, 0.96, ... 1.05.

    Raises:
        InputError: the set does not tell its speakers.
    """

    def __init__(self, manifest: Manifest, *, segment: int, seed: int, speed_perturb: float = 0.0) -> None:
        if manifest.speakers is None:
            raise InputError(f"{manifest.path}: dynamic_mixing needs the speakers; its data directory has no src2spk")
        self.manifest, self.segment, self.seed = manifest, segment, seed
        self.most_per_cent = round(speed_perturb * _PER_CENT)
        numbers = {name: number for number, name in enumerate(sorted(set().union(*map(set, manifest.speakers))))}
        self._speakers = np.array([[numbers[name] for name in row] for row in manifest.speakers])  # [rows, C]
        self._loudness: dict[int, float | None] = {}  # measured once a training

    def cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example]:
        """Yields the examples at these places of an epoch, counted from 1."""
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

    def _mix(self, rng: np.random.Generator, signals: dict[int, np.ndarray]) -> Example:
        targets = rng.uniform(QUIETEST, LOUDEST, len(signals))
        measured = [self._measure(signal, samples) for signal, samples in signals.items()]
        crops = [self._crop(rng, samples) for samples in signals.values()]
        levels = [target if level is None else level for level, target in zip(measured, targets)]
        mixture, sources = mix(crops, loudnesses=levels, targets=targets)
        return from_pcm16(mixture), from_pcm16(sources)

    def _crop(self, rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
        """Cuts a random crop which has the segment's length after its speed was changed."""
        speed = _PER_CENT + int(rng.integers(-self.most_per_cent, self.most_per_cent, endpoint=True))
        crop = samples[_window(rng, len(samples), -(-self.segment * speed // _PER_CENT))]
        return crop if speed == _PER_CENT else resample_poly(crop, _PER_CENT, speed)[: self.segment]

    def _measure(self, signal: int, samples: np.ndarray) -> float | None:
        """Gives the loudness in LUFS of a whole source; None, and so its level stays, when it has none."""
        if signal not in self._loudness:
            long_enough = len(samples) >= SHORTEST * self.manifest.sample_rate
            level = loudness(samples, self.manifest.sample_rate) if long_enough else -np.inf
            self._loudness[signal] = level if np.isfinite(level) else None
        return self._loudness[signal]


def read_rows(manifest: Manifest, order: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields index, mixture int16 [T] and sources int16 [C, T] of the rows, in the given order."""
    if not order:
        return
    rows = ds.MindDataset(
        [str(file) for file in manifest.files],
        columns_list=list(SCHEMA),
        sampler=ds.SubsetSampler(list(order)),
        num_parallel_workers=1,
    )
    for row in rows.create_dict_iterator(num_epochs=1, output_numpy=True):
        yield int(row["index"]), *decode_row(row)


def _window(rng: np.random.Generator, length: int, wanted: int) -> slice:
    """Draws where to cut `wanted` samples of `length`; all of them when they are fewer."""
    start = int(rng.integers(length - wanted + 1)) if length > wanted else 0
    return slice(start, start + wanted)
