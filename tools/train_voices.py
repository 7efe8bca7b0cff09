"""Makes mindaudio_ext/inference/voices.npz: how voices of speech in LibriSpeech's layout differ.

    python tools/train_voices.py OUT.npz FOLDER [FOLDER ...]

Each FOLDER has speakers' folders: <speaker>/<chapter>/<utterance>. Same files, same numbers.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.inference.voice import RATE, UNIT, discriminants, statistics

PIECE = UNIT * RATE // 100  # samples: 2.5 s
ENDINGS = (".flac", ".wav", ".ogg", ".opus", ".mp3")


def describe(path: Path) -> list[np.ndarray]:
    """Returns the numbers that describe each 2.5 s of an utterance."""
    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    samples = soxr.resample(samples.mean(axis=1), rate, RATE)
    samples = samples / (np.abs(samples).max() + 1e-9)
    starts = range(0, max(1, len(samples) - PIECE + 1), PIECE)
    found = (statistics(samples[start : start + PIECE]) for start in starts)
    return [values for values in found if values is not None and np.isfinite(values).all()]


def main() -> None:
    """Reads the folders and writes the file."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("folders", type=Path, nargs="+")
    arguments.add_argument("--nj", type=int, default=2)
    args = arguments.parse_args()
    files = sorted(path for folder in args.folders for path in folder.rglob("*") if path.suffix in ENDINGS)
    of_all = list(parallel_map(partial(describe), files, nj=args.nj, title="voices"))
    values = np.array([each for of_one in of_all for each in of_one])
    speakers = [path.parts[-3] for path, of_one in zip(files, of_all) for _ in of_one]
    np.savez(args.out, **discriminants(values, speakers))
    print(f"{args.out}: {len(values)} pieces of {len(set(speakers))} speakers")


if __name__ == "__main__":
    main()
