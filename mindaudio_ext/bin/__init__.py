"""The commands: `mindaudio-ext <name>` or `python -m mindaudio_ext.bin.<name>`.

A module with `parser()`, `run(args)` and `main = command(parser, run)` is one.
"""

import sys
from pathlib import Path

from mindaudio_ext.interrupt import watch

# This is the first of a command's modules to be imported: those that come take seconds, and start threads.
_PROGRAMS = ("-m", "__main__.py", "mindaudio-ext", "mindaudio-separate")  # the first for a module about to be run
if Path(sys.argv[0]).name in _PROGRAMS:
    watch()
