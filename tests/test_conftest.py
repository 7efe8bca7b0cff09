"""Tests that cannot run here are listed, or fail when all are required."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """import pytest

@pytest.mark.needs("no-such-command")
def test_left_out():
    raise AssertionError("must not run")

@pytest.mark.needs("sh")
def test_run():
    pass
"""
TESTS_OF_CTRL_C = """import signal

from mindaudio_ext import interrupt

def test_in_the_background():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    interrupt.watch()
    assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

def test_after_a_command():
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
"""


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        ([], 0, "NOT RUN: test_needs.py::test_left_out (needs no-such-command)"),
        (["--all-required"], 1, "1 passed, 1 error"),
    ],
)
def test_needs(tmp_path, options, status, line):
    result = run_pytest(tmp_path, TESTS, *options)
    assert result.returncode == status, result.stdout
    assert line in result.stdout


def test_ctrl_c_reaches_what_a_test_starts(tmp_path):
    """In the background of a script, and after a command has run in this process."""
    result = run_pytest(tmp_path, TESTS_OF_CTRL_C, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert result.returncode == 0, result.stdout


def run_pytest(folder, text, *options, **how):
    """Runs the tests of a text with a copy of our conftest.py."""
    for name in ("conftest.py", "browser.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    (folder / "test_needs.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **how)


def test_speech_data_is_named_by_the_environment(monkeypatch, tmp_path, request):
    conftest = next(plugin for plugin in request.config.pluginmanager.get_plugins() if hasattr(plugin, "is_there"))
    monkeypatch.setenv("SPEECH_DATA", str(tmp_path))
    assert conftest.is_there("speech_data")
    monkeypatch.setenv("SPEECH_DATA", str(tmp_path / "missing"))
    assert not conftest.is_there("speech_data")


def test_graphs_run_as_in_the_commands():
    """Without it the test of training took six times as long, at random."""
    assert os.environ["MS_DEV_HOST_BLOCKING_RUN"] == "1"
