"""Wav, flac and Kaldi archives in, 16-bit wav out. Everything is mono."""

import os
import re
from pathlib import Path

import kaldiio
import numpy as np
import soundfile

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path

FULL_SCALE = 32768  # a 16-bit sample of value v is the float v / 32768

_ARCHIVE = re.compile(r":\d+(\[[^]]*\])?$")  # what follows the file's name in "file.ark:1234"
_UNKNOWN_SIZE = 0x7FFFF000  # writers to a pipe cannot know the length and put this or more into the header


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
    try:
        with soundfile.SoundFile(path) as file:
            if file.channels != 1:
                raise InputError(f"{path}: has {file.channels} channels; one is expected, choose or mix them first")
            rate, expected = file.samplerate, file.frames
            samples = file.read(dtype="float32")
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: it is taken for audio without a header
        raise InputError(f"{path}: cannot be read as audio ({error})") from error
    if len(samples) < expected or _is_truncated_wav(path):
        raise InputError(f"{path}: is truncated; its header promises more samples than it has")
    return _checked(samples, rate, name=str(path), sample_rate=sample_rate), rate


def read_signal(
    value: str, *, name: str, sample_rate: int | None = None, allow_pipes: bool = False
) -> tuple[np.ndarray, int]:
    """Reads what a line of a Kaldi scp file points to: a path or a place in an archive, `file.ark:offset`.

    Args:
        value: the line without its key.
        name: says in errors what was read, such as the file and the key.
        sample_rate: the rate it must have, Hz. None takes any.
        allow_pipes: run `command |` lines. They are refused by default, because they run whatever the file says.

    Returns:
        samples float32 [T] and the rate in Hz.
    """
    if value.rstrip().endswith("|"):
        if not allow_pipes:
            raise InputError(f"{name}: is a command ('{value}'); write its output to a wav file and list that")
    elif not _ARCHIVE.search(value):
        try:
            return read_audio(value, sample_rate=sample_rate)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    try:
        loaded = kaldiio.load_mat(value)
    except Exception as error:  # kaldiio raises whatever its parser stumbles on
        raise InputError(f"{name}: cannot read '{value}' ({type(error).__name__}: {error})") from error
    if not (isinstance(loaded, tuple) and isinstance(loaded[0], int)):
        raise InputError(f"{name}: '{value}' is a matrix without a sample rate; audio is expected")
    rate, samples = loaded
    if samples.ndim != 1:
        raise InputError(f"{name}: has {samples.shape[-1]} channels; one is expected, choose or mix them first")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    return _checked(samples.astype(np.float32), rate, name=name, sample_rate=sample_rate), rate


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
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, sample_rate, subtype="PCM_16")


def _checked(samples: np.ndarray, rate: int, *, name: str, sample_rate: int | None) -> np.ndarray:
    """Gives back the samples when there are some, all finite and of the wanted rate."""
    if sample_rate is not None and rate != sample_rate:
        raise InputError(f"{name}: is at {rate} Hz; {sample_rate} Hz is expected")
    if len(samples) == 0:
        raise InputError(f"{name}: is empty")
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: has NaN or infinity at sample {int(np.argmin(np.isfinite(samples)))}")
    return samples


def _is_truncated_wav(path: str | os.PathLike) -> bool:
    """Tells whether a RIFF wav ends before its data chunk does; libsndfile reads such a file without a word."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        header = file.read(12)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return False
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return length < _UNKNOWN_SIZE and file.tell() + length > size
            file.seek(length + length % 2, os.SEEK_CUR)
    return True
