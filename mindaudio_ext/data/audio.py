"""Wav, flac and Kaldi archives in, 16-bit wav out. Everything is mono."""

import io
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import BinaryIO

import kaldiio
import numpy as np
import soundfile

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path

FULL_SCALE = 32768  # a 16-bit sample of value v is the float v / 32768

_ARCHIVE = re.compile(r":(\d+)(\[[^]]*\])?$")  # what follows the file's name in "file.ark:1234"
_SOUND = (b"RIFF", b"fLaC", b"AUDI")  # what sound in an archive begins with; kaldiio would also run what is pickled
_UNKNOWN_SIZES = (0x7FFFF000, 0xFFFFF000)  # a pipe's writer cannot know the length: it puts up to 4095 more than these


def read_wav(path: str | os.PathLike, *, sample_rate: int | None = None) -> np.ndarray:
    """Reads a mono file of any format soundfile knows, as float32 [T] with full scale 1.

    Args:
        path: the file.
        sample_rate: the rate it must have, Hz. None takes any.

    Raises:
        InputError: naming the file, when it is missing, not audio, truncated, empty, of more than one channel, of
            another rate, or has samples that are not finite.
    """
    return read_audio(path, sample_rate=sample_rate)[0]


def read_audio(path: str | os.PathLike, *, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Reads as `read_wav` does; gives samples float32 [T] and the rate in Hz."""
    if not os.path.isfile(path):
        raise InputError(f"{path}: {'is a folder' if os.path.isdir(path) else 'no such file'}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: is empty")
    with open(path, "rb") as file:
        return _decode(file, name=str(path), sample_rate=sample_rate)


def is_command(value: str) -> bool:
    """Tells whether a value of a Kaldi scp file is a command whose output is read: `flac -dc x.flac |`."""
    return value.rstrip().endswith("|")


def files_of(value: str) -> list[str]:
    """Lists the files that a value of a Kaldi scp file reads; of a command, its words that are files.

    >>> files_of("wav.ark:123")
    ['wav.ark']
    """
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
        value: the line without its key: `x.wav`, `wav.ark:123` or `flac -dc x.flac |`.
        name: says in errors what was read, such as the file and the key.
        sample_rate: the rate it must have, Hz. None takes any.
        allow_pipes: run commands. They are refused by default, because they do whatever the file says.

    Returns:
        samples float32 [T] and the rate in Hz.

    Raises:
        InputError: beginning with `name`.
    """
    try:
        if is_command(value):
            if not allow_pipes:
                raise InputError(f"is a command ('{value}'); commands are run only with --allow_pipes true")
            return _read_command(value.rstrip()[:-1].strip(), sample_rate)
        if _ARCHIVE.search(value):
            return _read_archive(value, sample_rate)
        return read_audio(value, sample_rate=sample_rate)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _read_command(command: str, sample_rate: int | None) -> tuple[np.ndarray, int]:
    """Reads what a command prints; kaldiio takes whatever came before the command failed."""
    ended = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        raise InputError(f"'{command}' ended with status {ended.returncode} ({said})")
    return _decode(io.BytesIO(ended.stdout), name=f"'{command}'", sample_rate=sample_rate)


def _read_archive(value: str, sample_rate: int | None) -> tuple[np.ndarray, int]:
    """Reads sound at an offset of an archive."""
    place = _ARCHIVE.search(value)
    path, offset = value[: place.start()], int(place[1])
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(4) not in _SOUND:
            raise InputError(f"'{value}' is not sound: RIFF, flac or kaldiio's AUDIO is expected at byte {offset}")
        file.seek(offset)
        if is_truncated(file):
            raise InputError(f"'{value}' is truncated; its header promises more samples than it has")
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


def _decode(source: BinaryIO, *, name: str, sample_rate: int | None) -> tuple[np.ndarray, int]:
    """Reads mono sound, whole; `name` begins what is said of it."""
    truncated = is_truncated(source)
    source.seek(0)
    try:
        with soundfile.SoundFile(source) as file:
            if file.channels != 1:
                raise InputError(f"{name}: has {file.channels} channels; one is expected, choose or mix them first")
            rate, expected = file.samplerate, file.frames
            samples = file.read(dtype="float32")
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: it is taken for audio without a header
        reason = getattr(error, "error_string", error)  # the whole text has the address of a buffer
        raise InputError(f"{name}: cannot be read as audio ({reason})") from error
    if len(samples) < expected or truncated:
        raise InputError(f"{name}: is truncated; its header promises more samples than it has")
    return _checked(samples, rate, name=name, sample_rate=sample_rate), rate


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """Quantises floats of full scale 1 to int16 as soundfile does: down to the next step, saturating.

    soundfile rounds to 32 bits and drops the lower half, so a value within 2**-17 of a step below it counts as on it.

    >>> to_pcm16(np.array([0.0, 0.5, -1e-4, 1.5, -1.5])).tolist()
    [0, 16384, -4, 32767, -32768]
    """
    scaled = np.rint(np.asarray(samples, np.float64) * 2.0**31)
    return (np.clip(scaled, -(2.0**31), 2.0**31 - 1).astype(np.int64) >> 16).astype(np.int16)


def from_pcm16(samples: np.ndarray) -> np.ndarray:
    """Gives the float32 values of int16 samples, full scale 1; exact.

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


def _checked(samples: np.ndarray, rate: int, *, name: str, sample_rate: int | None) -> np.ndarray:
    """Gives back the samples when there are some, all finite and of the wanted rate."""
    if sample_rate is not None and rate != sample_rate:
        raise InputError(f"{name}: is at {rate} Hz; {sample_rate} Hz is expected")
    if len(samples) == 0:
        raise InputError(f"{name}: is empty")
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: has NaN or infinity at sample {int(np.argmin(np.isfinite(samples)))}")
    return samples


def is_truncated(file: BinaryIO) -> bool:
    """Tells whether sound that begins here ends before its header says; libsndfile and kaldiio read on without a word.

    Known of RIFF and RF64 wav, W64, AIFF and AU, and of kaldiio's AUDIO, which is a sound of any format behind its
    length.
    """
    start = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    header = file.read(32)
    if header[:5] == b"AUDIO":
        width = header[5]
        return start + 6 + width + int.from_bytes(header[6 : 6 + width], "little") > size
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        length = _length_in_header(header)
        return not _is_unknown(length) and start + length > size
    file.seek(start + 12)
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return not _is_unknown(length) and file.tell() + length > size
        file.seek(length + length % 2, os.SEEK_CUR)
    return True


def _length_in_header(header: bytes) -> int:
    """Gives how long a file is by its first 32 bytes; 0 when they do not say."""
    if header[:4] == b"RF64":
        return int.from_bytes(header[20:28], "little") + 8
    if header[:4] == b"riff":  # W64
        return int.from_bytes(header[16:24], "little")
    if header[:4] == b"FORM":
        return int.from_bytes(header[4:8], "big") + 8
    if header[:4] == b".snd":
        sound = int.from_bytes(header[8:12], "big")
        return 0 if _is_unknown(sound) else int.from_bytes(header[4:8], "big") + sound
    return 0


def _is_unknown(length: int) -> bool:
    return any(unknown <= length < unknown + 4096 for unknown in _UNKNOWN_SIZES) or length >= 1 << 63
