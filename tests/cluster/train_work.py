"""Stands for a training: it waits until it is told to stop, which it notes, or until it finds such a note."""

import os
import signal
import sys
import time
from pathlib import Path

WAIT_SECONDS = 600  # longer than any test


def main() -> None:
    """Counts its starts; ends with 0 when it was stopped before, and with 3 when there is `fail`."""
    folder = Path(sys.argv[1])
    rank = os.environ["SLURM_NODEID"]
    with open(folder / f"starts.{rank}", "a") as starts:
        starts.write("x")
    print(f"node {rank} of {os.environ['SLURM_STEP_NUM_NODES']}", flush=True)
    saved = folder / f"saved.{rank}"

    def stop(number: int, _: object) -> None:
        saved.touch()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    if (folder / "fail").exists():
        sys.exit(3)
    deadline = time.monotonic() + WAIT_SECONDS
    while not saved.exists():
        if time.monotonic() > deadline:
            sys.exit("nobody has told this to stop")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
