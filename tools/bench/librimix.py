"""How fast LibriMix is made from LibriSpeech: wavs on the disk, and mixtures for stage 1 without wavs.

    python tools/bench/librimix.py [--librispeech DIR --metadata DIR] [--n_mixtures 200] [--freq 8k] [--nj 1]

Without a corpus it makes one of noise in LibriSpeech's lengths in a temporary folder. Noise compresses badly, so its
flac is read more slowly than speech. "x real time" is the length of the mixtures over the time on the clock, "per core"
that over the number of processes; the last number is over the time the processor worked.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from mindaudio_ext.corpora.librimix import MixRow, mix_row, mixed_length, read_metadata
from mindaudio_ext.corpora.librimix_tree import Request, find_metadata, make_librimix
from mindaudio_ext.data.parallel import parallel_map

SPEAKERS = 20
SHORTEST, LONGEST = 5.0, 16.0  # seconds of an utterance


def make_corpus(folder: Path, n_mixtures: int) -> None:
    """Makes folder/LibriSpeech and folder/metadata."""
    rng = np.random.default_rng(0)
    paths = [f"train-clean-100/{speaker}/1/{speaker}-1-0000.flac" for speaker in range(1, SPEAKERS + 1)]
    for path in paths:
        file = folder / "LibriSpeech" / path
        file.parent.mkdir(parents=True)
        soundfile.write(file, 0.05 * rng.standard_normal(int(rng.uniform(SHORTEST, LONGEST) * 16000)), 16000)
    lines = ["mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain"]
    for number in range(n_mixtures):
        first, second = rng.choice(SPEAKERS, 2, replace=False)
        lines.append(f"{number:06d},{paths[first]},0.7,{paths[second]},0.8")
    (folder / "metadata").mkdir()
    (folder / "metadata/libri2mix_bench.csv").write_text("\n".join(lines) + "\n")


def measure(title: str, seconds: float, nj: int, work: Callable[[], object]) -> None:
    """Prints how many seconds of mixtures a second of work makes."""
    started, used = time.monotonic(), _processor_seconds()
    work()
    took, used = time.monotonic() - started, _processor_seconds() - used
    print(
        f"{title}: {seconds / 3600:.2f} h of mixtures in {took:.1f} s with {nj} processes: {seconds / took:.0f} x real "
        f"time, {seconds / took / nj:.0f} per core; {seconds / used:.0f} per second of processor time"
    )


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _mix(row: MixRow, sample_rate: int) -> int:
    return len(mix_row(row, sample_rate=sample_rate, mode="min", mix_type="mix_clean")[0])


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--librispeech", type=Path, help="LibriSpeech's folder; noise when it is not given")
    parser.add_argument("--metadata", type=Path, help="folder of Libri2Mix's csv files")
    parser.add_argument("--n_mixtures", type=int, default=200, help="of noise (%(default)s)")
    parser.add_argument("--freq", default="8k", help="8k or 16k (%(default)s)")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    args = parser.parse_args()
    rate = 1000 * int(args.freq.removesuffix("k"))
    with tempfile.TemporaryDirectory() as temporary:
        if not args.librispeech:
            make_corpus(Path(temporary), args.n_mixtures)
        librispeech = args.librispeech or Path(temporary, "LibriSpeech")
        metadata = args.metadata or Path(temporary, "metadata")
        tables = find_metadata(metadata, 2).values()
        rows = [row for table in tables for row in read_metadata(table, 2, librispeech=librispeech)]
        seconds = sum(mixed_length(row, sample_rate=rate, mode="min") for row in rows) / rate
        request = Request(Path(temporary, "out"), 2, (args.freq,), ("min",), ("mix_clean",))
        generate = partial(make_librimix, request, metadata=metadata, librispeech=librispeech, nj=args.nj)
        measure("wavs", seconds, args.nj, generate)
        mix_all = parallel_map(partial(_mix, sample_rate=rate), rows, nj=args.nj, title="mixtures")
        measure("mixed for stage 1", seconds, args.nj, lambda: sum(mix_all))


if __name__ == "__main__":
    main()
