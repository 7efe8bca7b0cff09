"""One process at a time in a folder: the second one is told who is there, and a killed one is in nobody's way."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_experiment import BASE, make_data, make_experiment

from mindaudio_ext.bin import decode, export, launch, score, train
from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.lock import locked

HOST, PROGRAM = socket.gethostname(), Path(sys.argv[0]).stem


def test_the_second_is_told_who_has_it_and_nothing_is_left(tmp_path):
    with locked(tmp_path / "exp"):
        assert [path.name for path in (tmp_path / "exp").iterdir()] == [".lock"]
        with pytest.raises(InputError) as refused, locked(tmp_path / "exp"):
            pass
        with locked(tmp_path / "exp", part="separated_test"):  # another part of it
            pass
    assert str(refused.value) == (
        f"{tmp_path}/exp: is in use by {PROGRAM} (process {os.getpid()} on {HOST}); "
        "wait until that ends, or give another folder"
    )
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "exp"):
        (tmp_path / "exp" / "train.log").touch()
    assert [path.name for path in (tmp_path / "exp").iterdir()] == ["train.log"]


def test_the_lock_ends_with_its_process(tmp_path):
    program = "import sys, time; from mindaudio_ext.lock import locked\nwith locked(sys.argv[1]): time.sleep(99)"
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    deadline = time.monotonic() + 300
    while not (tmp_path / ".lock").exists() or not (tmp_path / ".lock").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        refusal = re.escape(f"is in use by -c (process {holder.pid} on {HOST})")
        with pytest.raises(InputError, match=refusal), locked(tmp_path):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()


@pytest.mark.parametrize("is_link", [False, True])
def test_a_users_file_of_that_name_stays(tmp_path, is_link):
    mine = tmp_path / ("thesis.tex" if is_link else ".lock")
    mine.write_text("mine")
    if is_link:
        (tmp_path / ".lock").symlink_to(mine)
    says = r"\.lock: is in the way of a lock and was not made by this command"
    with pytest.raises(InputError, match=says), locked(tmp_path):
        pass
    assert mine.read_text() == "mine"


def test_of_many_one_has_it(tmp_path):
    inside, together, taken = [], [], []

    def work():
        while len(taken) < 200:
            try:
                with locked(tmp_path):
                    inside.append(1)
                    together.append(len(inside))
                    taken.append(1)
                    inside.pop()
            except InputError:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(together) == {1}
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_experiment(folder / "exp")
    make_data(folder / "test", {"a": 100})
    save_config(load_config(BASE, None), folder / "config.yaml")
    (folder / "exp/log").mkdir()
    (folder / "exp/log/worker_0.json").write_text("of the first launch")
    return folder


@pytest.mark.parametrize(
    ("command", "part", "options"),
    [
        (train, "", ["--config", "config.yaml", "--train", "dump/train", "--valid", "dump/dev", "--expdir", "exp"]),
        (launch, "0", ["--ngpu", "2", "--log_dir", "exp/log", "mindaudio_ext.bin.train"]),
        (decode, "separated_test", ["--expdir", "exp", "--data", "test", "--reference_protocol", "false"]),
        (score, "separated_test", ["--expdir", "exp", "--data", "test"]),
        (score, "score", ["--expdir", "exp", "--data", "test"]),
        (export, "export", ["--expdir", "exp", "--data", "test"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_commands_refuse_in_one_line(made, monkeypatch, capsys, command, part, options):
    monkeypatch.chdir(made)
    before = sorted(made.rglob("*"))
    folder = "exp/log" if command is launch else "exp"
    with locked(folder, part), pytest.raises(SystemExit) as stop:
        command.main(options)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert f"is in use by {PROGRAM} (process {os.getpid()} on {HOST})" in error
    assert error.count("\n") == 1
    assert sorted(made.rglob("*")) == before
