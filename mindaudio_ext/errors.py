"""The one exception for mistakes of the user, and how a command ends: with a line and an exit status."""

import argparse
import contextlib
import errno
import io
import os
import reprlib
import select
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TextIO, TypeGuard

from mindaudio_ext import interrupt, log

CLOSED = 141  # what a shell says of a program that was printing into a pipe that nobody reads any more
# Errors of a path that is not what it is used as, or that the user may not use so; any other, such as a full disk, is
# the machine's.
_OF_A_PATH = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG,
    errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EROFS,
}  # fmt: skip
_LONGEST = 2000  # characters of a line; of a longer one the middle is left out


class InputError(Exception):
    """Wrong input or use. The message is one line that names the file, key or utterance and says what to do."""


def command(
    parser: Callable[[], argparse.ArgumentParser], action: Callable[[argparse.Namespace], None]
) -> Callable[..., None]:
    """Makes the `main` of a command: parse, act, and whatever goes wrong, print one line.

    Exit status 0 is done, 1 a bug or the machine, 2 wrong input or use, 130 Ctrl-C, 141 that nobody reads what is
    printed (`| head -1`); the last two without a line. `--debug` shows the traceback.

    Args:
        parser: returns the command's arguments; `--debug` is added here.
        action: does the work with the parsed arguments, of which `words` are what was
            given and `prog` is the command's name.

    Returns:
        `main(argv=None, *, prog=None)`, for console scripts and `python -m`. Without arguments it takes the process for
        its own. `prog` is the command's name in messages, when it is not the parser's.
    """

    def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> None:
        from mindaudio_ext.cluster import forget_results  # which uses the errors of this file

        if argv is None:
            interrupt.watch()
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be UTF-8
        log.to_stderr()
        arguments = parser()
        name = arguments.prog = prog or arguments.prog
        # There is no other way for a parser that is made elsewhere.
        arguments.error = lambda message: _refuse(f"{name}: error: {message}; --help lists the options")  # type: ignore[method-assign]
        arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
        words = list(sys.argv[1:] if argv is None else argv)
        args = argparse.Namespace(debug=False, prog=name, words=words)
        try:
            try:
                arguments.parse_args(words, args)
                action(args)
                forget_results()
            finally:
                if sys.stdout:
                    sys.stdout.flush()  # a full disk is told here, not by Python when it ends
        except KeyboardInterrupt:
            sys.exit(interrupt.STATUS)
        except Exception as error:
            interrupt.wait_for_the_end()
            nobody_reads = [_is_closed(stream) for stream in (sys.stdout, sys.stderr)]
            _drop_unprinted(sys.stdout)
            if isinstance(error, BrokenPipeError) and any(nobody_reads):
                sys.exit(CLOSED)
            if args.debug:
                raise
            _refuse(f"{name}: error: {describe_error(error)}", status_of(error))

    return main


def status_of(error: Exception) -> int:
    """Returns the exit status that an error is: 2 for wrong input, 1 for a bug or the machine.

    >>> status_of(IsADirectoryError(errno.EISDIR, "Is a directory")), status_of(OSError(errno.ENOSPC, "No space"))
    (2, 1)
    """
    if isinstance(error, OSError):
        return 2 if error.errno in _OF_A_PATH else 1
    return 2 if isinstance(error, InputError) or _is_of_a_name(error) else 1


def describe_error(error: Exception) -> str:
    """Returns in words what went wrong: the message, or of what nobody foresaw that it is an error of ours.

    >>> describe_error(InputError("mix.wav: is empty")), describe_error(KeyError("x"))
    ('mix.wav: is empty', "internal error: KeyError: 'x'; --debug shows where")
    >>> describe_error(PermissionError(errno.EACCES, "Permission denied", "mix.wav"))
    'mix.wav: Permission denied'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        names = [error.filename] + [error.filename2] * (error.filename2 is not None)
        return f"{' -> '.join(str(os.fsdecode(name)) for name in names)}: {error.strerror}"
    if isinstance(error, (InputError, OSError)):
        return str(error)
    if _is_of_a_name(error):
        line = error.object[: error.end].splitlines()[-1]
        return f"{line}: a name that is not UTF-8 cannot be written to a text file; rename it"
    if isinstance(error, MemoryError):
        return f"not enough memory: {str(error) or 'nothing is left'}"
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"internal error: {type(error).__name__}{': ' if message else ''}{message}; --debug shows where"


def _is_of_a_name(error: Exception) -> TypeGuard[UnicodeEncodeError]:
    """Tells whether a file's name that is not UTF-8 was to be written as such; Python keeps its bytes as surrogates."""
    return isinstance(error, UnicodeEncodeError) and "\ud800" <= error.object[error.start] <= "\udfff"


def one_line(message: str) -> str:
    """Returns a message as one line that can be printed, whatever a file's name in it holds; it need not be UTF-8."""
    line = " ".join(message.split()).encode("utf-8", "backslashreplace").decode("utf-8")
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 4 :]}"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def shown(value: object) -> str:
    """Returns a value as Python writes it, at most 60 characters; of a long or deep one, the beginning."""
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = 60
    return short.repr(value)


def _is_closed(stream: TextIO | None) -> bool:
    """Tells whether a stream is a pipe that nobody reads; then it goes nowhere, or Python complains when it ends."""
    if stream is None:
        return False
    try:
        watched = select.poll()
        watched.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # it is no file
        return False
    closed = any(event & select.POLLERR for _, event in watched.poll(0))
    if closed:
        _send_nowhere(stream)
    return closed


def _drop_unprinted(stream: TextIO | None) -> None:
    """Lets go of what a full disk did not take; else Python tries again when it ends, and its status is 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        _send_nowhere(stream)
    except ValueError:  # it is closed
        pass


def _send_nowhere(stream: TextIO) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _refuse(message: str, status: int = 2) -> NoReturn:
    interrupt.wait_for_the_end()
    with contextlib.suppress(OSError):  # nobody reads it
        print(one_line(message), file=sys.stderr)
    sys.exit(status)
