"""Training examples cut from conversations that are new in each epoch, of the sources of a MindRecord set."""

from collections.abc import Iterator, Sequence

import numpy as np

from mindaudio_ext.data.audio import from_pcm16, to_pcm16
from mindaudio_ext.data.conversation import find_pieces, render
from mindaudio_ext.data.conversation_plan import plan_conversation
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.examples import Example, Examples
from mindaudio_ext.data.mindrecord import Manifest, read_rows
from mindaudio_ext.data.mixture import LOUDEST, PEAK, QUIETEST, at_level
from mindaudio_ext.errors import InputError

_UTTERANCES = 2  # of a speaker in an example, at most
_CONVERSATION = (
    20.0  # seconds that one has at least, and two segments, of which one is cut out: a few pauses and overlaps
)


class Conversations(Examples):
    """Segments of conversations: in them nobody, one or two of the speakers are heard, and other sources are silent.

    Of a share of those of several speakers all speak all the time, as in mixtures.

    As many examples an epoch as the set has mixtures; each is of speakers and utterances drawn by (seed, epoch, place).
    A speaker's loudness is drawn from -33 to -25 LUFS.

    Args:
        manifest: the set, of which only the sources are used.
        segment: samples of an example.
        seed: of all that is drawn.
        speakers: how many people a conversation has; one of the numbers is drawn.
        asked: what conversations are to be like.
        mixtures: share of the examples of several speakers in which all of these speak all the time.

    Raises:
        InputError: the set does not tell its speakers or has too few, or the statistics cannot be had.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        segment: int,
        seed: int,
        speakers: Sequence[int],
        asked: Statistics,
        mixtures: float = 0.0,
    ) -> None:
        super().__init__(manifest, segment=segment, seed=seed, keep_silent=True)
        if manifest.speakers is None:
            raise InputError(f"{manifest.path}: conversations needs the speakers; its data directory has no src2spk")
        self.numbers, self.asked, self.mixtures = tuple(speakers), asked, mixtures
        self._signals: dict[str, list[tuple[int, int]]] = {}  # row and source of each utterance
        for row, (key, names) in enumerate(zip(manifest.keys, manifest.speakers)):
            for source, name in enumerate(names):
                if source + 1 not in manifest.silent.get(key, ()):
                    self._signals.setdefault(name, []).append((row, source))
        self._names = sorted(self._signals)
        most = max(self.numbers)
        if most > manifest.num_spks:
            raise InputError(f"conversation_speakers: {most} is more than num_spks ({manifest.num_spks})")
        if len(self._names) < most:
            raise InputError(f"{manifest.path}: has {len(self._names)} speakers; conversations of {most} need as many")
        for number in sorted(set(self.numbers)):
            if problem := asked.problem(number):
                raise InputError(f"conversations of {number} speaker(s) cannot be made: {problem}")

    def _cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example | None]:
        rngs = [np.random.default_rng((self.seed, epoch, place)) for place in places]
        drawn = [self._draw(rng) for rng in rngs]
        wanted = [signal for speakers in drawn for own in speakers for signal in own]
        signals = self._read(wanted)
        for rng, speakers in zip(rngs, drawn):
            yield self._converse(rng, [[next(signals) for _ in own] for own in speakers])

    def _read(self, wanted: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yields the samples of the sources of these rows; no more rows at once are read than the set has."""
        size = len(self.manifest.keys)
        for first in range(0, len(wanted), size):
            part = wanted[first : first + size]
            for (_, source), (_, _, sources) in zip(part, read_rows(self.manifest, [row for row, _ in part])):
                yield from_pcm16(sources[source])

    def _draw(self, rng: np.random.Generator) -> list[list[tuple[int, int]]]:
        """Draws the speakers of a conversation, and of each the utterances."""
        found = []
        for name in rng.permutation(len(self._names))[: rng.choice(self.numbers)].tolist():
            own = self._signals[self._names[name]]
            found.append([own[i] for i in rng.permutation(len(own))[:_UTTERANCES].tolist()])
        return found

    def _converse(self, rng: np.random.Generator, utterances: list[list[np.ndarray]]) -> Example | None:
        """Cuts an example out of a conversation; None when one of the speakers says nothing."""
        rate, pieces = self.manifest.sample_rate, []
        for own in utterances:
            found = [samples[piece] for samples in own for piece in find_pieces(samples, rate)]
            if not found:
                return None
            pieces.append(at_level(found, rng.uniform(QUIETEST, LOUDEST), rate))
        if len(pieces) > 1 and self.mixtures > 0 and rng.random() < self.mixtures:
            sources = self._all_speak(rng, pieces)
        else:
            sources = self._take_turns(rng, pieces)
        peak = max(np.abs(sources).max(), np.abs(sources.sum(axis=0)).max())
        sources = sources * min(1.0, PEAK / peak) if peak > 0 else sources
        return from_pcm16(to_pcm16(sources.sum(axis=0))), from_pcm16(to_pcm16(sources))

    def _take_turns(self, rng: np.random.Generator, pieces: list[list[np.ndarray]]) -> np.ndarray:
        """Returns a segment of a conversation of these pieces, float32 [C, T]."""
        rate = self.manifest.sample_rate
        lengths = [[len(piece) for piece in own] for own in pieces]
        n_samples = max(round(_CONVERSATION * rate), 2 * self.segment)
        plan = plan_conversation(rng, self.asked, lengths, n_samples=n_samples, sample_rate=rate)
        whole = render(plan, pieces, sample_rate=rate, n_sources=self.manifest.num_spks)
        start = int(rng.integers(plan.n_samples))  # the end and the beginning are of one pause, in which both meet
        return np.roll(whole, -start, axis=1)[:, : self.segment]

    def _all_speak(self, rng: np.random.Generator, pieces: list[list[np.ndarray]]) -> np.ndarray:
        """Returns a segment in which each speaker says piece after piece, again and again, float32 [C, T]."""
        sources = np.zeros((self.manifest.num_spks, self.segment), np.float32)
        for source, own in zip(sources, pieces):
            speech = np.concatenate(own)
            source[:] = np.resize(np.roll(speech, -int(rng.integers(len(speech)))), self.segment)
        return sources
