"""How time and memory of the stages grow with the number of keys.

    python tools/bench/scale.py [--keys 1000 10000 100000] [--nj 1]

Makes metadata of LibriMix and data directories whose keys all name the same files of 0.1 s, so that what is measured is
what a key costs beside its sound: data prep (LibriMix's, without wavs), validating the data directory, the dump, the
start of a training until its first batch, dividing the work of a dump into 32 shards (`--cmd slurm`), and scoring
(SI-SNR, with the summaries and their intervals). Prints a row for each: seconds on the clock and of the processor,
microseconds of the processor a key, and the peak memory of the process. Each is a process of its own; about 1 s of it
is its start. With `--only WORD` only the rows whose title has that word.
After them it prints what the lists take on the disk, bytes a key.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # measures this checkout, whichever is installed

from mindaudio_ext.data.audio import write_wav  # noqa: E402
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir  # noqa: E402

RATE = 8000  # Hz
SAMPLES = 800  # of a mixture

START = """
from pathlib import Path
from mindaudio_ext.data.dataset import TrainBatches
from mindaudio_ext.data.mindrecord import check_mindrecord
batches = TrainBatches(check_mindrecord(Path("dump/train")), segment=400, batch_size=4, seed=0)
next(iter(batches.epoch(1)))
"""
SUBMIT = """
from pathlib import Path
from mindaudio_ext.cluster import Slurm, prepare
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.mindrecord_writer import _read_row
prepare(_read_row, read_data_dir("data/train").entries(), Slurm((), 32, Path("jobs")), title="dump", fresh=False)
"""
SCORE = """
from pathlib import Path
from mindaudio_ext.score.score import score_set, write_scores
from mindaudio_ext.score.summary import break_down, summarise
scores = score_set(
    separated_dir=Path("separated"), data_dir=Path("data/train"), num_spks=2, sample_rate=8000, nj=%d
)
write_scores(scores, "scores.csv")
summarise(scores)
break_down(scores)
"""


def make_set(folder: Path, keys: int) -> None:
    """Makes `folder/data/train`, and `folder/separated` with the sources as estimates."""
    rng = np.random.default_rng(0)
    sources = rng.integers(-8000, 8000, (2, SAMPLES)).astype(np.int16) / np.float32(32768)
    paths = {name: str(folder / f"{name}.wav") for name in ("mix", "s1", "s2")}
    for path, signal in zip(paths.values(), (sources.sum(axis=0), *sources)):
        write_wav(path, signal, RATE)
    names = [f"{number:06d}" for number in range(keys)]
    write_data_dir(
        folder / "data" / "train",
        mixtures=dict.fromkeys(names, paths["mix"]),
        sources=[dict.fromkeys(names, paths["s1"]), dict.fromkeys(names, paths["s2"])],
        num_samples=dict.fromkeys(names, SAMPLES),
    )
    (folder / "separated").mkdir()
    for source in (1, 2):
        lines = "".join(f"{name} {paths[f's{source}']}\n" for name in names)
        (folder / "separated" / f"spk{source}.scp").write_text(lines)


def make_metadata(folder: Path, keys: int) -> None:
    """Makes `folder/metadata` and `folder/LibriSpeech`, for LibriMix's mixtures of two files."""
    rng = np.random.default_rng(0)
    for number in (1, 2):
        file = folder / f"LibriSpeech/train-clean-360/{number}/1/{number}-1-0000.flac"
        file.parent.mkdir(parents=True)
        soundfile.write(file, 0.05 * rng.standard_normal(2 * SAMPLES), 2 * RATE)
    row = "train-clean-360/1/1/1-1-0000.flac,0.7,train-clean-360/2/1/2-1-0000.flac,0.8\n"
    lines = "".join(f"{number:06d},{row}" for number in range(keys))
    header = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain\n"
    (folder / "metadata").mkdir()
    (folder / "metadata/libri2mix_train-clean-360.csv").write_text(header + lines)


def measure(title: str, folder: Path, keys: int, *words: str) -> None:
    """Runs Python with these words in the folder and prints a row of the table."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GLOG_v": "3"}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - started
    if status != 0:
        raise RuntimeError(f"{title}: failed with status {status}")
    processor = used.ru_utime + used.ru_stime
    print(
        f"| {title} | {keys} | {took:.1f} | {processor:.1f} | {1e6 * processor / keys:.0f} | "
        f"{used.ru_maxrss / 1024:.0f} |",
        flush=True,
    )


def print_size(folder: Path, name: str, keys: int) -> None:
    """Prints what a file, or the files of a folder, take a key; nothing when there are none."""
    paths = [folder / name] if (folder / name).is_file() else (folder / name).rglob("*")
    size = sum(path.stat().st_size for path in paths if path.is_file())
    if size:
        print(f"{name}: {size / 1e6:.2f} MB, {size / keys:.0f} bytes a key", flush=True)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 10000, 100000], help="sizes (%(default)s)")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--only", metavar="WORD", nargs="+", default=[""], help="rows whose title has one (all)")
    args = parser.parse_args()
    nj = ("--nj", str(args.nj))
    prepare = ("--data", "prepared", "--sets", "train-360", "--librispeech", "LibriSpeech", "--metadata", "metadata")
    rows = {
        "data prep": ("-m", "mindaudio_ext.bin.librimix_data", *prepare, "--write_wavs", "false", *nj),
        "validate": ("-m", "mindaudio_ext.bin.validate_data_dir", "data/train", *nj),
        "dump": ("-m", "mindaudio_ext.bin.dump", "--data", "data/train", "--out", "dump/train", *nj),
        "start of training": ("-c", START),
        "an array job of it, before sbatch": ("-c", SUBMIT),
        "score": ("-c", SCORE % args.nj),
    }
    print("| what | keys | s | s of the processor | us a key | peak memory, MB |\n|---|---|---|---|---|---|")
    for keys in args.keys:
        with tempfile.TemporaryDirectory() as work:
            make_metadata(Path(work), keys)
            make_set(Path(work), keys)
            for title, words in rows.items():
                if any(word in title for word in args.only):
                    measure(title, Path(work), keys, *words)
            for path in ("prepared", "data/train", "dump/train/manifest.json", "jobs"):
                print_size(Path(work), path, keys)


if __name__ == "__main__":
    main()
