"""Data directories in Kaldi's manner: read, written and validated."""

import filecmp
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import FULL_SCALE, from_pcm16, is_command, read_signal
from mindaudio_ext.data.mix_csv import MIX_CSV, Mix, read_mix_csv
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

MAX_SOURCES = 5

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

    def read(self, name: str, *, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
        """Reads the signal of one of the files.

        Args:
            name: `wav.scp`, `spk1.scp`, ...
            sample_rate: the rate it must have, Hz. None takes any.

        Returns:
            samples float32 [T] and the rate in Hz.

        Raises:
            InputError: naming file and key.
        """
        where = f"{self.path / name}: {self.key}"
        return read_signal(self.signals[name], name=where, sample_rate=sample_rate, allow_pipes=self.allow_pipes)


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


@dataclass(frozen=True)
class Summary:
    """What a valid data directory holds: mixtures, their length in hours, rate in Hz and sources a mixture."""

    num_utts: int
    hours: float
    sample_rate: int | None
    num_spks: int
    speakers: int | None


def read_data_dir(path: str | os.PathLike, *, allow_pipes: bool = False, unwritten: bool = False) -> DataDir:
    """Reads a data directory and checks everything about it but the audio.

    Args:
        path: the folder.
        allow_pipes: accept values that are commands, `flac -dc x.flac |`; reading such a signal runs the command.
        unwritten: accept mixtures that are not written, which `mix.csv` lists in place of the scp files.

    Raises:
        InputError: naming file, line or key of the first thing that is wrong.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such data directory")
    mixes = _read_mixes(path, unwritten)
    if mixes is not None:
        mixtures = dict.fromkeys(mixes, "")
        paths = zip(*(mix.source_paths for mix in mixes.values()))
        sources = tuple(dict(zip(mixes, of_source)) for of_source in paths)
    else:
        mixtures = read_scp(path / "wav.scp")
        sources = tuple(read_scp(path / f"spk{i}.scp") for i in range(1, _count_sources(path) + 1))
    noise = read_scp(path / "noise1.scp") if (path / "noise1.scp").exists() else None
    num_samples = {key: _positive(value, path, key) for key, value in read_scp(path / "utt2num_samples").items()}
    src2spk = _read_src2spk(path, len(sources))
    utt2spk = read_scp(path / "utt2spk")
    compared = {f"spk{i}.scp": source for i, source in enumerate(sources, 1)}
    compared |= {"noise1.scp": noise, "utt2num_samples": num_samples, "src2spk": src2spk, "utt2spk": utt2spk}
    for name, mapping in compared.items():
        if mapping is not None:
            _require_same_keys(path, mixtures, name, mapping)
    _check_spk2utt(path, utt2spk)
    spk2gender = _read_spk2gender(path)
    keys = tuple(mixtures)
    data = DataDir(path, keys, mixtures, sources, noise, num_samples, src2spk, spk2gender, allow_pipes, mixes)
    if not allow_pipes and mixes is None:
        _refuse_commands(data)
    return data


def _read_mixes(path: Path, unwritten: bool) -> dict[str, Mix] | None:
    """Reads a directory's mix.csv; None when there is none."""
    if not (path / MIX_CSV).exists():
        return None
    if not unwritten:
        raise InputError(f"{path / MIX_CSV}: the mixtures of this set are not written, only stage 1 can take them")
    return read_mix_csv(path / MIX_CSV)


def _refuse_commands(data: DataDir) -> None:
    for entry in data.entries():
        for name, value in entry.signals.items():
            if is_command(value):
                raise InputError(
                    f"{data.path / name}: {entry.key}: is a command ('{value}'); "
                    "commands are run only with --allow_pipes true"
                )


def write_data_dir(
    path: str | os.PathLike,
    *,
    num_samples: Mapping[str, int],
    mixtures: Mapping[str, str] | None = None,
    sources: Sequence[Mapping[str, str]] = (),
    noise: Mapping[str, str] | None = None,
    src2spk: Mapping[str, Sequence[str]] | None = None,
    spk2gender: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Writes a data directory beside its final name and moves it there whole; one that was there is replaced.

    One with the very same files stays, so that later stages find their input unchanged.

    Args:
        path: the folder.
        num_samples: key -> samples; the others but `extra` as in `DataDir`.
        mixtures: key -> path; None when `extra` has a mix.csv instead.
        sources: of each source, key -> path.
        noise: key -> path.
        src2spk: key -> speakers.
        spk2gender: speaker -> f or m.
        extra: more files of the folder, name -> text.
    """
    path = Path(path)
    files = {"utt2num_samples": num_samples} | ({} if mixtures is None else {"wav.scp": mixtures})
    files |= {f"spk{i}.scp": source for i, source in enumerate(sources, 1)}
    files |= {name: {key: key for key in num_samples} for name in ("utt2spk", "spk2utt")}
    if noise is not None:
        files["noise1.scp"] = noise
    if src2spk is not None:
        files["src2spk"] = {key: " ".join(speakers) for key, speakers in src2spk.items()}
    if spk2gender is not None:
        files["spk2gender"] = spk2gender
    temporary = path.with_name(f".tmp.{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    for name, mapping in files.items():
        write_text(temporary / name, "".join(f"{key} {mapping[key]}\n" for key in sorted(mapping)))
    for name, text in (extra or {}).items():
        write_text(temporary / name, text)
    if _has_same_files(temporary, path):
        shutil.rmtree(temporary)
    else:
        replace_dir(temporary, path)


def _has_same_files(folder: Path, other: Path) -> bool:
    if not other.is_dir() or {file.name for file in folder.iterdir()} != {file.name for file in other.iterdir()}:
        return False
    return all(filecmp.cmp(file, other / file.name, shallow=False) for file in folder.iterdir())


def replace_dir(temporary: Path, path: Path) -> None:
    """Gives a finished folder its final name; what had the name stays until that moment."""
    recover_dir(path)
    if path.exists():
        os.replace(path, _old(path))
    os.replace(temporary, path)
    recover_dir(path)


def recover_dir(path: Path) -> None:
    """Cleans up after a `replace_dir` that was killed: the old folder comes back, or goes when the new one is there."""
    if path.exists():
        shutil.rmtree(_old(path), ignore_errors=True)
    elif _old(path).exists():
        os.replace(_old(path), path)


def _old(path: Path) -> Path:
    return path.with_name(f".tmp.old.{path.name}")


def validate_data_dir(
    path: str | os.PathLike, *, check_audio: bool = True, nj: int = 1, allow_pipes: bool = False
) -> Summary:
    """Checks a data directory: the files, and that rates and lengths agree and the sources add up to the mixture.

    Args:
        path: the folder.
        check_audio: also read every signal.
        nj: processes that read.
        allow_pipes: see `read_data_dir`.

    Raises:
        InputError: naming file, line or key of the first thing that is wrong.
    """
    data = read_data_dir(path, allow_pipes=allow_pipes, unwritten=True)
    rate = None
    if check_audio:
        rates = parallel_map(_check_mixture, data.entries(), nj=nj, title=f"validate {data.path.name}")
        for key_rate, key in zip(rates, data.keys):
            rate = rate or key_rate
            if key_rate != rate:
                raise InputError(f"{data.path}: {key} is at {key_rate} Hz, {data.keys[0]} at {rate} Hz")
    speakers = len({speaker for row in data.src2spk.values() for speaker in row}) if data.src2spk else None
    hours = sum(data.num_samples.values()) / rate / 3600 if rate else 0.0
    return Summary(len(data.keys), hours, rate, len(data.sources), speakers)


def shared_speakers(path: str | os.PathLike) -> dict[str, int]:
    """Counts the speakers that a data directory shares with others beside it: name of the other -> speakers."""
    path = Path(path)
    own = _speakers(path)
    others = {other.name: len(own & _speakers(other)) for other in sorted(path.parent.iterdir()) if other != path}
    return {name: count for name, count in others.items() if count}


def _speakers(path: Path) -> set[str]:
    if path.name.startswith(".") or not (path / "src2spk").is_file():
        return set()
    return {speaker for value in read_scp(path / "src2spk").values() for speaker in value.split()}


def read_mixture(entry: Entry) -> tuple[np.ndarray, np.ndarray, int]:
    """Reads a mixture and its sources and checks all that a data directory promises of them.

    Returns:
        the mixture float32 [T], the sources float32 [C, T] and the rate in Hz.

    Raises:
        InputError: naming the key, when a signal cannot be read, rates or lengths differ, `utt2num_samples` is wrong,
            or the signals do not add up to the mixture.
    """
    if entry.mix is not None:
        return _mix(entry, entry.mix)
    signals = {}
    rate = None
    for name in entry.signals:
        signals[name], rate = entry.read(name, sample_rate=rate)
    mixture = signals.pop("wav.scp")
    _check_length(entry, mixture)
    for name, signal in signals.items():
        if len(signal) != len(mixture):
            raise InputError(
                f"{entry.path / name}: {entry.key}: has {len(signal)} samples; the mixture has {len(mixture)}"
            )
    stacked = np.stack(list(signals.values()))
    _check_sum(entry, mixture, stacked)
    return mixture, stacked[:-1] if "noise1.scp" in signals else stacked, rate


def _mix(entry: Entry, mix: Mix) -> tuple[np.ndarray, np.ndarray, int]:
    """Gives what `read_mixture` would if the mixture were written."""
    try:
        mixture, sources = mix.read()
    except InputError as error:
        raise InputError(f"{entry.path / MIX_CSV}: {error}") from error
    _check_length(entry, mixture)
    return from_pcm16(mixture), from_pcm16(sources), mix.sample_rate


def _check_length(entry: Entry, mixture: np.ndarray) -> None:
    if len(mixture) != entry.num_samples:
        raise InputError(
            f"{entry.path / 'utt2num_samples'}: {entry.key}: says {entry.num_samples} samples; "
            f"the mixture has {len(mixture)}"
        )


def _check_mixture(entry: Entry) -> int:
    return read_mixture(entry)[2]


def _check_sum(entry: Entry, mixture: np.ndarray, signals: np.ndarray) -> None:
    """Requires |mixture - sum| of at most one 16-bit step for each addition.

    A mixture may clip where the sum would, and where a source or the noise clips nothing is known of their sum.
    """
    loudest = (FULL_SCALE - 1) / FULL_SCALE
    expected = np.clip(signals.sum(axis=0, dtype=np.float64), -1.0, loudest)
    steps = np.abs(np.clip(mixture.astype(np.float64), -1.0, loudest) - expected) * FULL_SCALE
    steps[(np.abs(signals) >= loudest).any(axis=0)] = 0
    allowed = max(len(signals) - 1, 1)
    if steps.max() > allowed + 1e-3:
        worst = int(steps.argmax())
        parts = "sources and noise" if "noise1.scp" in entry.signals else "sources"
        raise InputError(
            f"{entry.path}: {entry.key}: the {parts} do not add up to the mixture; at sample {worst} they are "
            f"{steps[worst]:.0f} 16-bit steps off, {allowed} allowed"
        )


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
        if not key or not value.strip() or key.split() != [key]:
            raise InputError(f"{path}:{number}: '{line}' is not '<key> <value>'")
        if key in found:
            raise InputError(f"{path}:{number}: the key {key} is there twice")
        if key < last:  # code points sort as their UTF-8 bytes do
            raise InputError(f"{path}:{number}: {key} comes after {last}; sort the file with LC_ALL=C sort")
        found[key] = value.strip()
        last = key
    if not found:
        raise InputError(f"{path}: is empty")
    return found


def _count_sources(path: Path) -> int:
    numbers = [i for i in range(1, 100) if (path / f"spk{i}.scp").exists()]
    if numbers != list(range(1, len(numbers) + 1)):
        missing = min(set(range(1, numbers[-1])) - set(numbers))
        raise InputError(f"{path / f'spk{missing}.scp'}: no such file, but there is spk{numbers[-1]}.scp")
    if not 1 <= len(numbers) <= MAX_SOURCES:
        raise InputError(f"{path}: spk1.scp to spk{MAX_SOURCES}.scp are looked for; found {len(numbers)} such files")
    return len(numbers)


def _positive(value: str, path: Path, key: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise InputError(f"{path / 'utt2num_samples'}: {key}: '{value}' is not a number of samples")
    return int(value)


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
    for key in mixtures:
        if key not in mapping:
            raise InputError(f"{path / name}: has no line for {key}, which is in wav.scp")
    for key in mapping:
        if key not in mixtures:
            raise InputError(f"{path / name}: has a line for {key}, which is not in wav.scp")


def _check_spk2utt(path: Path, utt2spk: Mapping[str, str]) -> None:
    expected: dict[str, list[str]] = defaultdict(list)
    for key, speaker in utt2spk.items():
        expected[speaker].append(key)
    found = {speaker: value.split() for speaker, value in read_scp(path / "spk2utt").items()}
    for speaker in sorted(expected.keys() | found.keys()):
        if expected.get(speaker) != found.get(speaker):
            raise InputError(f"{path / 'spk2utt'}: {speaker}: is not the inverse of utt2spk")
