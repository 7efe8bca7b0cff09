"""The backends of the 310 kit that are MindSpore Lite: programs of its `runner/`, in C++ and in Python.

Both take the same options and end with the same exit status; the C++ one is built here. MindSpore Lite is found in
LITE_HOME, or else in tools/lite of a checkout, which tools/setup_lite.sh makes.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mindaudio_ext
from mindaudio_ext.errors import InputError

LIBRARIES = ("libmindspore-lite.so", "libmindspore-extendrt_python.so")  # of the package; of the Python wheel
_LOGGED = re.compile(r"\[ERROR\] [^\[]*\[[^\]]*\] \S+\] (.+)")  # what MindSpore Lite's log says of an error


class DeviceError(OSError):
    """The device or the model failed; commands exit with status 1."""


@dataclass(frozen=True)
class LiteDevice:
    """What MindSpore Lite runs on: `target` is ascend or cpu, `number` the card's."""

    target: str = "ascend"
    number: int = 0


def run_cpp(sources: Path, mindir: Path, device: LiteDevice, inputs: Path, outputs: Path) -> None:
    """Builds the C++ runner, where it is not up to date, and runs it.

    Args:
        sources: `runner/` of a kit.
        mindir: the graph.
        device: to run it on.
        inputs: what preprocessing wrote.
        outputs: is made.

    Raises:
        InputError: the inputs do not fit the graph, or MindSpore Lite or a program is missing.
        DeviceError: the device, the model or the build failed.
    """
    home = _lite_home()
    build = sources / "build"
    _call("lite", "cmake", "-S", sources, "-B", build, f"-DLITE_HOME={home}")
    _call("lite", "cmake", "--build", build)
    _call("lite", build / "infer_310", *_options(mindir, device, inputs, outputs), wrong_input=2)


def run_python(sources: Path, mindir: Path, device: LiteDevice, inputs: Path, outputs: Path) -> None:
    """Runs the Python runner, with the Python that has MindSpore Lite: LITE_PYTHON, tools/lite's, or this one.

    Args and Raises: those of `run_cpp`.
    """
    of_checkout = _checkout() / "bin" / "python"
    python = os.environ.get("LITE_PYTHON") or (of_checkout if of_checkout.is_file() else sys.executable)
    alone = (
        () if python == sys.executable else ("-E",)
    )  # PYTHONPATH is of this Python, and another can be of version 3.7
    options = _options(mindir, device, inputs, outputs)
    _call("lite_python", python, *alone, sources / "infer_310.py", *options, wrong_input=2)


RUNNERS: dict[str, Callable[[Path, Path, LiteDevice, Path, Path], None]] = {"lite": run_cpp, "lite_python": run_python}


def _options(mindir: Path, device: LiteDevice, inputs: Path, outputs: Path) -> tuple[object, ...]:
    paths = ("--model", mindir, "--inputs", inputs, "--outputs", outputs)
    return (*paths, "--device", device.target, "--device_id", device.number)


def _checkout() -> Path:
    return Path(mindaudio_ext.__file__).parents[1] / "tools" / "lite"


def _lite_home() -> Path:
    """Returns the folder of MindSpore Lite's package or wheel.

    Raises:
        InputError: there is none, or it has no library.
    """
    home = Path(os.environ.get("LITE_HOME") or _checkout()).absolute()
    if not any((home / folder / name).is_file() for folder in ("runtime/lib", "lib") for name in LIBRARIES):
        raise InputError(
            f"--backend lite: LITE_HOME ('{os.environ.get('LITE_HOME', '')}') must be the folder of MindSpore Lite's "
            f"package, with runtime/lib/{LIBRARIES[0]}; without a device: --device cpu with what tools/setup_lite.sh "
            "makes, or --backend host, numpy or checkpoint"
        )
    return home


def _call(backend: str, *command: object, wrong_input: int | None = None) -> None:
    """Runs a program; a line of its stderr becomes the message when it fails, with `wrong_input` an InputError."""
    words = [str(word) for word in command]
    try:
        result = subprocess.run(words, capture_output=True, text=True, check=False, errors="replace")
    except FileNotFoundError as error:
        raise InputError(f"--backend {backend}: needs {words[0]}, which is not installed") from error
    if result.returncode == 0:
        return
    name = "cmake" if words[0] == "cmake" else "infer_310"
    message = f"{name}: {_message(result.stderr) or f'status {result.returncode}'}"
    raise (InputError if result.returncode == wrong_input else DeviceError)(message)


def _message(stderr: str) -> str:
    """Returns in one line what a program said last, with the first and last error that MindSpore Lite logged before."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    logged = [found[1] for found in map(_LOGGED.match, lines) if found]
    logged = [
        each for each in logged if "null exception handler" not in each
    ]  # comes before every exception's own line
    prefix = "infer_310: error: "
    own = next((line[len(prefix) :] for line in lines if line.startswith(prefix)), " ".join(lines)[:400])
    if not logged:
        return own
    return f"{own} MindSpore Lite: {'; '.join(dict.fromkeys((logged[0], logged[-1])))}"
