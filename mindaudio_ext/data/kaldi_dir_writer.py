"""Data directories written whole: one that has the same files stays, one that a command made is replaced."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mindaudio_ext.data.kaldi_dir import CORPUS, NUM_SAMPLES
from mindaudio_ext.data.mix_csv import MIX_CSV
from mindaudio_ext.files import parse_json, write_text
from mindaudio_ext.keys import MAX_SOURCES, require_key
from mindaudio_ext.output_folder import OutputFolder

MIXTURES_STAMP = ".mixtures.json"  # what mixture.py made a set from
WINDOW_COUNTS = "windows.json"  # what windows.py made a set of
_KEYS_OF_OURS = {
    MIXTURES_STAMP: {"set_name", "n_mixtures", "num_spks", "sample_rate", "seed", "format", "utterances"},
    WINDOW_COUNTS: {"num_utts", "num_used", "num_windows", "num_silent"},
}
DATA_FILES = (
    *("wav.scp", "noise1.scp", *(f"spk{number}.scp" for number in range(1, MAX_SOURCES + 1))),
    *("utt2num_samples", "utt2spk", "spk2utt", "src2spk", "spk2gender"),
    *(CORPUS, MIX_CSV, MIXTURES_STAMP, WINDOW_COUNTS),
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
    """Writes a data directory beside its final name and moves it there whole; one that a command made is replaced.

    One with the very same files stays, whatever the user added, so that later stages find their input unchanged.

    Args:
        path: the folder.
        num_samples: key -> samples; the others but `extra` as in `DataDir`.
        mixtures: key -> path; None when `extra` has a mix.csv instead.
        sources: of each source, key -> path.
        noise: key -> path.
        src2spk: key -> speakers.
        spk2gender: speaker -> f or m.
        extra: more files of the folder, name -> text.

    Raises:
        InputError: what is there has other content and was not made by a command, or was changed or added to since;
            or a key cannot be one.
    """
    for key in num_samples:
        require_key(key, str(path))
    own_keys = {key: key for key in num_samples}
    speakers = None if src2spk is None else {key: " ".join(names) for key, names in src2spk.items()}
    files: dict[str, Mapping[str, object] | None] = {
        **{NUM_SAMPLES: num_samples, "wav.scp": mixtures, "noise1.scp": noise},
        **{f"spk{i}.scp": source for i, source in enumerate(sources, 1)},
        **{"utt2spk": own_keys, "spk2utt": own_keys, "src2spk": speakers, "spk2gender": spk2gender},
    }
    texts = {name: _text(values) for name, values in files.items() if values is not None} | dict(extra or {})
    folder = data_folder(path)
    folder.recover()
    if _holds(folder.path, texts):
        folder.adopt(texts)
        return
    with folder.replaced(digests=True) as new:
        for name, text in texts.items():
            write_text(new / name, text)


def _text(values: Mapping[str, object]) -> str:
    """Returns the lines of a file, `<key> <value>`."""
    return "".join(f"{key} {values[key]}\n" for key in sorted(values))


def data_folder(path: str | os.PathLike) -> OutputFolder:
    """Returns a data directory as what a command makes."""
    return OutputFolder(Path(os.path.abspath(path)), "data directory", _files_before_marks)


def _files_before_marks(folder: Path) -> tuple[str, ...] | None:
    """Returns the files of a directory made before there were marks, if it has a file that only our commands write."""
    return DATA_FILES if any(_has_keys(folder / name, keys) for name, keys in _KEYS_OF_OURS.items()) else None


def _has_keys(path: Path, keys: set[str]) -> bool:
    """Tells whether a file is a JSON mapping with just these keys."""
    try:
        return set(parse_json(path.read_text(encoding="utf-8"))) == keys
    except (OSError, ValueError, TypeError):
        return False


def _holds(folder: Path, texts: Mapping[str, str]) -> bool:
    """Tells whether a data directory has these files and no other that we write; more of the user's may be there."""
    if any((folder / name).exists() != (name in texts) for name in DATA_FILES):
        return False
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == text.encode() for name, text in texts.items()
    )
