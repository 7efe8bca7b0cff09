"""Wav, flac and Kaldi archives in, 16-bit wav out. Everything is mono."""

import io
import os
import re
import shlex
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import kaldiio
import numpy as np
import soundfile

from mindaudio_ext.data.containers import wav_parts
from mindaudio_ext.data.parts import TRUNCATED, Source
from mindaudio_ext.data.sound import Sound, open_sound
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path, is_file

FULL_SCALE = 32768  # a 16-bit sample of value v is the float v / 32768
WAV_HEADER = 44  # bytes, of the wavs that `write_wav` makes

_ARCHIVE = re.compile(r":([0-9]{1,18})(\[[^]]*\])?$")  # what follows the file's name in "file.ark:1234"
_SECONDS = r"(-?[0-9]{1,18}(?:\.[0-9]{1,30})?(?:e[+-]?[0-9]{1,2})?)"
# What `part_of` appends: the line break keeps it apart from whatever a file may be called in a scp file.
_PART = re.compile(rf"\n{_SECONDS} {_SECONDS}\Z")
_OVERSHOOT = 0.5  # seconds: as much a segment may end behind its recording; Kaldi's
_SOUND = (b"RIFF", b"fLaC", b"AUDI")  # what sound in an archive begins with; kaldiio would also run what is pickled


def read_audio(path: str | os.PathLike, *, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Reads a mono file of any format; returns samples, float32 [T] with full scale 1, and the rate, Hz.

    Args:
        path: the file.
        sample_rate: the rate it must have, Hz. None takes any.

    Raises:
        InputError: naming the file, when it is missing, not audio, truncated, empty, of more than one channel, of
            another rate, or has samples that are not finite.
    """
    with open_sound(path) as sound:
        return _mono(sound, sample_rate), sound.sample_rate


def is_command(value: str) -> bool:
    """Tells whether a value of a Kaldi scp file is a command whose output is read: `flac -dc x.flac |`."""
    return _PART.sub("", value).rstrip().endswith("|")


def part_of(value: str, start: float, end: float) -> str:
    r"""Returns the value of a Kaldi scp file that stands for a part of another value, as a line of `segments` does.

    >>> part_of("meeting.wav", 1.5, -1)
    'meeting.wav\n1.5 -1'

    Args:
        value: of a scp file.
        start: seconds.
        end: seconds; -1 is the recording's end.
    """
    return f"{value}\n{start!r} {end!r}"


def files_of(value: str) -> list[str]:
    """Lists the files that a value of a Kaldi scp file reads; of a command, its words that are files.

    >>> files_of("wav.ark:123")
    ['wav.ark']
    """
    value = _PART.sub("", value)
    if is_command(value):
        try:
            words = shlex.split(value)
        except ValueError:  # a quotation mark without its partner
            words = value.split()
        return [word for word in words if os.path.isfile(word)]
    return [_ARCHIVE.sub("", value)]


def read_signal(
    value: str, *, name: str, sample_rate: int | None = None, allow_pipes: bool = False
) -> tuple[np.ndarray, int]:
    """Reads what a line of a Kaldi scp file points to: a path, a place in an archive, or what a command prints.

    Args:
        value: the line without its key: `x.wav`, `wav.ark:123` or `flac -dc x.flac |`; or a `part_of` one.
        name: says in errors what was read, such as the file and the key.
        sample_rate: the rate it must have, Hz. None takes any.
        allow_pipes: run commands. They are refused by default, because they do whatever the file says.

    Returns:
        samples float32 [T] and the rate in Hz.

    Raises:
        InputError: beginning with `name`.
    """
    part = _PART.search(value)
    try:
        if part is None:
            return _read_value(value, sample_rate, allow_pipes)
        whole = value[: part.start()]
        states = tuple((status.st_size, status.st_mtime_ns) for status in map(os.stat, files_of(whole)))
        samples, rate = _read_recording(whole, sample_rate, allow_pipes, states)
        start, end = _bounds(part, rate, len(samples))
        return samples[start:end].copy(), rate
    except (InputError, FileNotFoundError) as error:
        reason = f"{error.filename}: no such file" if isinstance(error, FileNotFoundError) else error
        raise InputError(f"{name}: {reason}") from error


def count_samples(value: str, *, name: str, allow_pipes: bool = False) -> int:
    """Returns how many samples `read_signal` would; of files, by what is told without decoding."""
    part = _PART.search(value)
    path = _PART.sub("", value)
    if is_command(path) or _ARCHIVE.search(path):
        return len(read_signal(value, name=name, allow_pipes=allow_pipes)[0])
    try:
        with open_sound(path) as sound:
            start, end = (0, sound.n_samples) if part is None else _bounds(part, sound.sample_rate, sound.n_samples)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return end - start


def _bounds(part: re.Match, rate: int, n_samples: int) -> tuple[int, int]:
    """Returns the first sample of a part and the one after its last, rounded down as Kaldi's extract-segments does."""
    start = int(float(part[1]) * rate)
    end = n_samples if float(part[2]) == -1 else int(float(part[2]) * rate)
    if end >= n_samples + int(_OVERSHOOT * rate) or start >= min(end, n_samples):
        raise InputError(f"its segment of {part[1]} to {part[2]} s is not in the recording of {n_samples / rate:.2f} s")
    return start, min(end, n_samples)


@lru_cache(maxsize=4)  # segments of a recording follow one another: its mixture, sources and noise are read once
def _read_recording(
    value: str, sample_rate: int | None, allow_pipes: bool, states: tuple[tuple[int, int], ...]
) -> tuple[np.ndarray, int]:
    """Reads a value as long as the files it reads stay in the states they are in."""
    return _read_value(value, sample_rate, allow_pipes)


def _read_value(value: str, sample_rate: int | None, allow_pipes: bool) -> tuple[np.ndarray, int]:
    if is_command(value):
        if not allow_pipes:
            raise InputError(f"is a command ('{value}'); commands are run only with --allow_pipes true")
        return _read_command(value.rstrip()[:-1].strip(), sample_rate)
    if _ARCHIVE.search(value):
        return _read_archive(value, sample_rate)
    return read_audio(value, sample_rate=sample_rate)


def _read_command(command: str, sample_rate: int | None) -> tuple[np.ndarray, int]:
    """Reads what a command prints; kaldiio takes whatever came before the command failed."""
    ended = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if ended.returncode != 0:
        lines = ended.stderr.decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise InputError(f"'{command}' ended with status {ended.returncode} ({said})")
    sound = Sound(io.BytesIO(ended.stdout), name=f"'{command}'")
    return _mono(sound, sample_rate), sound.sample_rate


def _read_archive(value: str, sample_rate: int | None) -> tuple[np.ndarray, int]:
    """Reads sound at an offset of an archive."""
    place = _ARCHIVE.search(value)
    assert place is not None, "the caller has looked"
    path, offset = value[: place.start()], int(place[1])
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    if offset >= os.path.getsize(path):  # some file systems refuse to go far beyond the end
        raise InputError(f"'{value}' is not sound: {path} has {os.path.getsize(path)} bytes")
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(4) not in _SOUND:
            raise InputError(f"'{value}' is not sound: RIFF, flac or kaldiio's AUDIO is expected at byte {offset}")
        try:
            _require_whole(file, offset)
        except InputError as error:
            raise InputError(f"'{value}' {error}") from error
    try:
        rate, samples = kaldiio.load_mat(value)
    except Exception as error:  # kaldiio raises whatever its parser stumbles on
        raise InputError(f"cannot read '{value}' ({type(error).__name__}: {error})") from error
    if samples.ndim != 1:
        raise InputError(f"'{value}' has {samples.shape[-1]} channels; one is expected, choose or mix them first")
    if samples.dtype == np.uint8:  # 8-bit wav has its zero in the middle
        samples = samples.astype(np.int16) * 256 + np.iinfo(np.int16).min
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    return _checked(samples.astype(np.float32), rate, name=f"'{value}'", sample_rate=sample_rate), rate


def _mono(sound: Sound, sample_rate: int | None) -> np.ndarray:
    """Reads sound of one channel, whole: [T]."""
    if sound.n_channels != 1:
        raise InputError(f"{sound.name}: has {sound.n_channels} channels; one is expected, choose or mix them first")
    return _checked(sound.read()[:, 0], sound.sample_rate, name=sound.name, sample_rate=sample_rate)


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """Quantises floats of full scale 1 to int16 as soundfile does: down to the next step, saturating.

    soundfile rounds to 32 bits and drops the lower half, so a value within 2**-17 of a step below it counts as on it.

    >>> to_pcm16(np.array([0.0, 0.5, -1e-4, 1.5, -1.5])).tolist()
    [0, 16384, -4, 32767, -32768]
    """
    scaled = np.rint(np.asarray(samples, np.float64) * 2.0**31)
    return (np.clip(scaled, -(2.0**31), 2.0**31 - 1).astype(np.int64) >> 16).astype(np.int16)


def from_pcm16(samples: np.ndarray) -> np.ndarray:
    """Returns the float32 values of int16 samples, full scale 1; exact.

    >>> from_pcm16(np.array([16384, -32768], np.int16)).tolist()
    [0.5, -1.0]
    """
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def write_wav(path: str | os.PathLike, samples: np.ndarray, sample_rate: int) -> None:
    """Writes [T] as 16-bit audio, atomically; wav, or what the name's ending says.

    Args:
        path: the file; its folder is made when missing.
        samples: int16, or floats of full scale 1, which are quantised by `to_pcm16`.
        sample_rate: Hz.
    """
    if samples.dtype != np.int16:
        samples = to_pcm16(samples)
    # Through memory: libsndfile says nothing useful of a full disk, and waits for the disk at every file.
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format=Path(path).suffix[1:], subtype="PCM_16")
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def is_whole_wav(path: str | os.PathLike, n_samples: int) -> bool:
    """Tells whether a file is there that has the size of the wav that `write_wav` makes of `n_samples`."""
    path = Path(path)
    return path.is_file() and path.stat().st_size == WAV_HEADER + 2 * n_samples


def _checked(samples: np.ndarray, rate: int, *, name: str, sample_rate: int | None) -> np.ndarray:
    """Returns back the samples when there are some, all finite and of the wanted rate."""
    if sample_rate is not None and rate != sample_rate:
        raise InputError(f"{name}: is at {rate} Hz; {sample_rate} Hz is expected")
    if len(samples) == 0:
        raise InputError(f"{name}: is empty")
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: has NaN or infinity at sample {int(np.argmin(np.isfinite(samples)))}")
    return samples


def _require_whole(file: BinaryIO, offset: int) -> None:
    """Raises InputError when a wav or kaldiio's AUDIO in an archive ends before its header says."""
    file.seek(offset)
    header = file.read(6)
    if header[:4] == b"RIFF":
        wav_parts(Source(file), offset)
    elif header[:5] == b"AUDIO":
        length = int.from_bytes(file.read(header[5]), "little")
        if file.tell() + length > file.seek(0, os.SEEK_END):
            raise InputError(TRUNCATED)
