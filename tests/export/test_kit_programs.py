"""The kit's Python programs, called without MindSpore Lite: wrong input is one line and status 2."""

import importlib.util
import sys

import pytest
from permissions import locked_up

from mindaudio_ext.export.kit import PROGRAMS


def call(name, arguments, monkeypatch):
    """Returns the exit status of a program of the runner."""
    spec = importlib.util.spec_from_file_location(f"kit_{name}", PROGRAMS / "runner" / f"{name}.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.setitem(sys.modules, "mindspore_lite", None)  # importing it fails
    return program.main([str(word) for word in arguments])


@pytest.fixture
def folder(tmp_path):
    """A graph, and inputs of one chunk."""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs/000000.bin").write_bytes(bytes(4 * 100))
    (tmp_path / "inputs/inputs.txt").write_text("inputs 1 float32 100 2\na 000000.bin 100 1\n")
    (tmp_path / "x.mindir").write_bytes(b"x")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/outputs.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "path", "mode", "named"),
    [
        ("infer_310", "inputs", 0, "inputs/inputs.txt"),
        ("infer_310", "inputs/inputs.txt", 0, "inputs/inputs.txt"),
        ("infer_310", "x.mindir", 0, "x.mindir"),
        ("infer_310", "outputs", 0o555, "outputs/outputs.txt"),
        ("convert", "x.mindir", 0, "x.mindir"),
        ("convert", ".", 0, "x.mindir"),
    ],
)
def test_what_may_not_be_read_or_written_is_named(folder, monkeypatch, capsys, name, path, mode, named):
    arguments = [folder / "x.mindir", folder / "y"]
    if name == "infer_310":
        options = ("--model", folder / "x.mindir", "--inputs", folder / "inputs", "--outputs", folder / "outputs")
        arguments = list(options)
    with locked_up(folder / path, mode):
        assert call(name, arguments, monkeypatch) == 2
    assert capsys.readouterr().err == f"{name}: error: {folder / named}: Permission denied\n"
