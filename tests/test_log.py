"""The package's lines: where they go and what they look like."""

import errno
import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindaudio_ext import log

ROOT = Path(__file__).parents[1]
LOGGER = logging.getLogger("mindaudio_ext.tests")


@pytest.fixture(autouse=True)
def as_before():
    yield
    log.to_stderr()


def test_notes_are_bare_and_warnings_say_so(capsys):
    log.to_stderr()
    log.to_stderr()  # as each command does
    LOGGER.info("dump dev: %d of %d", 1, 4)
    LOGGER.warning("a key is odd")
    LOGGER.debug("a detail")
    assert capsys.readouterr() == ("", "dump dev: 1 of 4\nwarning: a key is odd\n")


def test_a_training_has_times_and_a_file(tmp_path, capsys):
    log.of_training(tmp_path / "exp" / "train.log")
    LOGGER.warning("a step was skipped")
    LOGGER.info("epoch 1")
    log.to_stderr()
    LOGGER.info("later")
    written = (tmp_path / "exp" / "train.log").read_text()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(f"{time} a step was skipped\n{time} epoch 1\n", written)
    assert capsys.readouterr().err == f"{written}later\n"


def test_a_file_alone(tmp_path, capsys):
    log.to_stderr()
    for line in ("one", "two"):
        with log.file_alone(tmp_path / "decode.log") as only:
            only.info("%s", line)
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"
    assert re.fullmatch(f"{time} one\n{time} two\n", (tmp_path / "decode.log").read_text())
    assert capsys.readouterr() == ("", "")


def test_a_line_that_cannot_be_written_is_an_error(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(OSError, match="No space left"):
        LOGGER.info("progress")


def test_a_library_says_nothing_but_warnings():
    code = (
        "import logging, mindaudio_ext.log\n"
        "log = logging.getLogger('mindaudio_ext.data')\n"
        "log.info('progress')\n"
        "log.warning('odd')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "odd\n")
