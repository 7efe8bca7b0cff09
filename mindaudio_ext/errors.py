"""The one exception for mistakes of the user, and how a command turns it into a line and an exit status."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn


class InputError(Exception):
    """Wrong input or use. The message is one line that names the file, key or utterance and says what to do."""


def command(parser: argparse.ArgumentParser, action: Callable[[argparse.Namespace], None]) -> Callable[..., None]:
    """Makes the `main` of a command: parse, act, and on an InputError or OSError print one line.

    Exit status 0 is done, 1 a bug or the machine, 2 wrong input or use. `--debug` shows the traceback.

    Args:
        parser: has the command's arguments; `--debug` is added here.
        action: does the work with the parsed arguments.

    Returns:
        `main(argv=None)`, for console scripts and `python -m`.
    """
    parser.error = lambda message: _refuse(f"{parser.prog}: error: {message}; --help lists the options")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def main(argv: Sequence[str] | None = None) -> None:
        args = parser.parse_args(argv)
        try:
            action(args)
        except (InputError, OSError) as error:
            if args.debug:
                raise
            _refuse(f"{parser.prog}: error: {error}", 2 if isinstance(error, InputError) else 1)
        except KeyboardInterrupt:
            sys.exit(130)

    return main


def one_line(message: str) -> str:
    """Gives a message as one line that can be printed, whatever a file's name in it holds; it need not be UTF-8."""
    return " ".join(message.split()).encode("utf-8", "backslashreplace").decode("utf-8")


def _refuse(message: str, status: int = 2) -> NoReturn:
    print(one_line(message), file=sys.stderr)
    sys.exit(status)
