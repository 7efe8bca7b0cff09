"""SparseLibriMix (Cosentino et al., 2020): test sets of sparsely overlapping speech, of its metadata.

A set is a JSON list of mixtures. Each has `mixture_name`, a list of parts of speech `s1`, `s2`, ... and one of `noise`.
A part is samples `orig_start` to `orig_stop` (s) of a `file`, without their mean and with a loudness of `lvl` (LUFS, of
blocks of 0.1 s), from `start` (s) on. A mixture is as long as its longest part.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
from scipy.signal import resample_poly

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.corpora.wav_set import check_set, is_finished, prepare, signal_names, stamp_of, wav_folder, wav_paths
from mindaudio_ext.data.audio import to_pcm16, write_wav
from mindaudio_ext.data.kaldi_dir import CORPUS
from mindaudio_ext.data.kaldi_dir_writer import MIXTURES_STAMP, data_folder, write_data_dir
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.rttm import RTTM, Turn, rttm_lines
from mindaudio_ext.data.sound import open_sound
from mindaudio_ext.errors import InputError, shown
from mindaudio_ext.files import is_file, parse_json
from mindaudio_ext.keys import require_key
from mindaudio_ext.lock import locked

SPARSE_FORMAT = 1  # of the recipe: changes when the same metadata give other samples
_BLOCK = 0.1  # seconds, of the loudness


@dataclass(frozen=True)
class Part:
    """A part of a recording in a mixture: times in seconds, its loudness in LUFS."""

    path: str
    channel: int
    start: float
    orig_start: float
    orig_stop: float
    level: float


@dataclass(frozen=True)
class SparseMixture:
    """A mixture: its key, of each source the speaker and the parts, and the parts of the noise, when there is one."""

    key: str
    speakers: tuple[str, ...]
    sources: tuple[tuple[Part, ...], ...]
    noise: tuple[Part, ...]


@dataclass(frozen=True)
class Parameters:
    """What the samples of a set depend on, apart from the recordings; `metadata` is a digest of its metadata's text."""

    set_name: str
    num_spks: int
    sample_rate: int
    noise: bool
    metadata: str
    format: int = SPARSE_FORMAT


def read_sparse(file: Path, librispeech: Path, wham: Path | None = None) -> list[SparseMixture]:
    """Reads the metadata of a set.

    Args:
        file: metadata.json.
        librispeech: folder that the speech's paths begin at, LibriSpeech's test-clean; or the one that holds that.
        wham: folder of the noises, WHAM's tt; None: the mixtures have none.

    Raises:
        InputError: naming file, mixture and key, where the metadata are not as expected, or a recording is missing.
    """
    if not is_file(file):
        raise InputError(f"{file}: no such file; metadata of SparseLibriMix are expected")
    try:
        values = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(values, list) or not values:
        raise InputError(f"{file}: a list of mixtures is expected")
    below = librispeech / "test-clean"
    speech = below if below.is_dir() else librispeech
    found = [_mixture(file, number, value, speech, wham) for number, value in enumerate(values, 1)]
    if len({len(mixture.sources) for mixture in found}) > 1 or len({mixture.key for mixture in found}) < len(found):
        raise InputError(f"{file}: all mixtures need as many sources as the first, and a mixture_name of their own")
    for mixture in found:
        for part in (part for parts in (*mixture.sources, mixture.noise) for part in parts):
            if not is_file(part.path):
                raise InputError(f"{part.path}: no such file; {file} names it")
    return found


def _mixture(file: Path, number: int, value: Any, speech: Path, wham: Path | None) -> SparseMixture:
    where = f"{file}: mixture {number}"
    key = value.get("mixture_name") if isinstance(value, dict) else None
    if not isinstance(key, str):
        raise InputError(f"{where}: has no mixture_name")
    require_key(key, str(file))
    names = sorted(name for name in value if name not in ("mixture_name", "noise"))
    if not names or names != [f"s{i}" for i in range(1, len(names) + 1)]:
        raise InputError(f"{where}: s1, s2, ... are expected, got {', '.join(names) or 'none'}")
    sources = tuple(_parts(where, name, value[name], speech) for name in names)
    speakers = tuple(str(value[name][0].get("spk_id")) for name in names)
    if "None" in speakers or len(set(speakers)) < len(speakers):
        raise InputError(f"{where}: spk_id: another one is expected in each source, got {', '.join(speakers)}")
    for speaker in speakers:
        require_key(speaker, f"{where}: spk_id")
    noise = _parts(where, "noise", value.get("noise"), wham) if wham is not None else ()
    return SparseMixture(key, speakers, sources, noise)


def _parts(where: str, name: str, values: Any, folder: Path) -> tuple[Part, ...]:
    if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
        raise InputError(f"{where}: {name}: a list of parts is expected")
    return tuple(_part(f"{where}: {name}", value, folder) for value in values)


def _part(where: str, value: Mapping[str, Any], folder: Path) -> Part:
    for key in ("file", "start", "orig_start", "orig_stop", "lvl"):
        wanted = str if key == "file" else (int, float)
        if not isinstance(value.get(key), wanted) or isinstance(value[key], bool):
            kind = "a path" if key == "file" else "a number"
            raise InputError(f"{where}: {key}: {kind} is expected, got {shown(value.get(key))}")
    if not 0 <= value["orig_start"] < value["orig_stop"] <= 36000 or not 0 <= value["start"] <= 36000:
        raise InputError(f"{where}: start, orig_start and orig_stop: times from 0 to 36000 s in order are expected")
    if not -120 <= value["lvl"] <= 0:
        raise InputError(f"{where}: lvl: LUFS from -120 to 0 are expected, got {value['lvl']:g}")
    channel = value.get("channel", 0)
    if channel not in (0, 1):
        raise InputError(f"{where}: channel: 0 or 1 is expected, got {shown(channel)}")
    times = (float(value[key]) for key in ("start", "orig_start", "orig_stop", "lvl"))
    return Part(str(folder / value["file"]), int(channel), *times)


def make_sparse(
    mixtures: Sequence[SparseMixture], data: str | os.PathLike, parameters: Parameters, *, nj: int = 1
) -> Path:
    """Makes a set; the same bytes for any `nj` and after any interruption, and those of SparseLibriMix's own scripts.

    Args:
        mixtures: of the set.
        data: wavs go to `data/wav/<set>/{mix,s1,s2,...,noise}/<key>.wav`, the data directory is `data/<set>`.
        parameters: of the set.
        nj: processes.

    Returns:
        the data directory; its `rttm` says who speaks when.

    Raises:
        InputError: when a recording does not do, or the folders hold something this command did not make.
    """
    check_set(parameters.set_name, parameters.num_spks)
    if len(mixtures[0].sources) != parameters.num_spks:
        raise InputError(f"num_spks: the metadata have {len(mixtures[0].sources)} sources, not {parameters.num_spks}")
    data = Path(os.path.abspath(data))
    data_dir, wavs = data / parameters.set_name, data / "wav" / parameters.set_name
    recordings = sorted({part.path for one in mixtures for parts in (*one.sources, one.noise) for part in parts})
    stamp = stamp_of([Utterance(Path(path).name, "", path) for path in recordings], asdict(parameters))
    data_folder(data_dir).recover()
    if is_finished(data_dir, wavs, stamp):
        return data_dir
    names = [*signal_names(parameters.num_spks), *(["noise"] if parameters.noise else [])]
    with locked(wavs.parent, wavs.name):
        prepare(data_dir, wavs, stamp)
        files = [path for mixture in mixtures for path in wav_paths(wavs, names, mixture.key)]
        wav_folder(data_dir, wavs).claim([MIXTURES_STAMP, *(str(path.relative_to(wavs)) for path in files)])
        make = partial(_make, wavs, names, parameters.sample_rate)
        lengths = list(parallel_map(make, mixtures, nj=nj, title=f"mixtures of {parameters.set_name}"))
        paths = {name: {one.key: str(wav_paths(wavs, [name], one.key)[0]) for one in mixtures} for name in names}
        write_data_dir(
            data_dir,
            mixtures=paths["mix"],
            sources=[paths[name] for name in signal_names(parameters.num_spks)[1:]],
            noise=paths.get("noise"),
            num_samples={one.key: length for one, length in zip(mixtures, lengths)},
            src2spk={one.key: one.speakers for one in mixtures},
            extra={
                MIXTURES_STAMP: stamp,
                CORPUS: f"SparseLibriMix {parameters.set_name}, {'mix_noisy' if parameters.noise else 'mix_clean'}\n",
                RTTM: "".join(f"{line}\n" for one in mixtures for line in rttm_lines(one.key, _turns(one))),
            },
        )
    return data_dir


def _turns(mixture: SparseMixture) -> list[Turn]:
    return [
        Turn(part.start, part.start + part.orig_stop - part.orig_start, speaker)
        for speaker, parts in zip(mixture.speakers, mixture.sources)
        for part in parts
    ]


def _make(wavs: Path, names: Sequence[str], rate: int, mixture: SparseMixture) -> int:
    """Writes the wavs of a mixture; gives its samples."""
    voices = [*mixture.sources, *([mixture.noise] if mixture.noise else [])]
    read = [[(int(part.start * rate), _at_level(part, rate)) for part in parts] for parts in voices]
    length = max(start + len(samples) for parts in read for start, samples in parts)
    signals = np.zeros((len(voices), length))
    for signal, parts in zip(signals, read):
        for start, samples in parts:
            signal[start : start + len(samples)] += samples
    paths = wav_paths(wavs, names, mixture.key)
    for path, samples in zip(paths, (to_pcm16(signals.sum(axis=0)), *to_pcm16(signals))):
        write_wav(path, samples, rate)
    return length


def _at_level(part: Part, rate: int) -> np.ndarray:
    """Reads a part, float64 [T] at the rate, at its loudness."""
    with open_sound(part.path) as sound:
        every, own_rate = sound.read().astype(np.float64), sound.sample_rate
    samples = every[
        int(part.orig_start * own_rate) : int(part.orig_stop * own_rate), min(part.channel, every.shape[1] - 1)
    ]
    samples = samples - samples.mean() if len(samples) else samples
    samples = samples if own_rate == rate else resample_poly(samples, rate, own_rate)
    if len(samples) < _BLOCK * rate:
        raise InputError(
            f"{part.path}: has {len(samples)} samples from {part.orig_start:g} s on, too few for a loudness"
        )
    loudness = pyloudnorm.Meter(rate, block_size=_BLOCK).integrated_loudness(samples)
    if not np.isfinite(loudness):
        raise InputError(f"{part.path}: is silent from {part.orig_start:g} to {part.orig_stop:g} s")
    return samples * 10 ** ((part.level - loudness) / 20)
