"""One process of several: runs a module and notes when it is done. msrun starts it, users do not.

Usage: python -m mindaudio_ext.bin.rank LOG_DIR MODULE ARGUMENT...
"""

import logging
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext import log
from mindaudio_ext.errors import InputError
from mindaudio_ext.train.launch import RankStatus, require_free_port, tie_to_launcher

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Serves as the scheduler, or runs the module as this rank."""
    log.to_stderr()
    words = sys.argv[1:] if argv is None else argv
    if len(words) < 2 or "MS_ROLE" not in os.environ:
        _log.error("rank: error: msrun starts it; start mindaudio_ext.bin.launch instead")
        sys.exit(2)
    notes, module, arguments = RankStatus(Path(words[0])), words[1], words[2:]
    if os.environ["MS_ROLE"] == "MS_SCHED":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the ranks have ended, or is killed
        notes.write("scheduler", done=True)  # it has nothing to do but to be there
        tie_to_launcher()
        try:
            _schedule()
        except InputError as error:
            _log.error("launch: error: %s", error)
            sys.exit(2)
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

    try:
        init()
    except RuntimeError:  # its message lists what may be the reason
        require_free_port(os.environ["MS_SCHED_HOST"], int(os.environ["MS_SCHED_PORT"]))
        raise


if __name__ == "__main__":
    main()
