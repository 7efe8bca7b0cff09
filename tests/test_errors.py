"""How a command ends: one line and a status, whatever goes wrong, and quietly when that is what the user wants."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from tiny_experiment import make_data, make_experiment, write_wav

from mindaudio_ext.errors import InputError, command, one_line, shown

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # it changes what is printed when


def ending(error, *options):
    """Runs a command that ends with an error."""

    def act(args):
        raise error

    return command(lambda: argparse.ArgumentParser(prog="cmd"), act)(list(options))


def not_utf8(text, encoding="utf-8"):
    """Returns the error of a text that cannot be encoded."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("a.wav:\n is empty"), 2, "cmd: error: a.wav: is empty\n"),
        (OSError(28, "No space left on device", "x"), 1, "cmd: error: x: No space left on device\n"),
        (IsADirectoryError(21, "Is a directory", "x"), 2, "cmd: error: x: Is a directory\n"),
        (OSError(36, "File name too long", "x"), 2, "cmd: error: x: File name too long\n"),
        (not_utf8("a 1.wav\nb \udcff.wav\n"), 2, "cmd: error: b \\udcff: a name that is not UTF-8 cannot be written"),
        (not_utf8("\ud83dx", "ascii"), 2, "cmd: error: \\ud83d: a name that is not UTF-8 cannot be written"),
        (not_utf8("é", "ascii"), 1, "cmd: error: internal error: UnicodeEncodeError: 'ascii' codec can't encode"),
        (PermissionError(13, "Permission denied", "x"), 2, "cmd: error: x: Permission denied\n"),
        (OSError(30, "Read-only file system", b"x", None, b"y"), 2, "cmd: error: x -> y: Read-only file system\n"),
        (BrokenPipeError(32, "Broken pipe"), 1, "cmd: error: [Errno 32] Broken pipe\n"),  # not that of stdout
        (UnboundLocalError("no x\n\nStack:\n..."), 1, "cmd: error: internal error: UnboundLocalError: no x; --debug"),
        (RecursionError(), 1, "cmd: error: internal error: RecursionError; --debug shows where\n"),
        (MemoryError("Unable to allocate 7 TiB"), 1, "cmd: error: not enough memory: Unable to allocate 7 TiB\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_is_one_line_and_a_status(capsys, error, status, line):
    with pytest.raises(SystemExit) as ended:
        ending(error)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (status, "")
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == bool(line)


@pytest.mark.parametrize("error", [InputError("a"), OSError("b"), ValueError("c")])
def test_debug_shows_the_traceback(error):
    with pytest.raises(type(error)):
        ending(error, "--debug")


def test_a_line_is_short_and_has_nothing_that_a_terminal_obeys():
    assert one_line("a\x1b[2Jb\n\tc\x00 \udcff") == "a\\x1b[2Jb c\\x00 \\udcff"
    long = one_line("first" + 9000 * "x" + "last")
    assert (len(long), long[:5], long[-4:]) == (1505, "first", "last")


def test_values_are_shown_short():
    assert shown("a" * 9000) == f"'{27 * 'a'}...{28 * 'a'}'"
    assert shown(3) == "3"
    bomb = [0]
    for _ in range(100):
        bomb = [bomb, bomb]
    assert len(shown(bomb)) < 1000


# Stands for `python -m`, and presses Ctrl-C when the given module is imported.
PRESS = """
import os, runpy, signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
module = sys.argv[1]
name = sys.argv[2]
sys.meta_path.insert(0, Press())
sys.argv = ["-m", *sys.argv[3:]]
runpy.run_module("mindaudio_ext.bin." + name, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A folder with a model `exp` and a recording `mix.wav` of ten minutes, which take some seconds."""
    folder = tmp_path_factory.mktemp("recording")
    make_experiment(folder / "exp")
    write_wav(folder / "mix.wav", np.random.default_rng(0).integers(-3000, 3000, 600 * 8000).astype(np.int16))
    return folder


def separate(folder):
    return ["separate", str(folder / "mix.wav"), "--model", str(folder / "exp"), "-o", str(folder / "out")]


@pytest.mark.parametrize("module", ["numpy.linalg", "mindspore.common", "mindspore.nn.cell"])
def test_ctrl_c_during_an_import_ends_a_command_quietly(recording, module):
    run = subprocess.run(
        [sys.executable, "-c", PRESS, module, *separate(recording)], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


def wait_for(is_so):
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_while_a_graph_runs_leaves_nothing(recording):
    """The same output folder is used again, and what is half written is removed."""
    run = subprocess.Popen(
        [sys.executable, "-m", "mindaudio_ext.bin.separate", *separate(recording)[1:]],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: "libmindspore" in Path(f"/proc/{run.pid}/maps").read_text() and (recording / "out").is_dir())
    time.sleep(3)  # by now it compiles or runs the graph
    run.send_signal(signal.SIGINT)
    assert run.communicate(timeout=120) == ("", "")
    assert run.returncode == 130
    assert list((recording / "out").iterdir()) == []


@pytest.mark.parametrize("tool", [False, True])
def test_ctrl_c_in_a_terminal_reaches_workers_and_all_are_quiet(tmp_path, tool):
    """It goes to the whole group of processes: the script, the command, its processes."""
    make_data(tmp_path, {f"u{n:03}": 400 for n in range(100)})
    program = ["bash", "tools/validate_data_dir.sh"] if tool else [sys.executable, "-m"]
    program += [] if tool else ["mindaudio_ext.bin.validate_data_dir"]
    run = subprocess.Popen(
        [*program, str(tmp_path), "--nj", "2"],
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: "multiprocessing" in commands_of(run.pid) or run.poll() is not None)
    os.killpg(run.pid, signal.SIGINT)
    printed = run.communicate(timeout=120)
    assert (run.returncode, printed) == (130, ("", ""))
    wait_for(lambda: not commands_of(run.pid))


def test_ctrl_c_ends_the_children_of_a_command():
    code = (
        "import subprocess, threading\n"
        "from mindaudio_ext.interrupt import watch\n"
        "watch()\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "threading.Event().wait()\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(run.stdout.readline()))
    assert child.name() == "sleep"
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=120) == 130
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def commands_of(group):
    """The command lines of all processes of a group, one a line."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    return "\n".join(words[2] for words in lines if words[0] == str(group) and not words[1].startswith("Z"))


CLOSED = "{{ {}; echo status $? >&2; }} | true"  # true reads nothing and ends


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("python -m mindaudio_ext.bin.separate --help", "141"),
        ("python -m mindaudio_ext.bin.separate --list", "141"),
        ("python -m mindaudio_ext.bin.config --base conf/base.yaml --print lr", "141"),
    ],
)
def test_a_closed_standard_output_ends_a_command_quietly(words, status):
    run = subprocess.run(
        ["bash", "-c", CLOSED.format(words)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert run.stderr == f"status {status}\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_told(unbuffered):
    words = "python -m mindaudio_ext.bin.config --base conf/base.yaml --print lr >/dev/full"
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    run = subprocess.run(["bash", "-c", words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (
        1,
        "python -m mindaudio_ext.bin.config: error: [Errno 28] No space left on device\n",
    )
