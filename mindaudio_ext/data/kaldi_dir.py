"""Data directories in Kaldi's manner, read: every line of every file is checked, the signals are not."""

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.data.audio import count_samples, is_command, part_of, read_signal
from mindaudio_ext.data.mix_csv import MIX_CSV, Mix, read_mix_csv
from mindaudio_ext.data.parallel import progress
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.keys import MAX_SOURCES, require_key

NUM_SAMPLES = "utt2num_samples"
SEGMENTS = "segments"  # of recordings; then the scp files list recordings
CORPUS = "corpus.txt"  # in a data directory: a line that says what it was made from, for RESULTS.md


@dataclass(frozen=True)
class Entry:
    """One mixture of a data directory: what a process needs to read it.

    Attributes:
        path: the data directory.
        key: of the mixture.
        signals: file -> scp value: `wav.scp`, then `spk1.scp` and so on, then `noise1.scp` when there is one.
        num_samples: of the mixture, as `utt2num_samples` says.
        allow_pipes: whether values that are commands may be run.
        mix: what the mixture is mixed from, when it is not written; `signals` then are the files that takes.
    """

    path: Path
    key: str
    signals: dict[str, str]
    num_samples: int
    allow_pipes: bool = False
    mix: Mix | None = None

    def read(
        self, name: str, *, sample_rate: int | None = None, within_full_scale: bool = True
    ) -> tuple[np.ndarray, int]:
        """Reads the signal of one of the files.

        Args:
            name: `wav.scp`, `spk1.scp`, ...
            sample_rate: the rate it must have, Hz. None takes any.
            within_full_scale: whether a peak above full scale is an error: 16 bits cannot hold it.

        Returns:
            samples float32 [T], and the rate in Hz.

        Raises:
            InputError: naming file and key.
        """
        where = f"{self.path / name}: {self.key}"
        signal, rate = read_signal(
            self.signals[name], name=where, sample_rate=sample_rate, allow_pipes=self.allow_pipes
        )
        peak = float(np.abs(signal).max())
        if within_full_scale and peak > 1:
            raise InputError(
                f"{where}: has a peak of {peak:.4g} times full scale, which 16 bits would clip; scale the mixture down"
            )
        return signal, rate

    def read_input(self, sample_rate: int) -> np.ndarray:
        """Reads the mixture as a separator takes it, float32 [T] at any level.

        Args:
            sample_rate: the rate it must have, Hz.

        Raises:
            InputError: naming file and key, also when `utt2num_samples` is wrong.
        """
        mixture, _ = self.read("wav.scp", sample_rate=sample_rate, within_full_scale=False)
        if len(mixture) != self.num_samples:
            raise InputError(
                f"{self.path / 'wav.scp'}: {self.key}: has {len(mixture)} samples; "
                f"utt2num_samples says {self.num_samples}"
            )
        return mixture


@dataclass(frozen=True)
class DataDir:
    """What a data directory lists. All mappings have the same keys, in the order of `keys`.

    Attributes:
        path: the folder.
        keys: of the mixtures, sorted by their bytes.
        mixtures: key -> scp value of the mixture.
        sources: of each source, key -> scp value.
        noise: key -> scp value of the noise; None when the mixtures have none.
        num_samples: key -> samples of the mixture.
        src2spk: key -> speakers in the order of the sources; None when unknown.
        spk2gender: speaker -> f or m; None when unknown.
        allow_pipes: whether values that are commands may be run.
        mixes: key -> what it is mixed from, of mixtures that are not written (`mix.csv`); `mixtures` then has no paths.
    """

    path: Path
    keys: tuple[str, ...]
    mixtures: dict[str, str]
    sources: tuple[dict[str, str], ...]
    noise: dict[str, str] | None
    num_samples: dict[str, int]
    src2spk: dict[str, tuple[str, ...]] | None
    spk2gender: dict[str, str] | None
    allow_pipes: bool = False
    mixes: dict[str, Mix] | None = None

    def entries(self) -> list[Entry]:
        """Lists the mixtures, in the order of the keys."""
        if self.mixes is not None:
            return [
                Entry(self.path, key, mix.row.files(), self.num_samples[key], mix=mix)
                for key, mix in self.mixes.items()
            ]
        files = {"wav.scp": self.mixtures} | {f"spk{i}.scp": source for i, source in enumerate(self.sources, 1)}
        if self.noise is not None:
            files["noise1.scp"] = self.noise
        return [
            Entry(
                self.path, key, {name: scp[key] for name, scp in files.items()}, self.num_samples[key], self.allow_pipes
            )
            for key in self.keys
        ]


def read_data_dir(path: str | os.PathLike, *, allow_pipes: bool = False, unwritten: bool = False) -> DataDir:
    """Reads a data directory and checks everything about it but the audio.

    Args:
        path: the folder.
        allow_pipes: accept values that are commands, `flac -dc x.flac |`; reading such a signal runs the command.
        unwritten: accept mixtures that are not written, which `mix.csv` lists in place of the scp files.

    Without `utt2num_samples`, the samples are counted and the file is made.

    Raises:
        InputError: naming file, line or key of the first thing that is wrong.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such data directory")
    mixes = _read_mixes(path, unwritten)
    mixtures, sources, noise = _read_scps(path) if mixes is None else _paths_of(mixes)
    num_samples = _read_num_samples(path / NUM_SAMPLES) if (path / NUM_SAMPLES).exists() else None
    src2spk = _read_src2spk(path, len(sources))
    utt2spk = read_scp(path / "utt2spk")
    compared: dict[str, Mapping[str, Any] | None] = {f"spk{i}.scp": source for i, source in enumerate(sources, 1)}
    compared |= {"noise1.scp": noise, NUM_SAMPLES: num_samples, "src2spk": src2spk, "utt2spk": utt2spk}
    for name, mapping in compared.items():
        if mapping is not None:
            _require_same_keys(path, mixtures, name, mapping)
    _check_spk2utt(path, utt2spk)
    spk2gender = _read_spk2gender(path)
    keys = tuple(mixtures)
    lengths = num_samples or dict.fromkeys(keys, 0)
    data = DataDir(path, keys, mixtures, sources, noise, lengths, src2spk, spk2gender, allow_pipes, mixes)
    if not allow_pipes and mixes is None:
        _refuse_commands(data)
    return data if num_samples else replace(data, num_samples=_make_num_samples(data))


def _read_mixes(path: Path, unwritten: bool) -> dict[str, Mix] | None:
    """Reads a directory's mix.csv; None when there is none."""
    if not (path / MIX_CSV).exists():
        return None
    if not unwritten:
        raise InputError(f"{path / MIX_CSV}: the mixtures of this set are not written, only stage 1 can take them")
    return read_mix_csv(path / MIX_CSV)


def _paths_of(mixes: dict[str, Mix]) -> tuple[dict[str, str], tuple[dict[str, str], ...], None]:
    """Returns what stands in place of the scp files' content for mixtures that are not written."""
    paths = zip(*(mix.source_paths for mix in mixes.values()))
    return dict.fromkeys(mixes, ""), tuple(dict(zip(mixes, of_source)) for of_source in paths), None


def _read_scps(path: Path) -> tuple[dict[str, str], tuple[dict[str, str], ...], dict[str, str] | None]:
    """Reads the scp files of the mixtures, of each source, and of the noise, None when there is none."""
    segments = _read_segments(path / SEGMENTS) if (path / SEGMENTS).exists() else None
    mixtures = _read_signals(path / "wav.scp", segments)
    sources = tuple(_read_signals(path / f"spk{i}.scp", segments) for i in range(1, _count_sources(path) + 1))
    noise = _read_signals(path / "noise1.scp", segments) if (path / "noise1.scp").exists() else None
    return mixtures, sources, noise


def _count_sources(path: Path) -> int:
    numbers = [i for i in range(1, 100) if (path / f"spk{i}.scp").exists()]
    if numbers != list(range(1, len(numbers) + 1)):
        missing = min(set(range(1, numbers[-1])) - set(numbers))
        raise InputError(f"{path / f'spk{missing}.scp'}: no such file, but there is spk{numbers[-1]}.scp")
    if not 1 <= len(numbers) <= MAX_SOURCES:
        raise InputError(f"{path}: spk1.scp to spk{MAX_SOURCES}.scp are looked for; found {len(numbers)} such files")
    return len(numbers)


def read_scp(path: Path) -> dict[str, str]:
    """Reads `<key> <value>` lines; requires them well formed, sorted by bytes and unique."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a data directory needs it")
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error})") from error
    if lines[0].startswith("\ufeff"):
        raise InputError(f"{path}: begins with a byte order mark, which would be part of its first key")
    if lines[-1] == "":
        lines.pop()
    found: dict[str, str] = {}
    last = ""
    for number, line in enumerate(lines, 1):
        key, _, value = line.partition(" ")
        if line.endswith("\r"):
            raise InputError(f"{path}:{number}: ends with a carriage return; other tools would take it for the value")
        if not key or not value.strip():
            raise InputError(f"{path}:{number}: '{line}' is not '<key> <value>'")
        require_key(key, f"{path}:{number}")
        if key in found:
            raise InputError(f"{path}:{number}: the key {key} is there twice")
        if key < last:  # code points sort as their UTF-8 bytes do
            raise InputError(f"{path}:{number}: {key} comes after {last}; sort the file with LC_ALL=C sort")
        found[key] = value.strip()
        last = key
    if not found:
        raise InputError(f"{path}: is empty")
    return found


def _read_signals(path: Path, segments: Mapping[str, tuple[str, float, float]] | None) -> dict[str, str]:
    """Reads a scp file of signals; with segments, which says of each key what part of which recording it is."""
    values = read_scp(path)
    if segments is None:
        return values
    for key, (recording, *_) in segments.items():
        if recording not in values:
            raise InputError(f"{path}: has no line for the recording {recording}, which {key} in {SEGMENTS} is part of")
    return {key: part_of(values[recording], start, end) for key, (recording, start, end) in segments.items()}


def _read_segments(path: Path) -> dict[str, tuple[str, float, float]]:
    """Reads key -> recording, start and end in seconds; an end of -1 is the recording's."""
    found = {}
    for key, value in read_scp(path).items():
        recording, *times = value.split()
        try:
            start, end = map(float, times)
        except ValueError:
            raise InputError(
                f"{path}: {key}: '{value}' is not '<recording> <start> <end>' of a recording of one channel"
            ) from None
        if not (0 <= start < 1e9 and end < 1e9 and (end > start or end == -1)):
            raise InputError(f"{path}: {key}: from {times[0]} to {times[1]} s is no part of a recording")
        found[key] = (recording, start, end)
    return found


def _read_num_samples(path: Path) -> dict[str, int]:
    found = read_scp(path)
    for key, value in found.items():
        if not re.fullmatch("[0-9]{1,12}", value) or int(value) == 0:
            raise InputError(f"{path}: {key}: '{value}' is not a number of samples")
    return {key: int(value) for key, value in found.items()}


def _read_src2spk(path: Path, num_sources: int) -> dict[str, tuple[str, ...]] | None:
    if not (path / "src2spk").exists():
        return None
    found = {key: tuple(value.split()) for key, value in read_scp(path / "src2spk").items()}
    for key, speakers in found.items():
        if len(speakers) != num_sources:
            raise InputError(f"{path / 'src2spk'}: {key}: lists {len(speakers)} speakers for {num_sources} sources")
        if len(set(speakers)) != len(speakers):
            raise InputError(f"{path / 'src2spk'}: {key}: lists a speaker twice")
    return found


def _read_spk2gender(path: Path) -> dict[str, str] | None:
    if not (path / "spk2gender").exists():
        return None
    found = read_scp(path / "spk2gender")
    for speaker, sex in found.items():
        if sex not in ("f", "m"):
            raise InputError(f"{path / 'spk2gender'}: {speaker}: '{sex}' is neither f nor m")
    return found


def _require_same_keys(path: Path, mixtures: Mapping[str, object], name: str, mapping: Mapping[str, object]) -> None:
    listed = SEGMENTS if (path / SEGMENTS).exists() else "wav.scp"
    for key in mixtures:
        if key not in mapping:
            raise InputError(f"{path / name}: has no line for {key}, which is in {listed}")
    for key in mapping:
        if key not in mixtures:
            raise InputError(f"{path / name}: has a line for {key}, which is not in {listed}")


def _check_spk2utt(path: Path, utt2spk: Mapping[str, str]) -> None:
    expected: dict[str, list[str]] = defaultdict(list)
    for key, speaker in utt2spk.items():
        expected[speaker].append(key)
    found = {speaker: value.split() for speaker, value in read_scp(path / "spk2utt").items()}
    for speaker in sorted(expected.keys() | found.keys()):
        if expected.get(speaker) != found.get(speaker):
            raise InputError(f"{path / 'spk2utt'}: {speaker}: is not the inverse of utt2spk")


def _refuse_commands(data: DataDir) -> None:
    for entry in data.entries():
        for name, value in entry.signals.items():
            if is_command(value):
                raise InputError(
                    f"{data.path / name}: {entry.key}: is a command ('{value}'); "
                    "commands are run only with --allow_pipes true"
                )


def _make_num_samples(data: DataDir) -> dict[str, int]:
    """Counts the samples of all mixtures and writes the file that was missing, if the folder can be written to."""
    file = data.path / NUM_SAMPLES
    counts = progress(map(_count, data.entries()), total=len(data.keys), title=f"making {file}")
    num_samples = dict(zip(data.keys, counts))
    with contextlib.suppress(OSError):
        write_text(file, "".join(f"{key} {count}\n" for key, count in num_samples.items()))
    return num_samples


def _count(entry: Entry) -> int:
    if entry.mix is not None:
        return entry.mix.length()
    name = f"{entry.path / 'wav.scp'}: {entry.key}"
    return count_samples(entry.signals["wav.scp"], name=name, allow_pipes=entry.allow_pipes)
