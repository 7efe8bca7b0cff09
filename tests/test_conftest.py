"""Tests that cannot run here are listed, or fail when all are required."""

import os
import shutil
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


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        ([], 0, "NOT RUN: test_needs.py::test_left_out (needs no-such-command)"),
        (["--all-required"], 1, "1 passed, 1 error"),
    ],
)
def test_needs(tmp_path, options, status, line):
    for name in ("conftest.py", "browser.py"):
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    (tmp_path / "test_needs.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stdout
    assert line in result.stdout


def test_speech_data_is_named_by_the_environment(monkeypatch, tmp_path, request):
    conftest = next(plugin for plugin in request.config.pluginmanager.get_plugins() if hasattr(plugin, "is_there"))
    monkeypatch.setenv("SPEECH_DATA", str(tmp_path))
    assert conftest.is_there("speech_data")
    monkeypatch.setenv("SPEECH_DATA", str(tmp_path / "missing"))
    assert not conftest.is_there("speech_data")


def test_graphs_run_as_in_the_commands():
    """Without it the test of training took six times as long, at random."""
    assert os.environ["MS_DEV_HOST_BLOCKING_RUN"] == "1"
