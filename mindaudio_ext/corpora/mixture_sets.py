"""Sets of mixtures of a corpus of speech, by LibriMix's rules: wavs, and the data directory that lists them."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.corpora.mixture_plan import Candidate, Parameters, Plan, draw_mixtures, rng_of
from mindaudio_ext.data.audio import WAV_HEADER, is_whole_wav, read_audio, write_wav
from mindaudio_ext.data.kaldi_dir import CORPUS, read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import MIXTURES_STAMP, data_folder, write_data_dir
from mindaudio_ext.data.mixture import LOUDEST, QUIETEST, SHORTEST, loudness, mix
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.keys import MAX_SOURCES, file_name, require_name
from mindaudio_ext.lock import locked
from mindaudio_ext.output_folder import OutputFolder

log = logging.getLogger(__name__)
TAKEN = ("wav", "corpus", "check")  # folders beside the data directories


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
    data_folder(data_dir).recover()
    if is_finished(data_dir, wavs, stamp):
        return data_dir
    with locked(wavs.parent, wavs.name):
        _make_set(utterances, data_dir, wavs, parameters, stamp=stamp, corpus=corpus, sexes=sexes, nj=nj)
    return data_dir


def _make_set(
    utterances: Sequence[Utterance],
    data_dir: Path,
    wavs: Path,
    parameters: Parameters,
    *,
    stamp: str,
    corpus: str,
    sexes: dict[str, str] | None,
    nj: int,
) -> None:
    prepare(data_dir, wavs, stamp)
    usable, left_out = _usable(utterances, parameters, nj)
    try:
        plans = draw_mixtures(usable, parameters)
    except InputError as error:
        raise InputError("; ".join((str(error), *left_out))) from error
    for line in left_out:
        log.warning("set %s: %s", parameters.set_name, line)
    names = ("mix", *_source_names(parameters))
    files = [f"{name}/{file_name(plan.key)}.wav" for name in names for plan in plans]
    wav_folder(data_dir, wavs).claim([MIXTURES_STAMP, *files])
    made = _make_wavs(wavs, plans, parameters, nj)
    speakers = {plan.key: tuple(source.utterance.speaker for source in plan.sources) for plan in plans}
    everyone = dict.fromkeys(speaker for key in made for speaker in speakers[key])
    known = {speaker: sex for speaker in everyone if (sex := (sexes or {}).get(speaker))}
    paths = [{key: str(wavs / name / f"{file_name(key)}.wav") for key in made} for name in names]
    write_data_dir(
        data_dir,
        mixtures=paths[0],
        sources=paths[1:],
        num_samples=made,
        src2spk={key: speakers[key] for key in made},
        spk2gender=known if len(known) == len(everyone) else None,
        extra={MIXTURES_STAMP: stamp, CORPUS: f"{corpus}, LibriMix's rules, min mode, seed {parameters.seed}\n"},
    )


def _make_wavs(wavs: Path, plans: Sequence[Plan], parameters: Parameters, nj: int) -> dict[str, int]:
    """Writes the wavs of all mixtures that are to be; returns the samples of those that came to be."""
    make = partial(_make, wavs, parameters)
    lengths = list(parallel_map(make, plans, nj=nj, title=f"mixtures of {parameters.set_name}"))
    made = {plan.key: length for plan, length in zip(plans, lengths) if length}
    if len(made) < len(plans):
        n_silent = len(plans) - len(made)
        log.warning("set %s: %d mixtures left out: a source is silent in its part", parameters.set_name, n_silent)
    return made


def _check_parameters(parameters: Parameters) -> None:
    require_name(parameters.set_name, "set")
    if parameters.set_name in TAKEN:
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


def is_finished(data_dir: Path, wavs: Path, stamp: str) -> bool:
    """Tells whether the set was made with this stamp and every wav is there in its full size."""
    if any(text_of(folder / MIXTURES_STAMP) != stamp for folder in (data_dir, wavs)):
        return False
    made = read_data_dir(data_dir)
    paths = [(value, made.num_samples[key]) for scp in (made.mixtures, *made.sources) for key, value in scp.items()]
    return all(is_whole_wav(path, length) and wavs in Path(path).parents for path, length in paths)


def prepare(data_dir: Path, wavs: Path, stamp: str) -> None:
    """Removes wavs that were made with another stamp; refuses to touch what this command did not make."""
    if text_of(data_dir / MIXTURES_STAMP) == stamp:
        data_folder(data_dir).require_ours()
    else:
        data_folder(data_dir).require_replaceable()
    folder = wav_folder(data_dir, wavs)
    if text_of(wavs / MIXTURES_STAMP) != stamp:
        folder.remove()
    folder.require_ours()
    write_text(wavs / MIXTURES_STAMP, stamp)


def wav_folder(data_dir: Path, wavs: Path) -> OutputFolder:
    """Returns the folder of a set's wavs; before there were marks it had a stamp, and the set listed them."""

    def before_marks(folder: Path) -> list[str] | None:
        stamp = text_of(folder / MIXTURES_STAMP)
        if stamp is None or stamp != text_of(data_dir / MIXTURES_STAMP):
            return None if stamp is None else [MIXTURES_STAMP]
        made = read_data_dir(data_dir)
        listed = [path for scp in (made.mixtures, *made.sources) for path in scp.values()]
        return [MIXTURES_STAMP, *(os.path.relpath(path, folder) for path in listed)]

    return OutputFolder(wavs, "folder of mixtures", before_marks)


def _usable(utterances: Sequence[Utterance], parameters: Parameters, nj: int) -> tuple[list[Candidate], list[str]]:
    """Measures as many utterances as are needed, shuffled; gives them, and what is said of those left out."""
    needed = parameters.n_mixtures * parameters.num_spks
    order = rng_of(parameters, "choice", 0).permutation(len(utterances))
    chosen = sorted(order[: needed + needed // 10 + 100])  # some more, for those that are left out or find no partner
    candidates = [utterances[i] for i in chosen]
    measure = partial(_measure, sample_rate=parameters.sample_rate)
    title = f"loudness for {parameters.set_name}"
    levels = list(parallel_map(measure, candidates, nj=nj, title=title))
    short = sum(level is None for level in levels)
    left_out = [f"{short} utterances left out: shorter than {SHORTEST} s"] if short else []
    for utterance, level in zip(candidates, levels):
        if level == -np.inf:
            left_out.append(f"left out, because it is silent: {utterance.path}")
    found = [Candidate(u, level) for u, level in zip(candidates, levels) if level is not None and level > -np.inf]
    return found, left_out


def _measure(utterance: Utterance, *, sample_rate: int) -> float | None:
    """Returns the loudness in LUFS; None when the utterance is too short to have one."""
    samples = read_at(utterance.path, sample_rate)
    return loudness(samples, sample_rate) if len(samples) >= SHORTEST * sample_rate else None


def _make(wavs: Path, parameters: Parameters, plan: Plan) -> int:
    """Writes the wavs of a mixture when one is missing; gives its samples, 0 when a source is silent in its part."""
    names = ("mix", *_source_names(parameters))
    paths = [wavs / name / f"{file_name(plan.key)}.wav" for name in names]
    if all(path.exists() for path in paths):
        return (paths[0].stat().st_size - WAV_HEADER) // 2
    signals = [read_at(source.utterance.path, parameters.sample_rate) for source in plan.sources]
    targets = rng_of(parameters, "mixture", plan.index).uniform(QUIETEST, LOUDEST, len(signals))
    mixture, sources = mix(signals, loudnesses=[source.loudness for source in plan.sources], targets=targets)
    if not sources.any(axis=1).all():
        return 0
    for path, samples in zip(paths, (mixture, *sources)):
        write_wav(path, samples, parameters.sample_rate)
    return len(mixture)


def read_at(path: str, sample_rate: int) -> np.ndarray:
    """Reads float [T] and resamples it to the rate."""
    samples, rate = read_audio(path)
    return samples if rate == sample_rate else resample_poly(samples, sample_rate, rate)


def _source_names(parameters: Parameters) -> list[str]:
    return [f"s{i}" for i in range(1, parameters.num_spks + 1)]


def text_of(path: Path) -> str | None:
    """Returns what a file says; None when there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
