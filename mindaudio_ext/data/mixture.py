"""Mixtures by LibriMix's rules (Cosentino et al., 2020): loudness, different speakers, min mode, peaks."""

import hashlib
import itertools
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyloudnorm
from scipy.signal import resample_poly

from mindaudio_ext.data.audio import read_audio, to_pcm16, write_wav
from mindaudio_ext.data.kaldi_dir import CORPUS, MAX_SOURCES, read_data_dir, recover_dir, write_data_dir
from mindaudio_ext.data.librispeech import Utterance
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

QUIETEST, LOUDEST = -33.0, -25.0  # LUFS of a source
PEAK = 0.9  # of full scale: what a source or mixture that is too loud is scaled to
SHORTEST = 0.4  # seconds: a gating block of BS.1770, below which a signal has no loudness
FORMAT = 1  # of the recipe for mixtures: changes when the same parameters give other samples
STAMP = ".mixtures.json"

_TAKEN = ("wav", "corpus", "check")  # folders beside the data directories
_WAV_HEADER = 44  # bytes, of the files write_wav makes


@dataclass(frozen=True)
class Source:
    """An utterance that can be mixed, with its loudness in LUFS at the mixtures' rate."""

    utterance: Utterance
    loudness: float


@dataclass(frozen=True)
class Plan:
    """One mixture to be: its key, its number in the set and its sources in order."""

    key: str
    index: int
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Parameters:
    """What the samples of a set depend on, apart from the utterances."""

    set_name: str
    n_mixtures: int
    num_spks: int
    sample_rate: int
    seed: int
    format: int = FORMAT


def loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Gives the loudness of [T] in LUFS (ITU-R BS.1770); -inf for silence.

    Raises:
        ValueError: when it is shorter than 0.4 s.
    """
    return float(_meter(sample_rate).integrated_loudness(np.asarray(samples, np.float64)))


def mix(
    signals: Sequence[np.ndarray], *, loudnesses: Sequence[float], targets: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes signals by LibriMix's rules.

    Args:
        signals: each [T_i], full scale 1.
        loudnesses: what they have, LUFS.
        targets: what they get, LUFS; less when a source's peak would reach full scale.

    Returns:
        the mixture int16 [T] and the sources int16 [C, T], T being the shortest length; the sources add up to the
        mixture within C - 1 steps.
    """
    shortest = min(len(signal) for signal in signals)
    sources = np.empty((len(signals), shortest))
    for i, signal in enumerate(signals):
        scaled = np.asarray(signal, np.float64) * 10 ** ((targets[i] - loudnesses[i]) / 20)
        peak = np.abs(scaled).max()
        sources[i] = (scaled * (PEAK / peak) if peak >= 1 else scaled)[:shortest]
    peak = np.abs(sources.sum(axis=0)).max()
    if peak > PEAK:
        sources *= PEAK / peak
    return to_pcm16(sources.sum(axis=0)), to_pcm16(sources)


def draw_mixtures(sources: Sequence[Source], parameters: Parameters) -> list[Plan]:
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
        order = _rng(parameters, "pass", turn).permutation(len(sources))
        for group in _group([sources[i] for i in order], parameters.num_spks):
            if len(plans) == parameters.n_mixtures:
                return plans
            pair = "_".join(source.utterance.key for source in group)
            names = itertools.chain([pair], (f"{pair}-{i}" for i in itertools.count(2)))
            key = next(name for name in names if name not in used)
            used.add(key)
            plans.append(Plan(key, len(plans), group))
    return plans


def make_mixtures(
    utterances: Sequence[Utterance],
    data: str | os.PathLike,
    parameters: Parameters,
    *,
    corpus: str = "speech",
    sexes: dict[str, str] | None = None,
    nj: int = 1,
) -> Path:
    """Makes a set of mixtures, or what is missing of it; the same bytes for any `nj` and after any interruption.

    Args:
        utterances: what to mix.
        data: wavs go to `data/wav/<set>/{mix,s1,s2,...}/<key>.wav`, the data directory is `data/<set>`.
        parameters: of the set. With others than before, the set is made anew.
        corpus: what the utterances are, for RESULTS.md.
        sexes: speaker -> f or m, as far as known.
        nj: processes.

    Returns:
        the data directory.

    Raises:
        InputError: when the speech does not do, or the folders hold something this command did not make.
    """
    _check_parameters(parameters)
    data = Path(os.path.abspath(data))
    data_dir, wavs = data / parameters.set_name, data / "wav" / parameters.set_name
    stamp = _stamp(utterances, parameters)
    recover_dir(data_dir)
    if _is_finished(data_dir, wavs, stamp):
        return data_dir
    _prepare(data_dir, wavs, stamp)
    plans = draw_mixtures(_usable(utterances, parameters, nj), parameters)
    lengths = list(
        parallel_map(partial(_make, wavs, parameters), plans, nj=nj, title=f"mixtures of {parameters.set_name}")
    )
    made = {plan.key: length for plan, length in zip(plans, lengths) if length}
    if len(made) < len(plans):
        _say(f"set {parameters.set_name}: {len(plans) - len(made)} mixtures left out: a source is silent in its part")
    speakers = {plan.key: tuple(source.utterance.speaker for source in plan.sources) for plan in plans}
    known = {speaker: (sexes or {}).get(speaker) for key in made for speaker in speakers[key]}
    write_data_dir(
        data_dir,
        mixtures={key: str(wavs / "mix" / f"{key}.wav") for key in made},
        sources=[{key: str(wavs / name / f"{key}.wav") for key in made} for name in _source_names(parameters)],
        num_samples=made,
        src2spk={key: speakers[key] for key in made},
        spk2gender=known if all(known.values()) else None,
        extra={STAMP: stamp, CORPUS: f"{corpus}, LibriMix's rules, min mode, seed {parameters.seed}\n"},
    )
    return data_dir


def _check_parameters(parameters: Parameters) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", parameters.set_name) or parameters.set_name in _TAKEN:
        raise InputError(f"'{parameters.set_name}' cannot be the name of a set")
    if not 2 <= parameters.num_spks <= MAX_SOURCES:
        raise InputError(f"num_spks: 2 to {MAX_SOURCES} sources can be mixed; got {parameters.num_spks}")
    if parameters.n_mixtures < 1:
        raise InputError(f"n_mixtures: at least one is expected; got {parameters.n_mixtures}")
    if parameters.sample_rate < 1000:
        raise InputError(f"sample_rate: at least 1000 Hz is expected; got {parameters.sample_rate}")


def _stamp(utterances: Sequence[Utterance], parameters: Parameters) -> str:
    """Says what a set was made from: the parameters, and a digest of the corpus's names and sizes."""
    digest = hashlib.sha256()
    for utterance in utterances:
        digest.update(f"{utterance.key} {utterance.speaker} {os.path.getsize(utterance.path)}\n".encode())
    return json.dumps(asdict(parameters) | {"utterances": digest.hexdigest()}) + "\n"


def _is_finished(data_dir: Path, wavs: Path, stamp: str) -> bool:
    """Tells whether the set was made with this stamp and every wav is there in its full size."""
    if any(_text(folder / STAMP) != stamp for folder in (data_dir, wavs)):
        return False
    made = read_data_dir(data_dir)
    paths = [(value, made.num_samples[key]) for scp in (made.mixtures, *made.sources) for key, value in scp.items()]
    return all(_has_size(path, length) and wavs in Path(path).parents for path, length in paths)


def _prepare(data_dir: Path, wavs: Path, stamp: str) -> None:
    """Puts what was made with another stamp out of the way; refuses to touch what this command did not make."""
    for folder in (data_dir, wavs):
        if folder.exists() and any(folder.iterdir()) and _text(folder / STAMP) is None:
            raise InputError(f"{folder}: is there and was not made by this command; move it or choose another --data")
    old = wavs.with_name(f".tmp.old.{wavs.name}")
    shutil.rmtree(old, ignore_errors=True)
    if wavs.exists() and _text(wavs / STAMP) != stamp:
        os.replace(wavs, old)
    write_text(wavs / STAMP, stamp)
    shutil.rmtree(old, ignore_errors=True)


def _usable(utterances: Sequence[Utterance], parameters: Parameters, nj: int) -> list[Source]:
    """Measures as many utterances as are needed, in a shuffled order; leaves out the short and the silent ones."""
    needed = parameters.n_mixtures * parameters.num_spks
    order = _rng(parameters, "choice", 0).permutation(len(utterances))
    chosen = sorted(order[: needed + needed // 10 + 100])  # some more, for those that are left out or find no partner
    candidates = [utterances[i] for i in chosen]
    measure = partial(_measure, sample_rate=parameters.sample_rate)
    title = f"loudness for {parameters.set_name}"
    levels = list(parallel_map(measure, candidates, nj=nj, title=title))
    short = sum(level is None for level in levels)
    if short:
        _say(f"set {parameters.set_name}: {short} utterances left out: shorter than {SHORTEST} s")
    for utterance, level in zip(candidates, levels):
        if level == -np.inf:
            _say(f"set {parameters.set_name}: left out, because it is silent: {utterance.path}")
    return [Source(u, level) for u, level in zip(candidates, levels) if level is not None and level > -np.inf]


def _measure(utterance: Utterance, *, sample_rate: int) -> float | None:
    """Gives the loudness in LUFS; None when the utterance is too short to have one."""
    samples = _read_at(utterance.path, sample_rate)
    return loudness(samples, sample_rate) if len(samples) >= SHORTEST * sample_rate else None


def _make(wavs: Path, parameters: Parameters, plan: Plan) -> int:
    """Writes the wavs of a mixture when one is missing; gives its samples, 0 when a source is silent in its part."""
    names = ("mix", *_source_names(parameters))
    paths = [wavs / name / f"{plan.key}.wav" for name in names]
    if all(path.exists() for path in paths):
        return (paths[0].stat().st_size - _WAV_HEADER) // 2
    signals = [_read_at(source.utterance.path, parameters.sample_rate) for source in plan.sources]
    targets = _rng(parameters, "mixture", plan.index).uniform(QUIETEST, LOUDEST, len(signals))
    mixture, sources = mix(signals, loudnesses=[source.loudness for source in plan.sources], targets=targets)
    if not sources.any(axis=1).all():
        return 0
    for path, samples in zip(paths, (mixture, *sources)):
        write_wav(path, samples, parameters.sample_rate)
    return len(mixture)


def _group(sources: Sequence[Source], size: int) -> list[tuple[Source, ...]]:
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


def _read_at(path: str, sample_rate: int) -> np.ndarray:
    """Reads float [T] and resamples it to the rate."""
    samples, rate = read_audio(path)
    if rate == sample_rate:
        return samples
    common = np.gcd(rate, sample_rate)
    return resample_poly(samples, sample_rate // common, rate // common)


def _rng(parameters: Parameters, purpose: str, number: int) -> np.random.Generator:
    """A generator of its own for each use, so that no order of work changes a draw."""
    name = zlib.crc32(f"{parameters.set_name} {purpose}".encode())
    return np.random.default_rng([parameters.seed, name, number])


def _source_names(parameters: Parameters) -> list[str]:
    return [f"s{i}" for i in range(1, parameters.num_spks + 1)]


def _has_size(path: str, num_samples: int) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) == _WAV_HEADER + 2 * num_samples


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _say(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


@cache
def _meter(sample_rate: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(sample_rate)
