"""Every command of the package: mindaudio-ext COMMAND, the same as python -m mindaudio_ext.bin.COMMAND.

Commands:
"""

import argparse
import ast
import importlib
import pkgutil
from pathlib import Path

from mindaudio_ext import __version__
from mindaudio_ext import bin as programs
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.registry import near

PROG = "mindaudio-ext"


def commands() -> dict[str, str]:
    """Returns each command and what it does: the modules in `bin` that have a parser, none of which is imported.

    >>> commands()["config"]
    'Checks a config, saves it resolved, or prints values of it for the shell.'
    """
    found = {}
    for module in pkgutil.iter_modules(programs.__path__):
        source = ast.parse((Path(programs.__path__[0]) / f"{module.name}.py").read_text(encoding="utf-8"))
        functions = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
        if {"parser", "run"} <= functions:
            found[module.name] = (ast.get_docstring(source) or "").split("\n\n")[0].replace("\n", " ")
    return found


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    width = max(map(len, commands()))
    arguments = argparse.ArgumentParser(
        prog=PROG,
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description=__doc__ + "\n".join(f"  {name:{width}}  {text}" for name, text in commands().items()),
        epilog=f"{PROG} COMMAND --help lists a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    arguments.add_argument("command", nargs="?", metavar="COMMAND", help="one of these")
    arguments.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="of the command")
    return arguments


def run(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError when there is none of that name."""
    if args.command is None:
        raise InputError(f"needs a command; {PROG} --help lists them")
    if args.command not in commands():
        raise InputError(f"no command '{args.command}'{near(args.command, commands())}; {PROG} --help lists them")
    module = importlib.import_module(f"mindaudio_ext.bin.{args.command}")
    module.main(args.arguments, prog=f"{PROG} {args.command}")


main = command(parser, run)

if __name__ == "__main__":
    main()
