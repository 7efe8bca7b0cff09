"""A set folder of LibriMix (`mix_clean/`, `s1/`, `s2/`, ...) as a data directory."""

import os
from pathlib import Path

from mindaudio_ext.data.kaldi_dir import CORPUS
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.sound import open_sound
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import listed

MIXTURES = ("mix_clean", "mix_both")  # without and with noise


def mixture_folder(folder: str | os.PathLike) -> Path | None:
    """Returns the folder of a LibriMix set's mixtures, without noise if there are both; None if it is no such set."""
    return next((Path(folder) / name for name in MIXTURES if (Path(folder) / name).is_dir()), None)


def make_librimix_data(folder: str | os.PathLike, path: str | os.PathLike, *, num_spks: int) -> None:
    """Writes a data directory of the mixtures and sources of a LibriMix set; keys are the files' names without `.wav`.

    Args:
        folder: has `mix_clean/` or `mix_both/`, and `s1/`, `s2/`, ..., with files of the same names.
        path: the data directory.
        num_spks: sources.

    Raises:
        InputError: there is no mixture, or a mixture lacks a source.
    """
    mixtures = mixture_folder(folder)
    if mixtures is None:
        raise InputError(f"{folder}: has neither mix_clean/ nor mix_both/")
    folders = [mixtures, *(Path(folder) / f"s{source}" for source in range(1, num_spks + 1))]
    names = sorted(file.stem for file in listed(mixtures, "*.wav"))
    if not names:
        raise InputError(f"{mixtures}: has no .wav file")
    signals = [{name: str(_existing(each / f"{name}.wav")) for name in names} for each in folders]
    write_data_dir(
        path,
        mixtures=signals[0],
        sources=signals[1:],
        num_samples={name: _num_samples(file) for name, file in signals[0].items()},
        extra={CORPUS: f"{Path(folder).resolve().name}, a set in LibriMix's layout, {mixtures.name}\n"},
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file, but there is a mixture of this name")
    return path.resolve()


def _num_samples(file: str) -> int:
    with open_sound(file) as sound:
        return sound.n_samples
