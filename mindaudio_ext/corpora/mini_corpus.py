"""A small corpus of synthetic voices: eSpeak NG reads generated sentences, written in LibriSpeech's layout.

It is for trying a whole recipe where no speech is at hand; it says nothing about quality on real speech.
eSpeak NG (GPL-3) is called as a library and is an optional extra.
"""

import ctypes
import itertools
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from mindaudio_ext.corpora.sentences import make_sentences
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json, write_text
from mindaudio_ext.output_folder import MARK, OutputFolder

INSTALL = "pip install espeakng-loader==0.2.4"
CORPUS_FORMAT = 1  # of the corpus: changes with the voices, the sentences or the way they are read
SHORTEST, LONGEST = 3.0, 6.0  # seconds of an utterance
CORPUS_STAMP = ".mini_corpus.json"

_SENTENCES_PER_UTTERANCE = 3  # some are too long or too short when read; more are kept than are used
_ESPEAK_SYNCHRONOUS = 2  # eSpeak's constants: the mode of output,
_CHARS_UTF8 = 1  # the encoding,
_RATE, _VOLUME, _PITCH = 1, 2, 3  # and the parameters of a voice
_QUIET_ENOUGH = 35  # at eSpeak's default volume of 100 some voices clip

# eSpeak's voice variants that sound like people, by set and sex; no variant and no near twin of one is in two sets.
_VARIANTS = {
    "train": {
        "f": "Alicia Andrea anika f1 f2 f4 grandma linda shelby",
        "m": """
            Alex Andy Denis Diogo Gene Henrique Jacky Mario Nguyen Reed adam announcer gustave ian
            iven3 john kaukovalta m1 m2 m3 m4 m5 m7 marcelo max paul pedro quincy rob sandro travis
        """,
    },
    "dev": {"f": "aunty f5", "m": "boris ed m8 Tweaky"},
    "test": {"f": "Annie f3 steph", "m": "Lee Michael david Storm pablo"},
}
_VOICES_PER_VARIANT = {"f": 2, "m": 1}  # in train; there are fewer female variants, at two pitches they differ enough
_ACCENTS = ["en-us", "en-gb-x-rp", "en-029", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan", "en", "en-gb-x-gbcwmd"]
_PITCHES = (28, 62, 44, 72, 36, 54)  # of 0-99, about an octave and a half; 50 is the variant's own
_SPEEDS = (150, 175, 160, 185, 140)  # words a minute
_FIRST_ID = {"train": 101, "dev": 201, "test": 301}


@dataclass(frozen=True)
class Voice:
    """One speaker: its number in the corpus, its set and sex, and how eSpeak makes it."""

    speaker: int
    subset: str
    sex: str
    variant: str
    accent: str
    pitch: int
    speed: int

    @property
    def name(self) -> str:
        """The voice as eSpeak calls it."""
        return f"{self.accent}+{self.variant}"


@dataclass(frozen=True)
class _Job:
    """What one process reads: a voice, its sentences, and where the utterances go."""

    voice: Voice
    sentences: tuple[str, ...]
    folder: str
    sample_rate: int
    utterances: int


def voices() -> list[Voice]:
    """Lists the speakers of all sets; accents, pitches and speeds go round at different periods, so they mix."""
    found = []
    for subset, by_sex in _VARIANTS.items():
        number = itertools.count(_FIRST_ID[subset])
        turn = itertools.count()
        for sex, variants in by_sex.items():
            copies = _VOICES_PER_VARIANT[sex] if subset == "train" else 1
            for variant in variants.split() * copies:
                i = next(turn)
                accent, pitch = _ACCENTS[i % len(_ACCENTS)], _PITCHES[i % len(_PITCHES)]
                found.append(Voice(next(number), subset, sex, variant, accent, pitch, _SPEEDS[i % len(_SPEEDS)]))
    return found


def read_aloud(voice: Voice, sentence: str, *, sample_rate: int = 8000) -> np.ndarray:
    """Returns a sentence as a voice of eSpeak NG reads it, float64 [T], full scale 1.

    Args:
        voice: of `voices`, or another.
        sentence: in English.
        sample_rate: Hz.

    Raises:
        InputError: eSpeak NG is not installed.
    """
    _require_espeak()
    espeak = _Espeak(voice)
    return resample_poly(espeak.read(sentence), sample_rate, espeak.sample_rate)


def make_mini_corpus(
    out: str | os.PathLike, *, sample_rate: int = 8000, utts_per_speaker: int = 30, seed: int = 0, nj: int = 1
) -> Path:
    """Writes the corpus, or what is missing of it; the same bytes for any `nj` and after any interruption.

    Args:
        out: the corpus becomes `out/LibriSpeech/{train,dev,test}/<speaker>/<chapter>/<utterance>.flac`.
        sample_rate: Hz.
        utts_per_speaker: utterances of 3 to 6 s a speaker.
        seed: chooses the sentences.
        nj: processes.

    Returns:
        the folder `out/LibriSpeech`.

    Raises:
        InputError: when eSpeak NG is not installed, a number is out of range, or the folder holds another corpus.
    """
    if sample_rate < 4000 or utts_per_speaker < 1:
        raise InputError(f"a rate of 4000 Hz and one utterance are the least; got {sample_rate}, {utts_per_speaker}")
    _require_espeak()
    out = Path(out)
    root = out / "LibriSpeech"
    _prepare(
        out, {"format": CORPUS_FORMAT, "sample_rate": sample_rate, "utts_per_speaker": utts_per_speaker, "seed": seed}
    )
    jobs = [job for job in _jobs(root, sample_rate, utts_per_speaker, seed) if not _is_finished(job)]
    for _ in parallel_map(_read_job, jobs, nj=nj, title="voices", fresh=True):
        pass
    write_text(root / "SPEAKERS.TXT", _speakers_table(root))
    return root


def _prepare(out: Path, parameters: dict[str, int]) -> None:
    """Removes a corpus made with other parameters, and notes those of this one.

    The order makes it safe to be killed anywhere: a tree and a stamp that differ are never both there.
    """
    root, stamp = out / "LibriSpeech", out / CORPUS_STAMP
    noted = _read_stamp(stamp)
    folder = OutputFolder(root, "mini corpus", lambda _: noted and _files(noted["utts_per_speaker"]))
    if noted == parameters:
        if not (root / MARK).is_file():  # made before there were marks, or a corpus beside somebody's stamp
            folder.require_replaceable()
    else:
        folder.remove()
        write_text(stamp, json.dumps(parameters) + "\n")
    folder.claim(_files(parameters["utts_per_speaker"]))


def _read_stamp(path: Path) -> dict[str, int] | None:
    """Reads the parameters of a corpus; None when there is no stamp.

    Raises:
        InputError: what is there is no stamp.
    """
    if not os.path.lexists(path):
        return None
    try:
        noted = parse_json(path.read_text(encoding="utf-8"))
        if (
            set(noted) == {"format", "sample_rate", "utts_per_speaker", "seed"}
            and type(noted["utts_per_speaker"]) is int
        ):
            return noted
    except (OSError, ValueError, TypeError):
        pass
    raise InputError(f"{path}: is not what this command writes; move it away")


def _files(utterances: int) -> list[str]:
    """Lists the files of a corpus of so many utterances a speaker."""
    jobs = [_Job(voice, (), str(_chapter(Path(), voice)), 0, utterances) for voice in voices()]
    flacs = [f"{job.folder}/{_utterance(job, index)}.flac" for job in jobs for index in range(utterances)]
    return ["SPEAKERS.TXT", *flacs, *(str(_transcript(job)) for job in jobs)]


def _jobs(root: Path, sample_rate: int, utterances: int, seed: int) -> list[_Job]:
    """Deals the sentences out, so that no two speakers share one."""
    each = utterances * _SENTENCES_PER_UTTERANCE + 10
    speakers = voices()
    sentences = make_sentences(each * len(speakers), seed)
    return [
        _Job(voice, tuple(sentences[i * each : (i + 1) * each]), str(_chapter(root, voice)), sample_rate, utterances)
        for i, voice in enumerate(speakers)
    ]


def _chapter(root: Path, voice: Voice) -> Path:
    return root / voice.subset / str(voice.speaker) / str(voice.speaker * 10)


def _utterance(job: _Job, index: int) -> str:
    return f"{job.voice.speaker}-{job.voice.speaker * 10}-{index:04d}"


def _transcript(job: _Job) -> Path:
    return Path(job.folder) / f"{job.voice.speaker}-{job.voice.speaker * 10}.trans.txt"


def _is_finished(job: _Job) -> bool:
    names = [f"{_utterance(job, index)}.flac" for index in range(job.utterances)]
    return _transcript(job).exists() and all((Path(job.folder) / name).exists() for name in names)


def _read_job(job: _Job) -> None:
    """Reads all utterances of a speaker and writes those that are missing.

    All are read even when few are missing: some voices depend on what the library read before.
    """
    espeak = _Espeak(job.voice)
    lines: list[str] = []
    for sentence in job.sentences:
        if len(lines) == job.utterances:
            break
        samples = espeak.read(sentence)
        if not SHORTEST <= len(samples) / espeak.sample_rate <= LONGEST:
            continue
        name = _utterance(job, len(lines))
        path = Path(job.folder) / f"{name}.flac"
        if not path.exists():
            samples = resample_poly(samples, job.sample_rate, espeak.sample_rate)
            write_wav(path, samples, job.sample_rate)
        lines.append(f"{name} {sentence.rstrip('.').upper()}\n")
    if len(lines) < job.utterances:
        raise RuntimeError(f"{job.voice.name}: too few sentences last {SHORTEST:g} to {LONGEST:g} s when it reads them")
    write_text(_transcript(job), "".join(lines))


def _speakers_table(root: Path) -> str:
    rows = [";ID  |SEX| SUBSET | VOICE OF ESPEAK NG\n"]
    rows += [
        f"{v.speaker:<5}| {v.sex.upper()} | {v.subset:<6} | {v.name}, pitch {v.pitch}, {v.speed} words a minute\n"
        for v in voices()
    ]
    return "".join(rows)


def _require_espeak() -> None:
    try:
        import espeakng_loader  # noqa: F401
    except ImportError as error:
        raise InputError(f"the voices of the mini corpus need eSpeak NG (GPL-3); install it with: {INSTALL}") from error


class _Espeak:
    """eSpeak NG with one voice set. The library's state is global: one of these a process."""

    def __init__(self, voice: Voice) -> None:
        self._library, self.sample_rate = _load_library()
        self._chunks: list[np.ndarray] = []
        self._callback = _CALLBACK(self._receive)  # kept, because the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice.name}")
        for parameter, value in ((_RATE, voice.speed), (_PITCH, voice.pitch), (_VOLUME, _QUIET_ENOUGH)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def read(self, sentence: str) -> np.ndarray:
        """Returns the sentence as float64 [T], full scale 1, at the library's rate."""
        self._chunks.clear()
        text = sentence.encode()
        status = self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        if status != 0 or self._library.espeak_Synchronize() != 0:
            raise RuntimeError(f"eSpeak NG failed to read '{sentence}'")
        return np.concatenate(self._chunks) / 32768

    def _receive(self, samples: "ctypes._Pointer", count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@cache
def _load_library() -> tuple[ctypes.CDLL, int]:
    """Loads eSpeak NG once; gives it and its rate in Hz."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_ESPEAK_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate <= 0:
        raise RuntimeError(f"eSpeak NG did not start (status {rate})")
    # It seeds both generators behind the noise in its voices with the time.
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    ctypes.CDLL(None).srand(1)
    return library, rate
