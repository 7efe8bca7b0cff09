"""What tests need and the set-up does not bring: `@pytest.mark.needs("g++")`, `needs("speech_data")`, `needs("pesq")`.

`needs("--all")` is for those that take minutes and show what shorter ones show: they run under `tools/test.sh --all`.

A test whose need is missing is listed as NOT RUN at the end of the run; with `--all-required` it fails instead.
This is the only place that leaves tests out.
"""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"chromium": browser.COMMANDS, "g++": ("g++", "clang++")}
PACKAGES = ("onnx", "onnxruntime", "pesq")  # optional ones
NOT_RUN = pytest.StashKey[list[str]]()


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
    config.stash[NOT_RUN] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs = [name for marker in item.iter_markers("needs") for name in marker.args]
    all_required = item.config.getoption("--all-required")
    missing = ", ".join(name for name in needs if not (all_required if name == "--all" else is_there(name)))
    if not missing:
        return
    if item.config.getoption("--all-required"):
        pytest.fail(f"needs {missing}", pytrace=False)
    item.config.stash[NOT_RUN].append(f"NOT RUN: {item.nodeid} (needs {missing})")
    pytest.skip(f"needs {missing}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[NOT_RUN]:
        terminalreporter.write_line(line)


@pytest.fixture
def speech_data() -> Path:
    """The folder of real speech; the test also carries `needs("speech_data")`."""
    return speech_data_folder()


@pytest.fixture(autouse=True, scope="module")
def mindspore_mode() -> Iterator[None]:
    """Gives MindSpore its default mode back: commands choose graphs, and that holds for the whole process."""
    yield
    if "mindspore" in sys.modules:
        import mindspore

        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
