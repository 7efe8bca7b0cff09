"""How fast stages 3 and 4 separate and score a set whose utterances have different lengths.

    tools/venv/bin/python tools/bench/decode.py [--minutes 10] [--nj 2]

The set is noise in LibriMix's lengths (3 to 14 s, 8 kHz), the model the pretrained one. Starting and compiling are
included.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data import make_set

ROOT = Path(__file__).resolve().parents[2]
STAGES = {3: "decode", 4: "score"}


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the set (%(default)s)")
    parser.add_argument("--nj", type=int, default=2, help="processes that score (%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        seconds = make_set(folder, args.minutes / 60)
        (folder / "data" / "train").rename(folder / "data" / "test")
        for stage, name in STAGES.items():
            command = [ROOT / "run.sh", "--recipe", folder, "--pretrained", "dprnn_2spk_8k", "--nj", str(args.nj)]
            command += ["--stage", str(stage), "--stop_stage", str(stage)]
            started = time.monotonic()
            result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
            took = time.monotonic() - started
            if result.returncode != 0:
                print(result.stdout + result.stderr, file=sys.stderr)
                return 1
            print(f"{name}: {seconds:.0f} s of audio in {took:.1f} s, {seconds / took:.1f} a second", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
