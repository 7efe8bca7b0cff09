"""The one command: it lists the others without importing them, and hands on what it is given."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindaudio_ext import __version__
from mindaudio_ext.__main__ import commands, main

ROOT = Path(__file__).parents[1]


def said(capsys, *words):
    """Returns the exit status, stdout and stderr of a call."""
    status = 0
    try:
        main([*words])
    except SystemExit as leave:
        status = leave.code
    return status, *capsys.readouterr()


def test_every_program_is_a_command_with_the_beginning_of_its_description():
    programs = {path.stem for path in (ROOT / "mindaudio_ext/bin").glob("*.py")} - {
        "__init__",
        "arguments",
        "rank",
        "shard",
        "stage_job",
    }
    assert set(commands()) == programs
    for name, text in commands().items():
        module = importlib.import_module(f"mindaudio_ext.bin.{name}")
        assert text.endswith(".")
        assert " ".join(module.parser().description.split()).startswith(text)


def test_listing_imports_no_command():
    code = (
        "import sys\n"
        "from mindaudio_ext.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'numpy', 'yaml', 'pydantic', 'mindspore', 'mindaudio_ext.bin.config'} & set(sys.modules))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert re.search(r"^  dump +Makes a MindRecord directory of a data directory\.$", run.stdout, re.MULTILINE)
    assert run.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tran"], "no command 'tran' (did you mean 'train'?); mindaudio-ext --help lists them"),
        (["options"], "no command 'options'; mindaudio-ext --help lists them"),  # a module, but none with a parser
        ([], "needs a command; mindaudio-ext --help lists them"),
        (["--verzion"], "unrecognized arguments: --verzion; --help lists the options"),
    ],
)
def test_no_such_command(words, line, capsys):
    assert said(capsys, *words) == (2, "", f"mindaudio-ext: error: {line}\n")


def test_version(capsys):
    assert said(capsys, "--version") == (0, f"mindaudio-ext {__version__}\n", "")


def test_a_command_gets_its_words_and_its_full_name(capsys):
    assert said(capsys, "config", "--set", "lr=0.5", "--print", "lr") == (0, "0.5\n", "")
    line = "mindaudio-ext config: error: --print: unknown key 'lrr' (did you mean 'lr'?)\n"
    assert said(capsys, "config", "--print", "lrr") == (2, "", line)
    status, out, err = said(capsys, "dump", "--help")
    assert (status, err) == (0, "")
    assert out.startswith("usage: mindaudio-ext dump [-h] --data DATA --out OUT")
