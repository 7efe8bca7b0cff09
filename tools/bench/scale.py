"""How time and memory of the stages grow with the number of keys.

    python tools/bench/scale.py [--keys 1000 10000 100000] [--nj 1]

Makes data directories whose keys all name the same three files of 0.1 s, so that what is measured is what a key costs
beside its sound: validating the data directory, the dump, the start of a training until its first batch, dividing the
work of a dump into 32 shards (`--cmd slurm`), and scoring
(SI-SNR). Prints a row for each: seconds, microseconds a key, and the peak memory of the process. Each is a process
of its own; about 1 s of it is its start.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

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
scores = score_set(
    separated_dir=Path("separated"), data_dir=Path("data/train"), num_spks=2, sample_rate=8000, nj=%d
)
write_scores(scores, "scores.csv")
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
    print(f"| {title} | {keys} | {took:.1f} | {1e6 * took / keys:.0f} | {used.ru_maxrss / 1024:.0f} |", flush=True)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 10000, 100000], help="sizes (%(default)s)")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    args = parser.parse_args()
    print("| what | keys | s | us a key | peak memory, MB |\n|---|---|---|---|---|")
    for keys in args.keys:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            make_set(folder, keys)
            nj = ("--nj", str(args.nj))
            measure(
                "validate", folder, keys, "-m", "mindaudio_ext.bin.validate_data_dir", str(folder / "data/train"), *nj
            )
            measure(
                "dump",
                folder,
                keys,
                *("-m", "mindaudio_ext.bin.dump", "--data", "data/train", "--out", "dump/train"),
                *nj,
            )
            measure("start of training", folder, keys, "-c", START)
            measure("an array job of it, before sbatch", folder, keys, "-c", SUBMIT)
            measure("score", folder, keys, "-c", SCORE % args.nj)


if __name__ == "__main__":
    main()
