"""The reference protocol's test set: 4 s windows of the mixtures of 4 to 12 s, as a data directory of its own.

The MindSpore 1.6 implementation that this project supersedes scored these instead of whole utterances.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import CORPUS, Entry, read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import WINDOW_COUNTS, data_folder, write_data_dir
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.validate_data_dir import read_mixture
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json
from mindaudio_ext.keys import file_name
from mindaudio_ext.output_folder import OutputFolder

SHORTEST, LONGEST = 4, 12  # seconds, of a mixture
LENGTH, STEP = 4, 2  # seconds, of a window
COUNTS = WINDOW_COUNTS


@dataclass(frozen=True)
class WindowCounts:
    """What the windows of a set came to.

    Attributes:
        num_utts: mixtures in the set.
        num_used: mixtures of 4 to 12 s.
        num_windows: their windows.
        num_silent: windows in which a reference is silent; they are left out, nothing can be measured in them.
    """

    num_utts: int
    num_used: int
    num_windows: int
    num_silent: int


def windows_dir(data_dir: str | os.PathLike) -> Path:
    """Returns the data directory of a set's windows.

    >>> windows_dir("data/test").name
    'test_reference'
    """
    path = Path(os.path.abspath(data_dir))
    return path.with_name(f"{path.name}_reference")


def window_starts(num_samples: int, sample_rate: int) -> list[int]:
    """Returns the first sample of each window: every 2 s, and one that ends with the mixture.

    >>> window_starts(9 * 8000 + 1, 8000)
    [0, 16000, 32000, 40001]
    >>> window_starts(12 * 8000 + 1, 8000)
    []

    Args:
        num_samples: of the mixture.
        sample_rate: Hz.

    Returns:
        None at all when the mixture is shorter than 4 or longer than 12 s.
    """
    if not SHORTEST * sample_rate <= num_samples <= LONGEST * sample_rate:
        return []
    last = num_samples - LENGTH * sample_rate
    starts = list(range(0, last + 1, STEP * sample_rate))
    return starts if starts[-1] == last else [*starts, last]


def make_windows(
    data_dir: str | os.PathLike, *, sample_rate: int, nj: int = 1, allow_pipes: bool = False
) -> WindowCounts:
    """Makes `windows_dir(data_dir)`, its sound as flac in `wav/` beside it; what it made before is replaced.

    A window's key is that of its mixture, an underline and where it starts, in samples. Without any window there is no
    directory.

    Args:
        data_dir: of the set.
        sample_rate: Hz.
        nj: processes.
        allow_pipes: run the commands in its scp files.

    Raises:
        InputError: the data directory is not one, or the directory to make is somebody else's.
    """
    data, out = read_data_dir(data_dir, allow_pipes=allow_pipes), windows_dir(data_dir)
    folder, sound = data_folder(out), _sound_folder(out)
    folder.recover()
    folder.require_ours()
    entries = [entry for entry in data.entries() if window_starts(entry.num_samples, sample_rate)]
    if entries:
        sound.claim()
    cut = partial(_cut, folder=sound.path, sample_rate=sample_rate)
    windows = [window for made in parallel_map(cut, entries, nj=nj, title=out.name) for window in made]
    kept = {key: paths for key, paths in windows if paths}
    counts = WindowCounts(len(data.keys), len(entries), len(windows), len(windows) - len(kept))
    if not kept:
        folder.remove()
        return counts
    columns = list(zip(*kept.values()))  # of the mixture and of each source, the paths
    mixtures, *sources = (dict(zip(kept, column)) for column in columns)
    statement = Path(data_dir) / CORPUS
    corpus = statement.read_text(encoding="utf-8") if statement.is_file() else "not stated\n"
    write_data_dir(
        out,
        mixtures=mixtures,
        sources=sources,
        num_samples=dict.fromkeys(kept, LENGTH * sample_rate),
        extra={CORPUS: corpus, COUNTS: json.dumps(asdict(counts)) + "\n"},
    )
    return counts


def _sound_folder(out: Path) -> OutputFolder:
    """Returns the folder of the windows' sound; before there were marks the windows were the sign of it."""
    return OutputFolder(
        out.parent / "wav" / out.name, "sound of windows", lambda _: () if (out / COUNTS).is_file() else None
    )


def read_counts(path: str | os.PathLike) -> WindowCounts:
    """Reads the counts of a directory of windows.

    Raises:
        InputError: it is not what `make_windows` wrote.
    """
    file = Path(path) / COUNTS
    try:
        return WindowCounts(**parse_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: not what stage 3 writes ({error}); run stage 3 again") from error


def mixture_of(window: str) -> str:
    """Returns the key of a window's mixture.

    >>> mixture_of("61-70968_260-1_0016000")
    '61-70968_260-1'
    """
    return window.rpartition("_")[0]


def _cut(entry: Entry, *, folder: Path, sample_rate: int) -> list[tuple[str, tuple[str, ...]]]:
    """Writes a mixture's windows; gives each window's key and files: mixture, sources. No files when one is silent."""
    mixture, sources, rate = read_mixture(entry)
    if rate != sample_rate:
        raise InputError(f"{entry.path}: {entry.key}: is at {rate} Hz; {sample_rate} Hz is expected")
    signals = np.stack([mixture, *sources])  # [1 + C, T]
    names = ["mix", *(f"s{source}" for source in range(1, len(signals)))]
    made: list[tuple[str, tuple[str, ...]]] = []
    for start in window_starts(len(mixture), sample_rate):
        window = signals[:, start : start + LENGTH * sample_rate]
        key = f"{entry.key}_{start:07d}"
        if (np.ptp(window[1:], axis=1) == 0).any():
            made.append((key, ()))
            continue
        paths = tuple(str(folder / name / f"{file_name(key)}.flac") for name in names)
        for path, signal in zip(paths, window):
            write_wav(path, signal, sample_rate)
        made.append((key, paths))
    return made
