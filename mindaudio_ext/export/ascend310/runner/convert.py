"""Converts a MindIR or an ONNX by MindSpore Lite's Python package: converter_lite for where there is only the wheel.

    python convert.py x_4s.onnx x_4s_cpu                                for a CPU: x_4s_cpu.mindir
    python convert.py x_4s_ascend.mindir x_4s_ascend_310 --optimize ascend_oriented    for the card of this machine

Exit status: 0 done, 1 the converter failed (its log is above the line), 2 wrong input or use. Any Python from 3.7 on.
"""

from __future__ import annotations  # Python 3.7

import argparse
import errno
import os
import sys
from pathlib import Path

OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM)  # errors that no other path would mend


def convert(options: argparse.Namespace) -> None:
    """Runs the converter.

    Raises:
        FileNotFoundError: no such graph.
        PermissionError: it may not be read.
        ImportError: mindspore_lite is not installed.
        RuntimeError: the converter failed.
    """
    if not options.graph.is_file():
        raise FileNotFoundError(f"{options.graph}: no such graph")
    with open(str(options.graph), "rb"):  # the converter does not say why it cannot read it
        pass
    import mindspore_lite

    converter = mindspore_lite.Converter()
    converter.optimize = options.optimize
    converter.save_type = getattr(mindspore_lite.ModelType, options.save_type)
    kind = mindspore_lite.FmkType.ONNX if options.graph.suffix == ".onnx" else mindspore_lite.FmkType.MINDIR
    converter.convert(kind, str(options.graph), str(options.output), config_file=str(options.config or ""))


class Parser(argparse.ArgumentParser):
    """Tells of wrong use in one line."""

    def error(self, message: str) -> None:
        """Prints it and ends the program."""
        self.exit(2, f"convert: error: {' '.join(message.split())}\n")


def main(words: list[str] | None = None) -> int:
    """Runs the command, by default with the process's arguments; returns its exit status."""
    parser = Parser(prog="convert.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="a .mindir or .onnx of the kit")
    parser.add_argument("output", type=Path, help="without .mindir at its end")
    parser.add_argument("--optimize", choices=("general", "ascend_oriented", "none"), default="general")
    parser.add_argument("--config", type=Path, help="converter.cfg")
    parser.add_argument("--save_type", choices=("MINDIR", "MINDIR_LITE"), default="MINDIR", help="%(default)s")
    try:
        convert(parser.parse_args(words))
        return 0
    except ImportError as error:
        status, message = 2, str(error)
    except OSError as error:
        status = 1 if error.errno in OF_THE_MACHINE else 2
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except Exception as error:  # what the package raises is of many kinds
        status, message = 1, str(error) or repr(error)
    print(f"convert: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    ended = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # MindSpore Lite 2.0 may crash when its objects are destroyed at the end of the interpreter
