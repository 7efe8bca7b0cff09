"""One shard of an array job of Slurm. `run.sh --cmd slurm` submits it, users do not start it.

Usage: python -m mindaudio_ext.bin.shard FOLDER
"""

import argparse
import os
from pathlib import Path

from mindaudio_ext.cluster import run_shard
from mindaudio_ext.errors import InputError, command


def _run(args: argparse.Namespace) -> None:
    number = os.environ.get("SLURM_ARRAY_TASK_ID")
    if number is None or not args.folder.is_dir():
        raise InputError(f"{args.folder}: is for a task of an array job of Slurm, which run.sh --cmd slurm submits")
    run_shard(args.folder, int(number))


def _parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="shard", description=__doc__)
    arguments.add_argument("folder", type=Path, help="of the job")
    return arguments


main = command(_parser, _run)

if __name__ == "__main__":
    main()
