"""Recordings of any rate, length and number of channels, read, resampled and written block by block."""

import contextlib
import numbers
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike

from mindaudio_ext.data.audio import to_pcm16
from mindaudio_ext.data.sound import open_sound
from mindaudio_ext.errors import InputError, shown
from mindaudio_ext.files import atomic_path, is_file
from mindaudio_ext.inference.written import note

LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000  # Hz
_LARGEST_WAV = 0xFFFFFFFF - 100  # bytes of samples that a plain wav's header can tell


class Recording:
    """An audio file as one signal.

    Args:
        path: the file, of any format soundfile knows.
        channel: which one to take, from 1; None for the mean of all.
        name: what errors call it; the path when None.

    Attributes:
        name: as given.
        channel: as given.
        sample_rate: Hz.
        n_channels: of the file.
        n_samples: of each channel.

    Raises:
        InputError: it is missing, no audio, empty, of no rate of sound, or has not that many channels.
    """

    def __init__(self, path: str | os.PathLike, channel: int | None = None, name: str | None = None) -> None:
        self.name = str(path) if name is None else name
        self._path, self.channel = path, channel
        if not is_file(path):
            raise InputError(f"{self.name}: {_what_is_there(path)}")
        with open_sound(path, name=self.name) as sound:
            self.sample_rate, self.n_channels, self.n_samples = sound.sample_rate, sound.n_channels, sound.n_samples
        require_channel(channel, self.n_channels, name=self.name)
        require_rate(self.sample_rate, name=self.name)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the signal, float32 [n] each, full scale 1.

        Raises:
            InputError: it is truncated, or has samples that are not finite.
        """
        n_read = 0
        with open_sound(self._path, name=self.name) as sound:
            for samples in sound.blocks():  # [n, channels]
                finite = np.isfinite(samples).all(axis=1)
                if not finite.all():
                    raise InputError(f"{self.name}: has NaN or infinity at sample {n_read + int(finite.argmin())}")
                n_read += len(samples)
                yield to_mono(samples, self.channel)


def _what_is_there(path: str | os.PathLike) -> str:
    """Returns in words why a path is no recording."""
    if os.path.isdir(path):
        return "is a folder"
    if os.path.islink(path):
        return "is a broken link"
    return "is no regular file; standard input is -" if os.path.exists(path) else "no such file"


def as_samples(audio: ArrayLike, *, name: str) -> np.ndarray:
    """Returns sound in an array as float32 of full scale 1, of the same shape.

    Args:
        audio: of one axis or two; floats of full scale 1, int8, int16 or int32.
        name: what errors call it.

    Raises:
        InputError: it has another form or type, or samples that are not finite.
    """
    try:
        audio = np.asarray(audio)
    except (TypeError, ValueError) as error:  # rows of several lengths
        raise InputError(f"{name}: is no array ({error})") from error
    if audio.ndim not in (1, 2):
        raise InputError(f"{name}: expected [T] or [T, channels] with samples, got shape {audio.shape}")
    if audio.dtype.kind == "i" and audio.dtype.itemsize <= 4:
        audio = audio / -float(np.iinfo(audio.dtype).min)
    elif audio.dtype.kind != "f":  # of int64 nobody means that full scale is 2**63
        raise InputError(f"{name}: expected floats, int8, int16 or int32, got {audio.dtype}")
    with np.errstate(over="ignore"):
        audio = audio.astype(np.float32)
    if not np.isfinite(audio).all():
        raise InputError(f"{name}: has NaN or infinity (as float32)")
    return audio


def require_rate(rate: float, *, name: str) -> None:
    """Raises InputError when a rate, in Hz, is none of sound."""
    is_number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not is_number or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        expected = f"a number of {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        raise InputError(f"{name}: the rate must be {expected}, got {shown(rate)}")


def require_channel(channel: int | None, n_channels: int, *, name: str) -> None:
    """Raises InputError when there is no such channel."""
    if channel is not None and not 1 <= channel <= n_channels:
        raise InputError(f"{name}: has {n_channels} channels; there is no channel {channel}")


def to_mono(samples: np.ndarray, channel: int | None) -> np.ndarray:
    """Returns one channel of [T, channels], counted from 1, or the mean of all: float32 [T].

    >>> to_mono(np.array([[1.0, 3.0], [2.0, 0.0]]), None).tolist(), to_mono(np.array([[1.0, 3.0]]), 2).tolist()
    ([2.0, 1.0], [3.0])
    """
    mono = samples.mean(axis=1) if channel is None else samples[:, channel - 1]
    return np.ascontiguousarray(mono, np.float32)


def resampled(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resamples a signal block by block; the result does not depend on the blocks.

    Args:
        blocks: float32 [n], or [n, C].
        from_rate: Hz.
        to_rate: Hz.

    Yields:
        The same at `to_rate`. Its length may be a sample off what the rates say.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    stream, empty = None, None
    for block in blocks:
        if stream is None:
            n_channels = 1 if block.ndim == 1 else block.shape[1]
            stream, empty = soxr.ResampleStream(from_rate, to_rate, n_channels, dtype="float32"), block[:0]
        yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
    if stream is not None:
        yield stream.resample_chunk(np.ascontiguousarray(empty, np.float32), last=True)


def of_length(blocks: Iterable[np.ndarray], n_samples: int) -> Iterator[np.ndarray]:
    """Cuts blocks [n, C] to `n_samples` in all, or adds zeros to the last."""
    for block in blocks:
        yield block[:n_samples]
        n_samples -= min(n_samples, len(block))
    if n_samples:
        yield np.zeros((n_samples, *block.shape[1:]), np.float32)


def write_wavs(paths: Sequence[Path], blocks: Iterable[np.ndarray], *, sample_rate: int, n_samples: int) -> None:
    """Writes one 16-bit wav for each column of the blocks, each whole or not at all, and notes that they are ours.

    Args:
        paths: C files.
        blocks: [n, C], within full scale.
        sample_rate: Hz.
        n_samples: of all blocks together; beyond 4 GB the format is RF64.

    Raises:
        OSError: they cannot be written.
    """
    options = {"samplerate": sample_rate, "channels": 1, "subtype": "PCM_16"}
    options["format"] = "WAV" if 2 * n_samples < _LARGEST_WAV else "RF64"
    with contextlib.ExitStack() as stack:
        temporaries = [stack.enter_context(atomic_path(path)) for path in paths]
        try:
            with contextlib.ExitStack() as opened:
                files = [
                    opened.enter_context(soundfile.SoundFile(os.fsencode(path), "w", **options)) for path in temporaries
                ]
                for block in blocks:
                    for file, samples in zip(files, block.T):
                        file.write(to_pcm16(samples))
        except (soundfile.SoundFileError, AssertionError) as error:  # AssertionError: fewer samples than given
            raise OSError(f"{paths[0]}: cannot be written; is the disk full?") from error
        if any(path.stat().st_size < 2 * n_samples for path in temporaries):
            raise OSError(f"{paths[0]}: cannot be written; is the disk full?")
        note(paths, temporaries)
