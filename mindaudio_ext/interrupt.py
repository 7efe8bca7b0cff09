"""Ctrl-C ends a command at once and without a word, whatever runs at that moment.

Python makes an exception of SIGINT. Where C++ calls Python, as while MindSpore is imported, that aborts the process;
and whenever MindSpore runs a graph it puts a handler of its own in place. So a command blocks the signal in all its
threads, and one thread waits for it.
"""

import _thread
import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

_ATTEMPTS = 20  # to remove a folder that is still being written to
STATUS = 128 + signal.SIGINT  # what a shell says of a program that SIGINT ended
_unfinished: dict[Path, Callable[[Path], None]] = {}
_ending = threading.Event()


def watch() -> None:
    """Makes Ctrl-C end this process from now on, with status 130. Called again it does nothing.

    What is within `removed_at_an_end` is removed, and children are ended. A handler that was set with `signal.signal`,
    as a training sets one to save its state, is called instead. Where SIGINT is ignored, as in a shell script's
    background, it stays ignored. Call it before anything that starts threads (NumPy does): they inherit the blocked
    signal.
    """
    if _is_watched() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    _block()
    threading.Thread(target=_wait, name=__name__, daemon=True).start()


def before_processes() -> None:
    """Makes the processes that multiprocessing starts leave Ctrl-C to this one; they see that it has ended."""
    warnings = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"  # the tracker removes what an ended process left; it would say so
    resource_tracker.ensure_running()  # having started it, multiprocessing unblocks the signal
    del os.environ["PYTHONWARNINGS"]
    if warnings is not None:
        os.environ["PYTHONWARNINGS"] = warnings
    if _is_watched():
        _block()


def wait_for_the_end() -> None:
    """Returns at once, but never when Ctrl-C is ending this process: what fails meanwhile is nobody's mistake."""
    if _ending.is_set():
        threading.Event().wait()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def removed_at_an_end(path: str | os.PathLike, remove: Callable[[Path], None] = _remove) -> Iterator[Path]:
    """Within the `with`, a file or folder is removed should Ctrl-C end this process; else it is the caller's.

    Args:
        path: the file or folder.
        remove: how; it may be called again when something was written meanwhile.
    """
    path = Path(path)
    _unfinished[path] = remove
    try:
        yield path
    finally:
        wait_for_the_end()  # what is being removed does not get its final name any more
        _unfinished.pop(path, None)


def remove_unfinished() -> None:
    """Removes what is within `removed_at_an_end` now, though another thread may still write to it."""
    for path, remove in tuple(_unfinished.items()):
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(OSError):
                remove(path)
            if not os.path.lexists(path):
                break


def _is_watched() -> bool:
    return any(thread.name == __name__ for thread in threading.enumerate())


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _wait() -> None:
    while True:
        signal.sigwait({signal.SIGINT})
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            _thread.interrupt_main()  # calls that handler, in the main thread
            continue
        _ending.set()
        remove_unfinished()
        _end_children()
        os._exit(STATUS)


def _end_children() -> None:
    import psutil  # not above: until a command watches, Ctrl-C would meet Python's handler, and this takes a while

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.terminate()
