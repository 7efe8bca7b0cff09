"""What tests need and the set-up does not bring: `@pytest.mark.needs("g++")`, `needs("speech_data")`, `needs("pesq")`.

`needs("--all")` is for those that take minutes and show what shorter ones show: they run under `tools/test.sh --all`.

A test whose need is missing is listed as NOT RUN at the end of the run; with `--all-required` it fails instead.
This is the only place that leaves tests out.
"""

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest

from mindaudio_ext.device import set_environment

set_environment("CPU")  # before a test file imports MindSpore: two workers on two cores stall for seconds without it
ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"chromium": browser.COMMANDS, "g++": ("g++", "clang++")}
PACKAGES = (  # optional
    *("ipykernel", "nbclient", "onnx", "onnxruntime", "pesq", "pyannote", "pyroomacoustics", "starlette", "uvicorn"),
)
# Programs of other environments, with torch and MindSpore Lite: --doctest-modules would import them.
collect_ignore = ["convert/write_torch_files.py", "export/lite_program.py", "conftest.py"]
collect_ignore_glob = ["*/conftest.py"]  # they have one name, and to --doctest-modules the last one read is all of them


def speech_data_folder() -> Path:
    """The folder of real speech: SPEECH_DATA, by default ../shared/data from the root."""
    return Path(os.environ.get("SPEECH_DATA") or ROOT.parent / "shared" / "data")


def is_there(need: str) -> bool:
    """Whether this machine has the speech data, or a command or optional package of that name."""
    if need == "speech_data":
        return speech_data_folder().is_dir()
    if need == "mounts":
        return bool(shutil.which("unshare")) and subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0
    if need == "asteroid":
        return (ROOT / "tools/bench/venv").is_dir()  # tools/bench/setup_asteroid.sh makes it
    if need == "network_namespaces":
        return network_namespaces_can_be_made()
    if need == "slurm":  # apt-get install slurm-wlm munge; slurmd is root's
        return os.geteuid() == 0 and all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch", "squeue")))
    if need == "docs":
        return (ROOT / "tools/docs_venv").is_dir()  # tools/docs.sh makes it
    if need == "lite":
        return (ROOT / "tools/lite/.complete").is_file()  # tools/setup_lite.sh makes it
    if need in PACKAGES:
        return importlib.util.find_spec(need) is not None
    return any(shutil.which(command) for command in COMMANDS.get(need, (need,)))


@functools.cache
def network_namespaces_can_be_made() -> bool:
    """Whether this is Linux, with `ip`, and we may."""
    name = f"mindaudio_ext_{os.getpid()}"
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return False
    return subprocess.run(["ip", "netns", "delete", name], capture_output=True).returncode == 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-required", action="store_true", help="fail tests whose needs are missing")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(name, ...): commands, packages, or speech_data, that the test cannot do without"
    )
    config.addinivalue_line("markers", "slow: takes a minute or more; tools/test.sh --quick leaves it out")
    config.addinivalue_line("markers", "lite: uses the real MindSpore Lite of tools/lite; -m lite runs these alone")


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs = [name for marker in item.iter_markers("needs") for name in marker.args]
    all_required = item.config.getoption("--all-required")
    missing = ", ".join(name for name in needs if not (all_required if name == "--all" else is_there(name)))
    if not missing:
        return
    if item.config.getoption("--all-required"):
        pytest.fail(f"needs {missing}", pytrace=False)
    pytest.skip(f"needs {missing}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith("needs "):
            terminalreporter.write_line(f"NOT RUN: {report.nodeid} ({reason})")


@pytest.fixture
def speech_data() -> Path:
    """The folder of real speech; the test also carries `needs("speech_data")`."""
    return speech_data_folder()


@pytest.fixture(autouse=True)
def ctrl_c() -> None:
    """What a test starts gets Ctrl-C, though `pytest ... &` ignores it, and a command that ran here blocks it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@pytest.fixture(autouse=True, scope="module")
def mindspore_mode() -> Iterator[None]:
    """Returns MindSpore its default mode back: commands choose graphs, and that holds for the whole process."""
    yield
    if "mindspore" in sys.modules:
        import mindspore

        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
