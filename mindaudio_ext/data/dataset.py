"""Training batches and validation utterances, read from a MindRecord directory.

Which crops an epoch has depends on (seed, epoch, row) alone: a run that continues sees what an uninterrupted one would.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mindspore.dataset as ds
import numpy as np

from mindaudio_ext.data.audio import from_pcm16
from mindaudio_ext.data.mindrecord import SCHEMA, Manifest, decode_row
from mindaudio_ext.errors import InputError


@dataclass(frozen=True)
class Batch:
    """Crops of one length.

    Attributes:
        mixture: float32 [B, T]; zeros after an utterance shorter than T.
        sources: float32 [B, C, T].
        lengths: samples that count, int32 [B].
    """

    mixture: np.ndarray
    sources: np.ndarray
    lengths: np.ndarray


class TrainBatches:
    """Random crops of whole utterances, each utterance once an epoch, new crops every epoch.

    What does not fill a last batch is left out; which utterances these are changes with the epoch.

    Args:
        manifest: the set.
        segment: samples of a crop, T.
        batch_size: crops in a batch, B.
        seed: of order and crops.

    Raises:
        InputError: the set has fewer utterances than a batch.
    """

    def __init__(self, manifest: Manifest, *, segment: int, batch_size: int, seed: int) -> None:
        if len(manifest.keys) < batch_size:
            raise InputError(
                f"{manifest.path}: {len(manifest.keys)} utterances are fewer than batch_size ({batch_size})"
            )
        self.manifest, self.segment, self.batch_size, self.seed = manifest, segment, batch_size, seed

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.manifest.keys) // self.batch_size

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the batches of an epoch, counted from 1."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.manifest.keys))
        rows = _read_rows(self.manifest, order[: len(self) * self.batch_size].tolist())
        for _ in range(len(self)):
            crops = [self._crop(epoch, *next(rows)) for _ in range(self.batch_size)]
            mixtures, sources, lengths = zip(*crops)
            yield Batch(np.stack(mixtures), np.stack(sources), np.array(lengths, np.int32))

    def _crop(self, epoch: int, index: int, mixture: np.ndarray, sources: np.ndarray) -> tuple:
        spare = len(mixture) - self.segment
        start = int(np.random.default_rng((self.seed, epoch, index)).integers(spare + 1)) if spare > 0 else 0
        length = min(len(mixture), self.segment)
        padding = self.segment - length
        mixture = np.pad(mixture[start : start + length], (0, padding))
        sources = np.pad(sources[:, start : start + length], ((0, 0), (0, padding)))
        return from_pcm16(mixture), from_pcm16(sources), length


def whole_utterances(manifest: Manifest, max_samples: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields mixture float32 [T] and sources float32 [C, T] of each utterance of at most `max_samples`, in order."""
    order = [i for i, length in enumerate(manifest.num_samples) if max_samples is None or length <= max_samples]
    for _, mixture, sources in _read_rows(manifest, order):
        yield from_pcm16(mixture), from_pcm16(sources)


def _read_rows(manifest: Manifest, order: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
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
