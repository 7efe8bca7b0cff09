"""Sets of mixtures of a corpus of speech, by LibriMix's rules: wavs, and the data directory that lists them."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.corpora.mixture_plan import Candidate, Parameters, Plan, draw_mixtures, rng_of
from mindaudio_ext.corpora.wav_set import (
    check_set,
    is_finished,
    prepare,
    read_at,
    sexes_of,
    signal_names,
    stamp_of,
    wav_folder,
    wav_paths,
)
from mindaudio_ext.data.audio import WAV_HEADER, write_wav
from mindaudio_ext.data.kaldi_dir import CORPUS
from mindaudio_ext.data.kaldi_dir_writer import MIXTURES_STAMP, data_folder, write_data_dir
from mindaudio_ext.data.mixture import LOUDEST, QUIETEST, SHORTEST, loudness, mix
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.lock import locked

log = logging.getLogger(__name__)


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
    stamp = stamp_of(utterances, asdict(parameters))
    data_folder(data_dir).recover()
    if is_finished(data_dir, wavs, stamp):
        return data_dir
    plans = _plans(utterances, parameters, nj)  # with speech that does not do nothing is begun
    with locked(wavs.parent, wavs.name):
        prepare(data_dir, wavs, stamp)
        _make_set(plans, data_dir, wavs, parameters, stamp=stamp, corpus=corpus, sexes=sexes, nj=nj)
    return data_dir


def _plans(utterances: Sequence[Utterance], parameters: Parameters, nj: int) -> list[Plan]:
    """Draws the mixtures; says which utterances are left out."""
    usable, left_out = _usable(utterances, parameters, nj)
    try:
        plans = draw_mixtures(usable, parameters)
    except InputError as error:
        raise InputError("; ".join((str(error), *left_out))) from error
    for line in left_out:
        log.warning("set %s: %s", parameters.set_name, line)
    return plans


def _make_set(
    plans: Sequence[Plan],
    data_dir: Path,
    wavs: Path,
    parameters: Parameters,
    *,
    stamp: str,
    corpus: str,
    sexes: dict[str, str] | None,
    nj: int,
) -> None:
    names = signal_names(parameters.num_spks)
    files = [str(path.relative_to(wavs)) for plan in plans for path in wav_paths(wavs, names, plan.key)]
    wav_folder(data_dir, wavs).claim([MIXTURES_STAMP, *files])
    made = _make_wavs(wavs, plans, parameters, nj)
    speakers = {plan.key: tuple(source.utterance.speaker for source in plan.sources) for plan in plans}
    everyone = dict.fromkeys(speaker for key in made for speaker in speakers[key])
    paths = [{key: str(wav_paths(wavs, [name], key)[0]) for key in made} for name in names]
    write_data_dir(
        data_dir,
        mixtures=paths[0],
        sources=paths[1:],
        num_samples=made,
        src2spk={key: speakers[key] for key in made},
        spk2gender=sexes_of(list(everyone), sexes or {}),
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
    check_set(parameters.set_name, parameters.num_spks)
    if parameters.n_mixtures < 1:
        raise InputError(f"n_mixtures: at least one is expected; got {parameters.n_mixtures}")
    if parameters.sample_rate < 1000:
        raise InputError(f"sample_rate: at least 1000 Hz is expected; got {parameters.sample_rate}")


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
    paths = wav_paths(wavs, signal_names(parameters.num_spks), plan.key)
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
