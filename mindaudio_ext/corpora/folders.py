"""Data directories from folders of mixtures and of sources, which are matched by file name and never by order."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mindaudio_ext.data.kaldi_dir import CORPUS
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.sound import open_sound
from mindaudio_ext.errors import InputError
from mindaudio_ext.keys import MAX_SOURCES, require_key

_SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class Signals:
    """Where the signals of a set are: key -> path of the mixture, of each source, and of the noise if there is one."""

    mixtures: dict[str, str]
    sources: tuple[dict[str, str], ...]
    noise: dict[str, str] | None = None


def list_audio(folder: str | os.PathLike) -> dict[str, str]:
    """Lists the wav and flac files of a folder: name without its ending -> path.

    Raises:
        InputError: when there is no folder or none in it, two have one name, or a name cannot be a key.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        key, ending = os.path.splitext(name)
        if ending.lower() not in _SUFFIXES or name.startswith("."):
            continue
        require_key(key, str(folder / name))
        if key in found:
            raise InputError(f"{folder / name}: has the same name as {found[key]}")
        found[key] = str(folder / name)
    if not found:
        raise InputError(f"{folder}: holds no wav or flac file")
    return found


def match_folders(
    mixtures: str | os.PathLike,
    sources: Sequence[str | os.PathLike],
    noise: str | os.PathLike | None = None,
    *,
    num_spks: int | None = None,
) -> Signals:
    """Matches the files of folders by name.

    Args:
        mixtures: folder of the mixtures; a file's name is the mixture's key.
        sources: a folder for each source, in which a file has the mixture's name; or one folder for all of them, in
            which the files of a mixture are `<key>_s1`, `<key>_s2` and so on.
        noise: folder of the noises, named as the mixtures.
        num_spks: sources per mixture, for one folder of all of them.

    Raises:
        InputError: naming the file that has no partner.
    """
    of_mixtures = list_audio(mixtures)
    if len(sources) == 1 and num_spks is not None and num_spks > 1:
        of_sources = _in_one_folder(sources[0], num_spks)
    else:
        of_sources = [list_audio(folder) for folder in sources]
    if num_spks is not None and len(of_sources) != num_spks:
        raise InputError(
            f"{len(of_sources)} folders of sources were given; mixtures of {num_spks} sources are expected"
        )
    if not 1 <= len(of_sources) <= MAX_SOURCES:
        raise InputError(f"1 to {MAX_SOURCES} sources per mixture are expected; got {len(of_sources)}")
    of_noise = None if noise is None else list_audio(noise)
    for found in [*of_sources, *([] if of_noise is None else [of_noise])]:
        _require_partners(of_mixtures, found)
    return Signals(of_mixtures, tuple(of_sources), of_noise)


def _in_one_folder(folder: str | os.PathLike, num_spks: int) -> list[dict[str, str]]:
    """Takes `<key>_s<i>` apart."""
    sources: list[dict[str, str]] = [{} for _ in range(num_spks)]
    for name, path in list_audio(folder).items():
        key, _, number = name.rpartition("_s")
        if not re.fullmatch(r"[1-9]", number) or not key or int(number) > num_spks:
            raise InputError(f"{path}: in one folder of all sources, <key>_s1 to <key>_s{num_spks} are expected")
        sources[int(number) - 1][key] = path
    for place, found in enumerate(sources, 1):
        if not found:
            raise InputError(f"{folder}: holds no source {place}, <key>_s{place}.wav")
    return sources


def _require_partners(mixtures: Mapping[str, str], others: Mapping[str, str]) -> None:
    folder = os.path.dirname(next(iter(others.values())))
    for key in mixtures:
        if key not in others:
            raise InputError(f"{mixtures[key]}: has no file of the same name in {folder}")
    for key in others:
        if key not in mixtures:
            raise InputError(
                f"{others[key]}: belongs to no mixture in {os.path.dirname(next(iter(mixtures.values())))}"
            )


def make_folders_data(
    path: str | os.PathLike,
    signals: Signals,
    *,
    sample_rate: int,
    corpus: str,
    speakers: Callable[[str], Sequence[str] | None] | None = None,
    sexes: Mapping[str, str] | None = None,
    nj: int = 1,
) -> int:
    """Writes a data directory of signals that are there; one with the same content is left alone.

    Args:
        path: the data directory.
        signals: of the set.
        sample_rate: the rate they must have, Hz.
        corpus: one line that says what they are.
        speakers: tells the speakers of a key's sources, or None when the key does not.
        sexes: speaker -> f or m, as far as known.
        nj: processes that read headers.

    Returns:
        the number of mixtures.

    Raises:
        InputError: naming the file of another rate or length, or that cannot be read.
    """
    parts = [signals.mixtures, *signals.sources, *([] if signals.noise is None else [signals.noise])]
    groups = [tuple(part[key] for part in parts) for key in signals.mixtures]
    title = f"headers of {Path(path).name}"
    lengths = list(parallel_map(partial(_common_length, sample_rate=sample_rate), groups, nj=nj, title=title))
    src2spk, spk2gender = speakers_and_sexes(signals.mixtures, speakers, sexes)
    write_data_dir(
        path,
        num_samples=dict(zip(signals.mixtures, lengths)),
        mixtures=signals.mixtures,
        sources=signals.sources,
        noise=signals.noise,
        src2spk=src2spk,
        spk2gender=spk2gender,
        extra={CORPUS: f"{corpus}\n"},
    )
    return len(lengths)


def speakers_and_sexes(
    keys: Mapping[str, object],
    speakers: Callable[[str], Sequence[str] | None] | None,
    sexes: Mapping[str, str] | None,
) -> tuple[dict[str, Sequence[str]] | None, dict[str, str] | None]:
    """Returns src2spk and spk2gender of keys; None where they are not known of every key or speaker."""
    src2spk = {key: found for key in keys if speakers and (found := speakers(key))}
    if not src2spk or len(src2spk) < len(keys):
        return None, None
    everyone = dict.fromkeys(speaker for row in src2spk.values() for speaker in row)
    known = {speaker: sex for speaker in everyone if (sex := (sexes or {}).get(speaker))}
    return src2spk, known if len(known) == len(everyone) else None


def speakers_of_librispeech(key: str, n_src: int) -> tuple[str, ...] | None:
    """Reads the speakers off a key of LibriSpeech's utterances; None when it is not one of `n_src` different ones.

    >>> speakers_of_librispeech("4077-13754-0001_5142-33396-0065", 2)
    ('4077', '5142')
    """
    parts = key.split("_")
    if not all(re.fullmatch(r"\d+-\d+-\d+", part) for part in parts):
        return None
    return _different([part.partition("-")[0] for part in parts], n_src)


def speakers_of_wsj0(key: str, n_src: int) -> tuple[str, ...] | None:
    """Reads the speakers off a key of WSJ0's utterances, each followed by its level in dB; None as above.

    >>> speakers_of_wsj0("01aa010a_1.3461_20aa010k_-1.3461", 2)
    ('01a', '20a')
    """
    parts = key.split("_")
    utterances, levels = parts[::2], parts[1::2]
    if not all(re.fullmatch(r"\w{8}", part) for part in utterances) or len(levels) != len(utterances):
        return None
    return _different([part[:3] for part in utterances], n_src)


def _different(speakers: Sequence[str], n_src: int) -> tuple[str, ...] | None:
    return tuple(speakers) if len(speakers) == len(set(speakers)) == n_src else None


def _common_length(paths: Sequence[str], sample_rate: int) -> int:
    """Returns the samples that all files have."""
    expected: int | None = None
    for path in paths:
        with open_sound(path) as sound:
            rate, frames, channels = sound.sample_rate, sound.n_samples, sound.n_channels
        if rate != sample_rate:
            raise InputError(f"{path}: is at {rate} Hz; {sample_rate} Hz is expected")
        if channels != 1:
            raise InputError(f"{path}: has {channels} channels; one is expected")
        if expected not in (None, frames):
            raise InputError(f"{path}: has {frames} samples; the mixture {paths[0]} has {expected}")
        expected = frames
    assert expected is not None, "there are no files"
    return expected
