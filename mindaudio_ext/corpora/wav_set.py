"""What sets made of single-speaker speech share: their stamp, the folder of their wavs, their data directory."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from mindaudio_ext.corpora.librispeech import Utterance
from mindaudio_ext.data.audio import is_whole_wav, read_audio
from mindaudio_ext.data.kaldi_dir import DataDir, read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import MIXTURES_STAMP, data_folder
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.keys import MAX_SOURCES, file_name, require_name
from mindaudio_ext.output_folder import OutputFolder

_TAKEN = ("wav", "corpus", "check")  # folders beside the data directories


def check_set(set_name: str, num_spks: int) -> None:
    """Raises InputError when a set cannot have this name, or its mixtures so many sources."""
    require_name(set_name, "set")
    if set_name in _TAKEN:
        raise InputError(f"'{set_name}' cannot be the name of a set")
    if not 2 <= num_spks <= MAX_SOURCES:
        raise InputError(f"num_spks: 2 to {MAX_SOURCES} sources can be mixed; got {num_spks}")


def stamp_of(utterances: Sequence[Utterance], parameters: Mapping[str, object]) -> str:
    """Says what a set was made from: the parameters, and a digest of the corpus's names and sizes."""
    digest = hashlib.sha256()
    for utterance in utterances:
        digest.update(f"{utterance.key} {utterance.speaker} {os.path.getsize(utterance.path)}\n".encode())
    return json.dumps({**parameters, "utterances": digest.hexdigest()}) + "\n"


def digest_of(files: Sequence[str]) -> str:
    """Returns a digest of files' names and sizes; the same wherever their folder is."""
    above = os.path.commonpath([os.path.dirname(file) for file in files]) if files else ""
    lines = [f"{os.path.relpath(file, above)} {os.path.getsize(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def signal_names(num_spks: int) -> list[str]:
    """Names the folders of a set's wavs: the mixture's, then the sources'."""
    return ["mix", *(f"s{number}" for number in range(1, num_spks + 1))]


def wav_paths(wavs: Path, names: Sequence[str], key: str) -> list[Path]:
    """Returns the files of a key's signals."""
    return [wavs / name / f"{file_name(key)}.wav" for name in names]


def is_finished(data_dir: Path, wavs: Path, stamp: str) -> bool:
    """Tells whether the set was made with this stamp and every wav is there in its full size."""
    if any(text_of(folder / MIXTURES_STAMP) != stamp for folder in (data_dir, wavs)):
        return False
    made = read_data_dir(data_dir)
    return all(is_whole_wav(path, made.num_samples[key]) and wavs in Path(path).parents for key, path in _files(made))


def prepare(data_dir: Path, wavs: Path, stamp: str) -> None:
    """Removes wavs that were made with another stamp; refuses to touch what this command did not make."""
    if text_of(data_dir / MIXTURES_STAMP) == stamp:
        data_folder(data_dir).require_ours()
    else:
        data_folder(data_dir).require_replaceable()
    folder = wav_folder(data_dir, wavs)
    if text_of(wavs / MIXTURES_STAMP) != stamp:
        folder.remove()
    folder.require_ours()
    write_text(wavs / MIXTURES_STAMP, stamp)


def wav_folder(data_dir: Path, wavs: Path) -> OutputFolder:
    """Returns the folder of a set's wavs; before there were marks it had a stamp, and the set listed them."""

    def before_marks(folder: Path) -> list[str] | None:
        stamp = text_of(folder / MIXTURES_STAMP)
        if stamp is None or stamp != text_of(data_dir / MIXTURES_STAMP):
            return None if stamp is None else [MIXTURES_STAMP]
        listed = _files(read_data_dir(data_dir))
        return [MIXTURES_STAMP, *(os.path.relpath(path, folder) for _, path in listed)]

    return OutputFolder(wavs, "folder of mixtures", before_marks)


def _files(made: DataDir) -> list[tuple[str, str]]:
    """Lists key and file of every signal of a set."""
    return [pair for scp in (made.mixtures, *made.sources, made.noise or {}) for pair in scp.items()]


def sexes_of(speakers: Sequence[str], sexes: Mapping[str, str]) -> dict[str, str] | None:
    """Returns speaker -> f or m, as a data directory has it; None when one of them is not known."""
    known = {speaker: sex for speaker in speakers if (sex := sexes.get(speaker))}
    return known if len(known) == len(speakers) else None


def read_at(path: str, sample_rate: int) -> np.ndarray:
    """Reads float [T] and resamples it to the rate."""
    samples, rate = read_audio(path)
    return samples if rate == sample_rate else resample_poly(samples, sample_rate, rate)


def text_of(path: Path) -> str | None:
    """Returns what a file says; None when there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
