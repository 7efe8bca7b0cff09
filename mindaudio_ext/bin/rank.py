"""One process of several: runs a module and notes when it is done. msrun starts it, users do not.

Usage: python -m mindaudio_ext.bin.rank LOG_DIR MODULE ARGUMENT...
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from mindaudio_ext.train.launch import Notes, tie_to_launcher


def main() -> None:
    """Serves as the scheduler, or runs the module as this rank."""
    notes, module, arguments = Notes(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
    if os.environ["MS_ROLE"] == "MS_SCHED":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the ranks have ended, or is killed
        notes.write("scheduler", done=True)  # it has nothing to do but to be there
        tie_to_launcher()
        _schedule()
        return
    name = f"worker_{os.environ['RANK_ID']}"
    notes.write(name, done=False)
    tie_to_launcher()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leave:
        if leave.code:
            raise
    notes.write(name, done=True)


def _schedule() -> None:
    from mindspore.communication import init

    init()


if __name__ == "__main__":
    main()
