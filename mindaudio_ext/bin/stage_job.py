"""Stage 2 or 5 as a job of Slurm. `run.sh --cmd slurm` starts it, users do not.

Usage: python -m mindaudio_ext.bin.stage_job [--num_nodes N] MODULE ARGUMENT... --config FILE
"""

import argparse
import sys
from pathlib import Path

from mindaudio_ext.bin.arguments import MOST_PROCESSES, whole_number
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.stage_job import StageJob, require_slurm, run_job


def _run(args: argparse.Namespace) -> None:
    if "--config" not in args.arguments[:-1]:
        raise InputError(f"{args.module}: --config FILE is expected among its arguments")
    state = None
    if args.title == "train" and "--expdir" in args.arguments[:-1]:
        state = Experiment(Path(args.arguments[args.arguments.index("--expdir") + 1])).checkpoint("last")
    job = StageJob([args.module, *args.arguments], args.title, args.num_nodes, state)
    sys.exit(run_job(job, require_slurm()))


def _parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="stage_job", description=__doc__)
    arguments.add_argument(
        "--title", choices=("train", "export"), default="train", help="names the job; a training saves and goes on"
    )
    number = whole_number(1, MOST_PROCESSES)
    arguments.add_argument("--num_nodes", type=number, metavar="N", default=1, help="machines (%(default)s)")
    arguments.add_argument("module", help="as after python -m")
    arguments.add_argument("arguments", nargs=argparse.REMAINDER, help="of the module")
    return arguments


main = command(_parser, _run)

if __name__ == "__main__":
    main()
