"""Training examples cut from conversations that are new in each epoch, of the sources of a MindRecord set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mindaudio_ext.data.audio import from_pcm16, to_pcm16
from mindaudio_ext.data.conversation import find_pieces, render
from mindaudio_ext.data.conversation_plan import plan_conversation
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.examples import Example, Examples
from mindaudio_ext.data.mindrecord import Manifest, read_rows
from mindaudio_ext.data.mixture import LOUDEST, PEAK, QUIETEST, at_level
from mindaudio_ext.data.noise import BABBLE, COLOURS, FEWEST_TALKERS, TALKERS, at_snr, coloured
from mindaudio_ext.data.rooms import Response, Rooms, draw_room, responses, reverberate
from mindaudio_ext.errors import InputError

_UTTERANCES = 2  # of a speaker in an example, at most
_CONVERSATION = (
    20.0  # seconds that one has at least, and two segments, of which one is cut out: a few pauses and overlaps
)
_SOUND, _ROOM = 3, 4  # tell the generators of noise and rooms from that of who speaks when
_ROOMS = 200  # that are drawn from; each is made once a training
NONE = "none"
NOISES = (NONE, *COLOURS, BABBLE)

Signal = tuple[int, int]  # row and source


@dataclass(frozen=True)
class _Sound:
    """What an example has beside speech: a generator, the noise's kind, and whose speech babble is."""

    rng: np.random.Generator
    noise: str
    talkers: list[Signal]


class Conversations(Examples):
    """Segments of conversations: in them nobody, one or two of the speakers are heard, and other sources are silent.

    Of a share of those of several speakers all speak all the time, as in mixtures.

    As many examples an epoch as the set has mixtures; each is of speakers and utterances drawn by (seed, epoch, place).
    A speaker's loudness is drawn from -33 to -25 LUFS. Noise is in the mixture alone; in a room the sources are the
    reverberant images.

    Args:
        manifest: the set, of which only the sources are used.
        segment: samples of an example.
        seed: of all that is drawn.
        speakers: how many people a conversation has; one of the numbers is drawn.
        asked: what conversations are to be like.
        mixtures: share of the examples of several speakers in which all of these speak all the time.
        noise: "none", "white", "pink", "brown", "babble" (of three to six who are not in the conversation); one of
            these is drawn.
        snr: the least and the most of its SNR, dB: the speech's power while somebody speaks over the noise's.
        rooms: what the 200 rooms of a training are drawn from; None: there are none.

    Raises:
        InputError: the set does not tell its speakers or has too few, the statistics or rooms cannot be had, or
            pyroomacoustics is not installed.
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
        noise: Sequence[str] = (NONE,),
        snr: tuple[float, float] = (5.0, 20.0),
        rooms: Rooms | None = None,
    ) -> None:
        super().__init__(manifest, segment=segment, seed=seed, keep_silent=True)
        if manifest.speakers is None:
            raise InputError(f"{manifest.path}: conversations needs the speakers; its data directory has no src2spk")
        self.numbers, self.asked, self.mixtures = tuple(speakers), asked, mixtures
        self.noise, self.snr, self.rooms = tuple(noise), snr, rooms
        self._responses: dict[int, list[Response]] = {}  # of the rooms that were drawn so far
        self._signals: dict[str, list[Signal]] = {}  # of each speaker
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
        if BABBLE in self.noise and len(self._names) < most + FEWEST_TALKERS:
            raise InputError(
                f"conversation_noise: babble is of {FEWEST_TALKERS} speakers who are not in the conversation; "
                f"{manifest.path} has {len(self._names)}, and conversations of {most} are asked for"
            )
        if rooms is not None:
            rooms.require()
        for number in sorted(set(self.numbers)):
            if problem := asked.problem(number):
                raise InputError(f"conversations of {number} speaker(s) cannot be made: {problem}")

    def _cut(self, epoch: int, places: Sequence[int]) -> Iterator[Example | None]:
        rngs = [np.random.default_rng((self.seed, epoch, place)) for place in places]
        drawn = [self._draw(rng) for rng in rngs]
        sounds = [self._draw_sound(epoch, place, speakers) for place, speakers in zip(places, drawn)]
        wanted = [
            signal for speakers, sound in zip(drawn, sounds) for own in (*speakers, sound.talkers) for signal in own
        ]
        signals = self._read(wanted)
        for rng, speakers, sound in zip(rngs, drawn, sounds):
            utterances = [[next(signals) for _ in own] for own in speakers]
            talkers = [next(signals) for _ in sound.talkers]
            yield self._converse(rng, utterances, sound, talkers)

    def _read(self, wanted: Sequence[Signal]) -> Iterator[np.ndarray]:
        """Yields the samples of the sources of these rows; no more rows at once are read than the set has."""
        size = len(self.manifest.keys)
        for first in range(0, len(wanted), size):
            part = wanted[first : first + size]
            for (_, source), (_, _, sources) in zip(part, read_rows(self.manifest, [row for row, _ in part])):
                yield from_pcm16(sources[source])

    def _draw_sound(self, epoch: int, place: int, speakers: Sequence[Sequence[Signal]]) -> _Sound:
        """Draws an example's noise; of babble also whose speech it is, an utterance each."""
        rng = np.random.default_rng((self.seed, epoch, place, _SOUND))
        noise, talkers = self.noise[rng.integers(len(self.noise))], []
        if noise == BABBLE:
            named: Sequence[Sequence[str]] = self.manifest.speakers or ()
            taken = {named[row][source] for own in speakers for row, source in own}
            others = [name for name in self._names if name not in taken]
            for i in rng.permutation(len(others))[:TALKERS].tolist():
                own = self._signals[others[i]]
                talkers.append(own[rng.integers(len(own))])
        return _Sound(rng, noise, talkers)

    def _draw(self, rng: np.random.Generator) -> list[list[Signal]]:
        """Draws the speakers of a conversation, and of each the utterances."""
        found = []
        for name in rng.permutation(len(self._names))[: rng.choice(self.numbers)].tolist():
            own = self._signals[self._names[name]]
            found.append([own[i] for i in rng.permutation(len(own))[:_UTTERANCES].tolist()])
        return found

    def _converse(
        self,
        rng: np.random.Generator,
        utterances: list[list[np.ndarray]],
        sound: _Sound,
        talkers: list[np.ndarray],
    ) -> Example | None:
        """Cuts an example out of a conversation; None when one of the speakers, or of the talkers, says nothing."""
        if not all(samples.any() for samples in talkers):
            return None
        rate, pieces = self.manifest.sample_rate, []
        for own in utterances:
            found = [samples[piece] for samples in own for piece in find_pieces(samples, rate)]
            if not found:
                return None
            pieces.append(at_level(found, rng.uniform(QUIETEST, LOUDEST), rate))
        if len(pieces) > 1 and self.mixtures > 0 and rng.random() < self.mixtures:
            whole, start = self._all_speak(rng, pieces), 0
            turns = {speaker: [(0, self.segment)] for speaker in range(len(pieces))}
        else:
            whole, turns, start = self._take_turns(rng, pieces)
        heard = whole.any(axis=0)
        if self.rooms is not None:
            whole = self._in_room(sound.rng, self.rooms, whole, turns)
        noise = self._make_noise(sound, talkers, whole, heard)
        sources = np.roll(whole, -start, axis=1)[:, : self.segment]
        peak = max(np.abs(sources).max(), np.abs(sources.sum(axis=0) + noise).max())
        scale = min(1.0, PEAK / peak) if peak > 0 else 1.0
        sources, noise = sources * scale, noise * scale
        return from_pcm16(to_pcm16(sources.sum(axis=0) + noise)), from_pcm16(to_pcm16(sources))

    def _make_noise(
        self, sound: _Sound, talkers: list[np.ndarray], sources: np.ndarray, heard: np.ndarray
    ) -> np.ndarray:
        """Returns noise, float32 [segment], at its SNR under the whole conversation, [C, T], heard where told, [T]."""
        if sound.noise == NONE:
            return np.zeros(self.segment, np.float32)
        snr = sound.rng.uniform(*self.snr)
        if sound.noise != BABBLE:
            noise = coloured(sound.rng, sound.noise, self.segment, self.manifest.sample_rate)
            return at_snr(noise, sources, snr, heard)
        noise = np.zeros(self.segment)
        for samples in talkers:
            speech = np.roll(samples.astype(np.float64), -int(sound.rng.integers(len(samples))))
            noise += np.resize(speech, self.segment) / np.sqrt(np.square(speech).mean())
        return at_snr(noise, sources, snr, heard)

    def _in_room(
        self,
        rng: np.random.Generator,
        rooms: Rooms,
        sources: np.ndarray,
        turns: Mapping[int, Sequence[tuple[int, int]]],
    ) -> np.ndarray:
        """Returns the images of sources, [C, T], in one of the rooms, float32 [C, T]."""
        number = int(rng.integers(_ROOMS))
        if number not in self._responses:
            of_room = np.random.default_rng((self.seed, number, _ROOM))
            room = draw_room(of_room, rooms, max(self.numbers))
            self._responses[number] = [whole for whole, _ in responses(room, self.manifest.sample_rate)]
        images = np.zeros_like(sources)
        for speaker, response in zip(turns, self._responses[number]):
            images[speaker] = reverberate(sources[speaker], turns[speaker], response)
        return images

    def _take_turns(
        self, rng: np.random.Generator, pieces: list[list[np.ndarray]]
    ) -> tuple[np.ndarray, dict[int, list[tuple[int, int]]], int]:
        """Returns a conversation of these pieces, float32 [C, T], each speaker's turns, and where to begin."""
        rate = self.manifest.sample_rate
        lengths = [[len(piece) for piece in own] for own in pieces]
        n_samples = max(round(_CONVERSATION * rate), 2 * self.segment)
        plan = plan_conversation(rng, self.asked, lengths, n_samples=n_samples, sample_rate=rate)
        whole = render(plan, pieces, sample_rate=rate, n_sources=self.manifest.num_spks)
        start = int(rng.integers(plan.n_samples))  # the end and the beginning are of one pause, in which both meet
        turns: dict[int, list[tuple[int, int]]] = {speaker: [] for speaker in range(len(pieces))}
        for speaker, first, end in plan.turns():
            turns[speaker].append((first, end))
        return whole, turns, start

    def _all_speak(self, rng: np.random.Generator, pieces: list[list[np.ndarray]]) -> np.ndarray:
        """Returns a segment in which each speaker says piece after piece, again and again, float32 [C, T]."""
        sources = np.zeros((self.manifest.num_spks, self.segment), np.float32)
        for source, own in zip(sources, pieces):
            speech = np.concatenate(own)
            source[:] = np.resize(np.roll(speech, -int(rng.integers(len(speech)))), self.segment)
        return sources
