"""Sound in a file, decoded to its true end."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soundfile

from mindaudio_ext.data.containers import aiff_parts, au_parts, caf_parts, ogg_parts, w64_parts, wav_parts
from mindaudio_ext.data.flac import flac_parts
from mindaudio_ext.data.mpeg import begins_like_mpeg, mpeg_parts, skip_tags
from mindaudio_ext.data.parts import TRUNCATED, Part, Source, View
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import is_file

BLOCK = 1 << 16  # samples of all channels together that are read at once
_ENDLESS = 1 << 62  # samples: libsndfile's word for not knowing
_READERS: dict[bytes, Callable[[Source, int], list[Part]]] = {
    b"RIFF": wav_parts,
    b"RIFX": wav_parts,
    b"RF64": wav_parts,
    b"riff": w64_parts,
    b"FORM": aiff_parts,
    b".snd": au_parts,
    b"caff": caf_parts,
    b"OggS": ogg_parts,
    b"fLaC": flac_parts,
}


class _Forward(soundfile.SoundFile):
    """A sound file that is read forward only: soundfile seeks after each block, and then MP3 is decoded wrongly."""

    def seekable(self) -> bool:
        """Returns False."""
        return False


class Sound:
    """The sound of a file; of several sounds in a row, all of them.

    Args:
        file: the whole file, of any format soundfile knows; it is kept, not closed.
        name: begins what errors say.

    Attributes:
        name: as given.
        sample_rate: Hz.
        n_channels: of the file.
        n_samples: of each channel.

    Raises:
        InputError: it is no audio, empty, was cut, or is a chain of sounds of several rates or numbers of channels.
    """

    def __init__(self, file: BinaryIO, *, name: str) -> None:
        self._file, self.name = file, name
        try:
            self._parts = _parts_of(file)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        forms, self._lengths = [], []
        for part in self._parts:
            with self._open(part) as opened:
                forms.append((opened.samplerate, opened.channels))
                length = opened.frames if part.n_samples is None else part.n_samples
            self._lengths.append(sum(map(len, self._blocks_of(part, length))) if length >= _ENDLESS else length)
        self.sample_rate, self.n_channels = forms[0]
        self.n_samples = sum(self._lengths)
        for part, (rate, n_channels) in zip(self._parts, forms):
            if (rate, n_channels) != forms[0]:
                raise InputError(
                    f"{name}: is several files in a row, which differ: {forms[0][0]} Hz and {forms[0][1]} channel(s), "
                    f"from byte {part.start} on {rate} Hz and {n_channels}; cut it there"
                )
        if self.n_samples == 0:
            raise InputError(f"{name}: is empty")

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the samples, float32 [n, channels] each, full scale 1.

        Raises:
            InputError: it has fewer samples than `n_samples`, or cannot be decoded.
        """
        for part, length in zip(self._parts, self._lengths):
            n_read = 0
            for samples in self._blocks_of(part, length):
                n_read += len(samples)
                yield samples
            if n_read < length:
                raise InputError(f"{self.name}: {TRUNCATED}")

    def read(self) -> np.ndarray:
        """Returns all samples, float32 [T, channels], full scale 1; raises as `blocks` does."""
        blocks = list(self.blocks())
        return np.concatenate(blocks) if blocks else np.zeros((0, self.n_channels), np.float32)

    def _blocks_of(self, part: Part, length: int) -> Iterator[np.ndarray]:
        """Yields up to `length` samples; what stands behind them need not be sound."""
        with self._open(part) as opened:
            most = max(1, BLOCK // opened.channels)
            try:
                while length and len(samples := opened.read(min(most, length), dtype="float32", always_2d=True)):
                    length -= len(samples)
                    yield samples
            except soundfile.SoundFileError as error:
                raise InputError(f"{self.name}: is damaged or truncated ({_reason(error)})") from error

    def _open(self, part: Part) -> soundfile.SoundFile:
        try:
            return _Forward(io.BufferedReader(View(self._file, part)))
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: it is taken for audio without a header
            raise InputError(f"{self.name}: cannot be read as audio ({_reason(error)})") from error


@contextmanager
def open_sound(path: str | os.PathLike, *, name: str | None = None) -> Iterator[Sound]:
    """Opens a file of sound.

    Args:
        path: the file.
        name: begins what errors say; the path when None.

    Raises:
        InputError: there is no such file, or as `Sound` says.
    """
    name = str(path) if name is None else name
    if not is_file(path):
        raise InputError(f"{name}: {'is a folder' if os.path.isdir(path) else 'no such file'}")
    if os.path.getsize(path) == 0:
        raise InputError(f"{name}: is empty")
    with open(path, "rb") as file:
        yield Sound(file, name=name)


def _parts_of(file: BinaryIO) -> list[Part]:
    """Lists the sounds that a file is a chain of; a file of an unknown kind is one, which is left to libsndfile."""
    source = Source(file)
    start = skip_tags(source, 0, source.size)
    if read := _READERS.get(source.at(start, 4)):
        return read(source, start) or [Part(0, source.size)]
    # Of a chain, libsndfile's decoder prints that its length is wrong; so it is not asked without need.
    is_mpeg = begins_like_mpeg(source, start) or _may_be_mpeg(file)
    parts = mpeg_parts(source, start, source.size) if is_mpeg else []
    return parts or [Part(0, source.size)]


def _may_be_mpeg(file: BinaryIO) -> bool:
    """Tells whether libsndfile takes a file for MPEG audio, or for nothing: samples of other kinds can look like it."""
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as opened:
            return opened.format == "MP3"
    except (soundfile.SoundFileError, TypeError):
        return True
    finally:
        file.seek(0)


def _reason(error: Exception) -> str:
    """Returns libsndfile's words; the whole text has the address of a buffer."""
    return getattr(error, "error_string", str(error)).strip() or "unknown format"
