"""Several processes: all end well or all end, the one that failed is named, and none is left."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindaudio_ext.bin import rank
from mindaudio_ext.bin.launch import main as launcher
from mindaudio_ext.errors import InputError
from mindaudio_ext.train import launch as module
from mindaudio_ext.train.launch import LAUNCHER, Cluster, RankStatus, free_port, own_device, tie_to_launcher

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}


def words(log_dir, *program, ngpu=2):
    return [
        *(sys.executable, "-m", "mindaudio_ext.bin.launch", "--ngpu", str(ngpu), "--log_dir", str(log_dir)),
        *("rank_programs", *map(str, program)),
    ]


def run(log_dir, *program, ngpu=2):
    return subprocess.run(
        words(log_dir, *program, ngpu=ngpu), env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )


def processes_of(folder):
    """All processes with this folder among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_all_end_well(tmp_path):
    done = run(tmp_path / "log", "end_well")
    assert (done.returncode, done.stderr) == (0, "rank 0 was here\n")
    assert (tmp_path / "log/worker_1.log").read_text() == "rank 1 was here\n"
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("program", "how"),
    [("die", "was killed by SIGKILL"), ("fail", "ended with exit status 1"), ("vanish", "ended before it was done")],
)
def test_a_rank_that_fails_is_named_and_ends_all(tmp_path, program, how):
    done = run(tmp_path / "log", program)
    assert done.returncode == 1
    assert done.stderr == f"launch: error: rank 1 {how}; its log: {tmp_path}/log/worker_1.log\n"
    assert processes_of(tmp_path) == []


def test_wrong_input_is_one_line_of_any_rank(tmp_path):
    done = run(tmp_path / "log", "refuse")
    assert (done.returncode, done.stderr) == (2, "train: error: wrong key\n")
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_launcher(tmp_path, number):
    launcher = subprocess.Popen(words(tmp_path / "log", "wait_to_be_told", tmp_path), env=ENVIRONMENT)
    wait_for(lambda: len(list(tmp_path.glob("process_*"))) == 2)
    launcher.send_signal(number)
    status = launcher.wait(timeout=300)
    if number == signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert status == 128 + number
        assert sorted(path.name for path in tmp_path.glob("told_*")) == ["told_0", "told_1"]
    wait_for(lambda: processes_of(tmp_path) == [])


def test_what_ended_earlier_says_nothing_about_now(tmp_path):
    """The notes of a launch before would let a rank that vanishes pass for done."""
    assert run(tmp_path / "log", "end_well").returncode == 0
    assert run(tmp_path / "log", "vanish").returncode == 1


def test_only_what_a_launch_writes_is_cleared(tmp_path):
    for name in ("worker_0.json", "worker_12.log", "scheduler.log", "msrun.log", "thesis.json", "worker.log", "a.log"):
        (tmp_path / name).write_text("x")
    RankStatus(tmp_path).clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "thesis.json", "worker.log"]


def test_notes_are_of_a_process(tmp_path):
    notes = RankStatus(tmp_path)
    assert (notes.process("worker_0"), notes.done("worker_0")) == (None, False)
    notes.write("worker_0", done=True)
    assert (notes.process("worker_0"), notes.done("worker_0")) == (os.getpid(), True)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ngpu": 0}, "--ngpu 0"),
        ({"ngpu": 1, "num_nodes": 2, "node_rank": 2}, "--node_rank 2: expected 0 to 1"),
        ({"ngpu": 1, "num_nodes": 2, "master_addr": "10.0.0.1"}, "--master_port"),
        ({"ngpu": 1, "num_nodes": 2, "master_port": 8118}, "--master_addr"),
        ({"ngpu": 1, "master_port": 80}, "--master_port 80: expected 1024 to 65534"),
    ],
)
def test_options_that_do_not_fit_are_named(options, named):
    with pytest.raises(InputError, match=re.escape(named)):
        Cluster(**options)


@pytest.fixture
def busy_port():
    """A port at which somebody listens; the one before it is not used."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port() + 1))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("before", [0, 1], ids=["the port", "the next one"])
def test_a_busy_port_is_named_before_anything_starts(tmp_path, capsys, busy_port, before):
    port = str(busy_port - before)
    with pytest.raises(SystemExit) as stop:
        launcher(["--ngpu", "2", "--master_port", port, "--log_dir", str(tmp_path / "log"), "rank_programs"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        f"launch: error: port {busy_port} of 127.0.0.1 is in use by another program; "
        "give another --master_port, which is free and so is the next one\n"
    )
    assert not (tmp_path / "log").exists()


def test_a_port_that_became_busy_is_named_by_the_scheduler(tmp_path, capsys, monkeypatch, busy_port):
    def fail():
        raise RuntimeError("It may be one of the following reasons: ...")

    monkeypatch.setattr("mindspore.communication.init", fail)
    monkeypatch.setattr(rank, "tie_to_launcher", lambda: None)
    monkeypatch.setattr(sys, "argv", ["rank", str(tmp_path), "rank_programs"])
    for name, value in {"MS_ROLE": "MS_SCHED", "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": str(busy_port)}.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stop:
            rank.main()
        monkeypatch.setenv("MS_SCHED_PORT", str(busy_port - 1))
        with pytest.raises(RuntimeError):  # something else
            rank.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stop.value.code == 2
    assert f"launch: error: port {busy_port} of 127.0.0.1 is in use" in capsys.readouterr().err


def test_the_ranks_of_a_machine():
    assert Cluster(4, num_nodes=3, node_rank=2, master_addr="10.0.0.1", master_port=8118).ranks == range(8, 12)


def test_a_launched_process_has_its_own_card(monkeypatch):
    monkeypatch.delenv("MS_ROLE", raising=False)
    assert own_device(5) == (5, None)
    for name, value in {"MS_ROLE": "MS_WORKER", "DEVICE_ID": "3", "OMP_NUM_THREADS": "2"}.items():
        monkeypatch.setenv(name, value)
    assert own_device(5) == (3, 2)


def test_a_rank_waits_for_msrun_to_leave_however_long_that_takes(monkeypatch):
    """On a machine with much to do it took more than a minute, and the rank said that the launcher had ended."""
    parents, ties = iter([1, 1, 1, os.getpid(), os.getpid()]), []
    clock = iter(range(0, 10**6, 1000))  # seconds
    monkeypatch.setenv(LAUNCHER, str(os.getpid()))
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(module, "_prctl", lambda *words: ties.append(words))
    tie_to_launcher()
    assert ties == [(module._PR_SET_PDEATHSIG, signal.SIGKILL)]


def test_a_rank_ends_when_its_launcher_has_ended_before_msrun_left(monkeypatch):
    ended = subprocess.Popen(["true"])  # nobody has asked for its status yet
    while Path(f"/proc/{ended.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.01)
    monkeypatch.setenv(LAUNCHER, str(ended.pid))
    with pytest.raises(SystemExit, match="the launcher has ended"):
        tie_to_launcher()
    ended.wait()
    with pytest.raises(SystemExit, match="the launcher has ended"):
        tie_to_launcher()
