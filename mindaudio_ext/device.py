"""Where MindSpore runs. Importing this module does not import MindSpore; `set_up_device` does."""

import functools
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from mindaudio_ext.errors import InputError

P = ParamSpec("P")
Result = TypeVar("Result")
_one = threading.RLock()


def one_at_a_time(function: Callable[P, Result]) -> Callable[P, Result]:
    """Makes threads wait for each other in all functions that have this decorator.

    MindSpore compiles and runs graphs in one thread only: two at once, of two models too, end in wrong errors or a
    segmentation fault. So whatever calls a Cell has this.
    """

    @functools.wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> Result:
        with _one:
            return function(*args, **kwargs)

    return alone


@one_at_a_time
def set_up_device(device_target: str, device_id: int = 0, num_threads: int | None = None) -> None:
    """Makes MindSpore run graphs on a device. Call it before anything that imports MindSpore.

    Args:
        device_target: "CPU" or "Ascend".
        device_id: the card, of Ascend.
        num_threads: CPU threads; None leaves it to MindSpore, which takes all cores. OpenMP's share of them counts only
            when MindSpore is not imported yet.

    Raises:
        InputError: this machine or this MindSpore has no such device, or a device was chosen before.
    """
    set_environment(device_target, num_threads)
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    if num_threads:
        ms.set_context(runtime_num_threads=num_threads)
    if device_target == "CPU" and ms.get_context("device_target") == "CPU":
        return  # choosing it anew is refused once an operator has run
    try:
        if device_target == "CPU":
            ms.set_device("CPU")
        else:
            ms.set_device(device_target, device_id)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split(". ")[0].splitlines()[0].strip()
        where = "" if device_target == "CPU" else f" (device_id {device_id})"
        raise InputError(f"device_target: {device_target}{where} cannot be used here: {reason}") from error


def set_environment(device_target: str, num_threads: int | None = None) -> None:
    """Sets what MindSpore reads when it is imported or first runs something; what the user has set stays.

    `set_up_device` does it. A program that runs graphs without that function, as tests do, calls this one first.
    """
    os.environ.setdefault("GLOG_v", "3")  # errors only
    if device_target == "CPU":
        # Else the thread that hands out work waits for a graph's end in a loop that takes a whole core: twice as slow
        # on two cores, twenty times beside another busy process. `tools/bench/waiting.py` shows it.
        os.environ.setdefault("MS_DEV_HOST_BLOCKING_RUN", "1")
    if "MS_OM_PATH" not in os.environ:  # a failed compilation leaves files there, else in the current folder
        folder = Path(tempfile.gettempdir()) / f"mindspore_{os.getuid()}"
        folder.mkdir(exist_ok=True)
        os.environ["MS_OM_PATH"] = str(folder)
    if num_threads:
        os.environ["OMP_NUM_THREADS"] = str(num_threads)
