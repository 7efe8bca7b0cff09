"""What the tests map on a cluster; each call leaves a line in a file, so that the tests can count them."""

import argparse
import os
import time
from functools import partial
from pathlib import Path

from mindaudio_ext import cluster
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError, command

WAIT_SECONDS = 600  # longer than any test


def square(folder: Path, number: int) -> int:
    """Returns the square; waits while there is `wait`, fails with `bad.<number>`, is killed with `end.<number>`."""
    with open(folder / "calls", "a") as calls:
        calls.write(f"{number}\n")
    deadline = time.monotonic() + WAIT_SECONDS
    while (folder / "wait").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if (folder / f"bad.{number}").exists():
        raise InputError(f"bad.{number}: is there")
    if (folder / f"end.{number}").exists():
        os._exit(9)
    return number**2


def run(args: argparse.Namespace) -> None:
    """Maps 0 to 9 and prints the results; it looks at the queue more often than a user's command."""
    cluster._LOOK_SECONDS, cluster._SEEN_SECONDS = 0.3, 1.0
    print(list(parallel_map(partial(square, args.folder), list(range(10)), nj=1, title="squares")))


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="cluster_work")
    arguments.add_argument("folder", type=Path)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    from cluster_work import main as importable  # the tasks import what is mapped

    importable()
