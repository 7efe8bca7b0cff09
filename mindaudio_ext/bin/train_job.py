"""Stage 2 as a job of Slurm. `run.sh --cmd slurm` starts it, users do not.

Usage: python -m mindaudio_ext.bin.train_job --num_nodes N MODULE ARGUMENT... --config FILE
"""

import argparse
import sys

from mindaudio_ext.bin.arguments import MOST_PROCESSES, whole_number
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.train.train_job import require_slurm, run_train_job


def _run(args: argparse.Namespace) -> None:
    if "--config" not in args.arguments[:-1]:
        raise InputError(f"{args.module}: --config FILE is expected among its arguments")
    sys.exit(run_train_job([args.module, *args.arguments], num_nodes=args.num_nodes, slurm=require_slurm()))


def _parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="train_job", description=__doc__)
    number = whole_number(1, MOST_PROCESSES)
    arguments.add_argument("--num_nodes", type=number, metavar="N", required=True, help="machines")
    arguments.add_argument("module", help="as after python -m")
    arguments.add_argument("arguments", nargs=argparse.REMAINDER, help="of the module")
    return arguments


main = command(_parser, _run)

if __name__ == "__main__":
    main()
