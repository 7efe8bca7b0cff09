"""Training batches and validation utterances, read from a MindRecord directory."""

import itertools
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mindaudio_ext.augmentations._augmentation import Augmentation
from mindaudio_ext.augmentations.none import NoAugmentation
from mindaudio_ext.data.audio import from_pcm16
from mindaudio_ext.data.conversation_examples import NONE, Conversations
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.examples import Crops, DynamicMixtures, Example, Examples
from mindaudio_ext.data.mindrecord import Manifest, read_rows
from mindaudio_ext.data.rooms import Rooms
from mindaudio_ext.errors import InputError

_AUGMENTED = 2  # tells the generator of an example's augmentation from that of the example
_AHEAD = 8  # batches that are made while a step runs

T = TypeVar("T")


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
    """The batches of each epoch: crops of the set's mixtures or, with dynamic mixing, new mixtures of its sources.

    What a batch holds depends on (seed, epoch, its place) alone: a run that continues sees what an uninterrupted one
    would. What does not fill a last batch is left out; which mixtures these are changes with the epoch.

    Args:
        manifest: the set.
        segment: samples of a crop, T.
        batch_size: crops in a batch, B.
        seed: of all that is drawn.
        dynamic_mixing: make new mixtures.
        speed_perturb: of dynamic mixing, the largest relative change of a source's speed.
        augmentation: changes each example; None: they stay as they are.
        share: the part of each batch that is yielded; all of it by default.
        keep_silent: leave silent sources in the examples, for a loss that takes them.
        conversations: cut examples from new conversations of the set's sources instead: what these are to be like.
        conversation_speakers: how many people they have.
        conversation_mixtures: share of them in which all speak all the time.
        conversation_noise: kinds of noise under them, of which one is drawn.
        conversation_snr: the least and the most of its SNR, dB.
        conversation_rooms: what rooms they are in; None: none.

    Raises:
        InputError: the set has fewer utterances than a batch, or dynamic mixing lacks the speakers.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        segment: int,
        batch_size: int,
        seed: int,
        dynamic_mixing: bool = False,
        speed_perturb: float = 0.0,
        augmentation: Augmentation | None = None,
        share: slice = slice(None),
        keep_silent: bool = False,
        conversations: Statistics | None = None,
        conversation_speakers: Sequence[int] = (2,),
        conversation_mixtures: float = 0.0,
        conversation_noise: Sequence[str] = (NONE,),
        conversation_snr: tuple[float, float] = (5.0, 20.0),
        conversation_rooms: Rooms | None = None,
    ) -> None:
        if len(manifest.keys) < batch_size:
            raise InputError(
                f"{manifest.path}: {len(manifest.keys)} utterances are fewer than batch_size ({batch_size})"
            )
        self.segment, self.batch_size, self._count = segment, batch_size, len(manifest.keys) // batch_size
        self.seed, self.augmentation = seed, augmentation or NoAugmentation()
        self._share = range(batch_size)[share]
        self.examples: Examples = Crops(manifest, segment=segment, seed=seed, keep_silent=keep_silent)
        if conversations is not None:
            if not keep_silent:
                raise InputError("conversations: needs a loss for silent sources; pit_thresholded_snr is one")
            self.examples = Conversations(
                manifest,
                segment=segment,
                seed=seed,
                speakers=conversation_speakers,
                asked=conversations,
                mixtures=conversation_mixtures,
                noise=conversation_noise,
                snr=conversation_snr,
                rooms=conversation_rooms,
            )
        elif dynamic_mixing:
            self.examples = DynamicMixtures(
                manifest, segment=segment, seed=seed, keep_silent=keep_silent, speed_perturb=speed_perturb
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._count

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch, counted from 1, from batch `start` on, counted from 0.

        A thread makes the next ones while the caller is busy with one.
        """
        return prefetch(self._batches(epoch, start), _AHEAD)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        firsts = range(start * self.batch_size, len(self) * self.batch_size, self.batch_size)
        places = [first + place for first in firsts for place in self._share]
        examples = self._augmented(epoch, places, self.examples.cut(epoch, places))
        for _ in firsts:
            yield _batch(list(itertools.islice(examples, len(self._share))), self.segment)

    def _augmented(self, epoch: int, places: Sequence[int], examples: Iterator[Example]) -> Iterator[Example]:
        for place, example in zip(places, examples):
            yield self.augmentation(np.random.default_rng((self.seed, epoch, place, _AUGMENTED)), *example)


def whole_utterances(manifest: Manifest, rows: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields mixture float32 [T] and sources float32 [C, T] of the utterances in these rows, in this order."""
    for _, mixture, sources in read_rows(manifest, rows):
        yield from_pcm16(mixture), from_pcm16(sources)


def prefetch(items: Iterator[T], depth: int) -> Iterator[T]:
    """Yields `items`, of which a thread makes up to `depth` in advance; what it raises is raised here.

    The thread ends with the items, or soon after the caller stops asking for them.
    """
    made: queue.Queue[tuple[tuple[T, ...], BaseException | None]] = queue.Queue(depth)
    abandoned = threading.Event()

    def hand_over(found: tuple[T, ...], error: BaseException | None) -> None:
        while not abandoned.is_set():
            try:
                return made.put((found, error), timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                hand_over((item,), None)
                if abandoned.is_set():
                    return
            hand_over((), StopIteration())
        except BaseException as error:  # the caller's thread raises it
            hand_over((), error)

    threading.Thread(target=work, name="prefetch", daemon=True).start()
    try:
        while True:
            found, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield from found
    finally:
        abandoned.set()


def _batch(examples: list[Example], segment: int) -> Batch:
    """Stacks examples, with zeros after those that are shorter than the segment."""
    lengths = [len(mixture) for mixture, _ in examples]
    mixtures = [np.pad(mixture, (0, segment - len(mixture))) for mixture, _ in examples]
    sources = [np.pad(sources, ((0, 0), (0, segment - sources.shape[1]))) for _, sources in examples]
    return Batch(np.stack(mixtures), np.stack(sources), np.array(lengths, np.int32))
