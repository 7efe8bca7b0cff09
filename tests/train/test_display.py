"""The bar on a terminal and the lines of the log, by numbers."""

import io
import logging
import sys
from pathlib import Path

from mindaudio_ext import log
from mindaudio_ext.config import load_config
from mindaudio_ext.train.display import StepDisplay
from mindaudio_ext.train.step import StepResult

CONFIG = load_config(Path(__file__).parents[2] / "conf/base.yaml", None, ["epochs=3 batch_size=4 log_interval=2"])
SUMMARY = "loss -2.00, lr 0.001, gradient norm 3.00, 32.0 s of audio a second, 2 s of training left"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show_two_steps():
    """Steps 2 and 3 of 4 of epoch 2 of 3, of 16 s of audio in half a second: 5 steps are left."""
    with StepDisplay(CONFIG, epoch=2, n_steps=4, done=1) as display:
        display.show(StepResult(-1.0, 2.0, True), 1e-3, 0.5)
        first = str(display._bar)
        display.show(StepResult(-3.0, 4.0, True), 1e-3, 0.5)
        return first, str(display._bar)


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    first, second = show_two_steps()
    assert "epoch 2/3:  50%" in first
    assert "3/4" in second
    assert SUMMARY in second
    assert sys.stderr.getvalue()


def test_lines_elsewhere(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "mindaudio_ext")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    log.to_stderr()
    show_two_steps()
    (line,) = caplog.messages
    assert sys.stderr.getvalue() == f"{line}\n"  # and no bar
    assert line.startswith("epoch 2, step 2 of 4: loss -1.00, lr 0.001, gradient norm 2.00, 32.0 s of audio a second")
