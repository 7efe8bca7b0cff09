"""Sets of simulated conversations of a corpus of speech: wavs, the data directory that lists them, and an RTTM file."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.corpora.mixture_plan import rng_of
from mindaudio_ext.corpora.noise import Piece, Voices, check_noise, draw_babble, draw_files, noise_files, recorded
from mindaudio_ext.corpora.wav_set import (
    check_set,
    digest_of,
    is_finished,
    prepare,
    read_at,
    sexes_of,
    signal_names,
    stamp_of,
    text_of,
    wav_folder,
    wav_paths,
)
from mindaudio_ext.data.audio import to_pcm16, write_wav
from mindaudio_ext.data.conversation import Conversation, find_pieces, render
from mindaudio_ext.data.conversation_plan import plan_conversation
from mindaudio_ext.data.conversation_statistics import Statistics, Tally
from mindaudio_ext.data.kaldi_dir import CORPUS
from mindaudio_ext.data.kaldi_dir_writer import MIXTURES_STAMP, data_folder, write_data_dir
from mindaudio_ext.data.mixture import LOUDEST, PEAK, QUIETEST, at_level
from mindaudio_ext.data.noise import BABBLE, COLOURS, at_snr, coloured
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.rooms import REFERENCES, REVERBERANT, Room, Rooms, draw_room, responses, reverberate
from mindaudio_ext.data.rttm import RTTM, Turn, rttm_lines
from mindaudio_ext.data.silence import name_some
from mindaudio_ext.errors import InputError
from mindaudio_ext.keys import require_key
from mindaudio_ext.lock import locked

log = logging.getLogger(__name__)
CONVERSATIONS_FORMAT = 2  # of the recipe for conversations: changes when the same parameters give other samples
_MOST_UTTERANCES = 20  # of a speaker that are used in a set
_LARGEST_SHARE = 0.999  # of a source's full scale


@dataclass(frozen=True)
class Parameters:
    """What the samples of a set depend on, apart from the utterances.

    Attributes:
        set_name: of it.
        n_conversations: in it.
        num_spks: sources of each; those of absent speakers are silent.
        speakers: how many people speak; each number in its turn.
        seconds: the shortest and the longest that are asked for.
        sample_rate: Hz.
        seed: of every draw.
        asked: what conversations are to be like.
        noise: white, pink, brown, babble of speakers who are not in the conversation, or a folder; empty: none.
        snr: the least and the most of its SNR, dB: the speech's power while somebody speaks over the noise's.
        rooms: what the rooms are drawn from in which people speak; None: there are none.
        references: what of the sound in a room the sources hold: "reverberant", all of it; "early", the first 50 ms;
            "anechoic", the direct sound. The rest is in `noise`.
        format: of the recipe.
    """

    set_name: str
    n_conversations: int
    num_spks: int
    speakers: tuple[int, ...]
    seconds: tuple[float, float]
    sample_rate: int
    seed: int
    asked: Statistics
    noise: str = ""
    snr: tuple[float, float] = (5.0, 20.0)
    rooms: Rooms | None = None
    references: str = REVERBERANT
    format: int = CONVERSATIONS_FORMAT


@dataclass(frozen=True)
class _Job:
    """A conversation to be made: its key and number; its speakers, of each the pieces and the loudness in LUFS.

    `noise` is what it is recorded of, when it is; `room` where they speak, when there is one.
    """

    key: str
    index: int
    speakers: tuple[str, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    levels: tuple[float, ...]
    plan: Conversation
    noise: Voices
    room: Room | None


def make_conversations(
    utterances: Sequence[Utterance],
    data: str | os.PathLike,
    parameters: Parameters,
    *,
    corpus: str = "speech",
    sexes: Mapping[str, str] | None = None,
    nj: int = 1,
) -> Path:
    """Makes a set of conversations; the same bytes for any `nj` and after any interruption.

    Args:
        utterances: of single speakers.
        data: wavs go to `data/wav/<set>/{mix,s1,s2,...,noise}/<key>.wav`, the data directory is `data/<set>`.
        parameters: of the set. With others than before, the set is made anew.
        corpus: what the utterances are, for RESULTS.md.
        sexes: speaker -> f or m, as far as known.
        nj: processes.

    Returns:
        the data directory, in which `statistics.txt` says what was asked for and what there is.

    Raises:
        InputError: when speech, noise or statistics do not do, or the folders hold something this command did not make.
    """
    _check(parameters)
    data = Path(os.path.abspath(data))
    data_dir, wavs = data / parameters.set_name, data / "wav" / parameters.set_name
    files = noise_files(parameters.noise) if parameters.noise and parameters.noise not in (*COLOURS, BABBLE) else []
    stamp = stamp_of(utterances, _stamped(parameters) | {"conversations": True, "noise_files": digest_of(files)})
    data_folder(data_dir).recover()
    if is_finished(data_dir, wavs, stamp) and (data_dir / RTTM).is_file():
        return data_dir
    pieces = _pieces_of_speakers(utterances, parameters, nj)  # with too few speakers nothing is begun
    with locked(wavs.parent, wavs.name):
        prepare(data_dir, wavs, stamp)
        jobs = _draw(pieces, parameters, files)
        made = [path for job in jobs for path in wav_paths(wavs, _names(parameters), job.key)]
        wav_folder(data_dir, wavs).claim([MIXTURES_STAMP, *(str(path.relative_to(wavs)) for path in made)])
        make = partial(_make, wavs, parameters)
        for _ in parallel_map(make, jobs, nj=nj, title=f"conversations of {parameters.set_name}"):
            pass
        _write(data_dir, wavs, parameters, jobs=jobs, stamp=stamp, corpus=corpus, sexes=sexes or {})
    return data_dir


def _check(parameters: Parameters) -> None:
    check_set(parameters.set_name, parameters.num_spks)
    if not parameters.speakers or not all(1 <= number <= parameters.num_spks for number in parameters.speakers):
        found = list(parameters.speakers)
        raise InputError(f"speakers: numbers from 1 to num_spks ({parameters.num_spks}) are expected; got {found}")
    shortest, longest = parameters.seconds
    if not 1 <= shortest <= longest <= 36000:
        raise InputError(f"seconds: from 1 to 36000, the shorter first, are expected; got {shortest:g} {longest:g}")
    for number in sorted(set(parameters.speakers)):
        if problem := parameters.asked.problem(number):
            raise InputError(f"conversations of {number} speaker(s) cannot be made: {problem}")
    check_noise(parameters.noise, parameters.snr)
    if parameters.references not in REFERENCES:
        raise InputError(f"references: one of {', '.join(REFERENCES)} is expected; got {parameters.references}")
    if parameters.rooms is not None:
        parameters.rooms.require()
    elif parameters.references != REVERBERANT:
        raise InputError(f"references: {parameters.references} is of rooms, and without rt60 there are none")


def _stamped(parameters: Parameters) -> dict[str, object]:
    """Returns the parameters as sets without rooms have them since there were none."""
    of_rooms = ("rooms", "references") if parameters.rooms is None else ()
    return {name: value for name, value in asdict(parameters).items() if name not in of_rooms}


def _names(parameters: Parameters) -> list[str]:
    has_rest = parameters.noise or parameters.references != REVERBERANT
    return [*signal_names(parameters.num_spks), *(["noise"] if has_rest else [])]


def _pieces_of_speakers(
    utterances: Sequence[Utterance], parameters: Parameters, nj: int
) -> dict[str, tuple[Piece, ...]]:
    """Cuts some utterances of each speaker into pieces; says which have no speech."""
    of_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        of_speaker.setdefault(utterance.speaker, []).append(utterance)
    chosen: list[Utterance] = []
    for number, speaker in enumerate(sorted(of_speaker)):
        own = of_speaker[speaker]
        order = rng_of(parameters, "choice", number).permutation(len(own))
        chosen += [own[i] for i in sorted(order[:_MOST_UTTERANCES])]
    cut = partial(_cut, sample_rate=parameters.sample_rate)
    found = list(parallel_map(cut, chosen, nj=nj, title=f"pieces for {parameters.set_name}"))
    if silent := [utterance.key for utterance, cuts in zip(chosen, found) if not cuts]:
        log.warning("set %s: left out, because no speech is in them: %s", parameters.set_name, name_some(silent))
    pieces: dict[str, tuple[Piece, ...]] = {}
    for utterance, cuts in zip(chosen, found):
        if cuts:
            pieces[utterance.speaker] = pieces.get(utterance.speaker, ()) + cuts
    least = max(parameters.speakers)
    if len(pieces) < least:
        raise InputError(
            f"set {parameters.set_name}: speech of {len(pieces)} speaker(s); conversations of {least} different "
            "speakers cannot be made"
        )
    return pieces


def _cut(utterance: Utterance, *, sample_rate: int) -> tuple[Piece, ...]:
    slices = find_pieces(read_at(utterance.path, sample_rate), sample_rate)
    return tuple(Piece(utterance.path, one.start, one.stop) for one in slices)


def _draw(pieces: Mapping[str, tuple[Piece, ...]], parameters: Parameters, files: Sequence[str] = ()) -> list[_Job]:
    """Draws the conversations, one after the other: each makes up for what those before it have too much of."""
    jobs: list[_Job] = []
    so_far = {number: Tally() for number in parameters.speakers}
    for index, speakers in enumerate(_draw_speakers(sorted(pieces), parameters)):
        key = f"{index:05d}_{'_'.join(speakers)}"
        require_key(key, f"set {parameters.set_name}")
        rng, before = rng_of(parameters, "conversation", index), so_far[len(speakers)]
        own = tuple(pieces[speaker] for speaker in speakers)
        levels = rng.uniform(QUIETEST, LOUDEST, len(speakers))
        plan = plan_conversation(
            rng,
            parameters.asked,
            [[one.stop - one.start for one in pieces_of_one] for pieces_of_one in own],
            n_samples=round(rng.uniform(*parameters.seconds) * parameters.sample_rate),
            sample_rate=parameters.sample_rate,
            before=before,
        )
        before.add(plan.tally)
        others = [pieces[name] for name in sorted(pieces) if name not in speakers]
        noise = _draw_noise(parameters, index, plan.n_samples, others, files)
        room = None
        if parameters.rooms is not None:
            room = draw_room(rng_of(parameters, "room", index), parameters.rooms, len(speakers))
        jobs.append(_Job(key, index, speakers, own, tuple(levels.tolist()), plan, noise, room))
    return jobs


def _draw_noise(
    parameters: Parameters,
    index: int,
    n_samples: int,
    others: Sequence[tuple[Piece, ...]],
    files: Sequence[str],
) -> Voices:
    """Draws what a conversation's noise is recorded of; none of a colour is."""
    rng = rng_of(parameters, "recordings of noise", index)
    if parameters.noise == BABBLE:
        return draw_babble(rng, others)
    return draw_files(rng, files, n_samples / parameters.sample_rate) if files else ()


def _draw_speakers(names: Sequence[str], parameters: Parameters) -> Iterator[tuple[str, ...]]:
    """Yields who talks to whom: in each pass over the speakers, shuffled, each is used at most once."""
    n_passes = 0
    waiting: list[str] = []
    for index in range(parameters.n_conversations):
        number = parameters.speakers[index % len(parameters.speakers)]
        while len(set(waiting)) < number:
            order = rng_of(parameters, "pass", n_passes).permutation(len(names))
            waiting += [names[i] for i in order]
            n_passes += 1
        speakers = tuple(dict.fromkeys(waiting))[:number]
        for speaker in speakers:
            waiting.remove(speaker)
        yield speakers


def _make(wavs: Path, parameters: Parameters, job: _Job) -> None:
    """Writes what is missing of the wavs of a conversation."""
    rate = parameters.sample_rate
    paths = wav_paths(wavs, _names(parameters), job.key)
    if all(path.exists() for path in paths):
        return
    signals = [at_level(_read_pieces(own, rate), level, rate) for own, level in zip(job.pieces, job.levels)]
    parts = render(job.plan, signals, sample_rate=rate, n_sources=parameters.num_spks)
    heard, rest = parts.any(axis=0), np.zeros(job.plan.n_samples, np.float32)
    images = parts
    if job.room is not None:
        parts, images = _in_room(parameters, job, job.room, parts)
        rest = (images - parts).sum(axis=0)
    if parameters.noise:
        rest = rest + _noise(parameters, job, images, heard)
    if "noise" in _names(parameters):
        parts = np.concatenate([parts, rest[None]])
    peak = max(np.abs(parts).max() / _LARGEST_SHARE, np.abs(parts.sum(axis=0)).max() / PEAK)
    parts /= max(1.0, peak)
    for path, samples in zip(paths, (to_pcm16(parts.sum(axis=0)), *to_pcm16(parts))):
        write_wav(path, samples, rate)


def _in_room(parameters: Parameters, job: _Job, room: Room, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the references hold of sources, [C, T], in a room, and all that is heard, both float32 [C, T]."""
    wanted, images = np.zeros_like(sources), np.zeros_like(sources)
    turns = job.plan.turns()
    for number, (whole, part) in enumerate(responses(room, parameters.sample_rate, parameters.references)):
        stretches = [(start, end) for speaker, start, end in turns if speaker == number]
        images[number] = reverberate(sources[number], stretches, whole)
        wanted[number] = images[number] if part is whole else reverberate(sources[number], stretches, part)
    return wanted, images


def _noise(parameters: Parameters, job: _Job, sources: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Returns the noise, float32 [T], of a conversation with these sources, [C, T], some of which is heard, [T]."""
    rng, rate, n_samples = rng_of(parameters, "noise", job.index), parameters.sample_rate, job.plan.n_samples
    snr = rng.uniform(*parameters.snr)
    if parameters.noise in COLOURS:
        return at_snr(coloured(rng, parameters.noise, n_samples, rate), sources, snr, heard)
    return at_snr(recorded(job.noise, n_samples, rate), sources, snr, heard)


def _read_pieces(pieces: Sequence[Piece], rate: int) -> list[np.ndarray]:
    """Reads a speaker's pieces, each [n]."""
    files = {path: read_at(path, rate) for path in dict.fromkeys(one.path for one in pieces)}
    return [np.asarray(files[one.path][one.start : one.stop], np.float32) for one in pieces]


def _write(
    data_dir: Path,
    wavs: Path,
    parameters: Parameters,
    *,
    jobs: Sequence[_Job],
    stamp: str,
    corpus: str,
    sexes: Mapping[str, str],
) -> None:
    paths = {name: {job.key: str(wav_paths(wavs, [name], job.key)[0]) for job in jobs} for name in _names(parameters)}
    rttm: list[str] = []
    rate = parameters.sample_rate
    for job in jobs:
        turns = [Turn(start / rate, end / rate, job.speakers[speaker]) for speaker, start, end in job.plan.turns()]
        rttm += rttm_lines(job.key, turns)
    everyone = dict.fromkeys(speaker for job in jobs for speaker in job.speakers)
    absent = {job.key: _absent(job, parameters) for job in jobs}
    write_data_dir(
        data_dir,
        mixtures=paths["mix"],
        sources=[paths[name] for name in signal_names(parameters.num_spks)[1:]],
        noise=paths.get("noise"),
        num_samples={job.key: job.plan.n_samples for job in jobs},
        src2spk={job.key: (*job.speakers, *absent[job.key]) for job in jobs},
        spk2gender=None if any(absent.values()) else sexes_of(list(everyone), sexes),
        extra={
            MIXTURES_STAMP: stamp,
            CORPUS: f"{corpus}, simulated conversations{_said_of_sound(parameters)}, seed {parameters.seed}\n",
            RTTM: "".join(f"{line}\n" for line in rttm),
            "statistics.txt": "".join(f"{line}\n" for line in _statistics(parameters, jobs)),
        },
    )


def _said_of_sound(parameters: Parameters) -> str:
    (lowest, highest), rooms = parameters.snr, parameters.rooms
    said = f", {Path(parameters.noise).name} noise at {lowest:g} to {highest:g} dB" if parameters.noise else ""
    if rooms is not None:
        said += f", rooms of {rooms.rt60[0]:g} to {rooms.rt60[1]:g} s, {parameters.references} references"
    return said


def _absent(job: _Job, parameters: Parameters) -> tuple[str, ...]:
    """Names the silent sources: nobody's speech, and of no two conversations the same."""
    numbers = range(len(job.speakers) + 1, parameters.num_spks + 1)
    return tuple(f"absent-{parameters.set_name}-{job.index}-{number}" for number in numbers)


def _statistics(parameters: Parameters, jobs: Sequence[_Job]) -> list[str]:
    lines = []
    for number in sorted(set(parameters.speakers)):
        own = [job.plan.tally for job in jobs if len(job.speakers) == number]
        if not own:
            continue
        tally = Tally()
        for one in own:
            tally.add(one)
        seconds = tally.samples / parameters.sample_rate
        lines.append(f"{number} speaker(s): {len(own)} conversations, {seconds / 60:.1f} min")
        lines += [f"  {line}" for line in tally.lines(parameters.asked.of(number), parameters.sample_rate)]
    return lines


def read_statistics(data_dir: Path) -> str:
    """Returns what a set's statistics.txt says."""
    return text_of(data_dir / "statistics.txt") or ""
