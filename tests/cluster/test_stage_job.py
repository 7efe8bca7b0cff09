"""A stage as one job of a real Slurm: a training stopped before its limit goes on, one that is cancelled does not."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mindaudio_ext import stage_job
from mindaudio_ext.bin import launch as bin_launch
from mindaudio_ext.cluster import Slurm
from mindaudio_ext.errors import InputError
from mindaudio_ext.stage_job import StageJob, run_job
from mindaudio_ext.train.launch import Cluster

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
needs_slurm = pytest.mark.needs("slurm")


@pytest.fixture
def job(tmp_path, slurm, monkeypatch):
    """Runs the job of a folder; `later` is called with its name when both nodes have started, or after some minutes."""
    monkeypatch.setenv("SLURM_CONF", str(slurm / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{HERE}")
    monkeypatch.setattr(stage_job, "_LOOK_SECONDS", 0.3)
    monkeypatch.setattr(stage_job, "_SEEN_SECONDS", 1.0)
    (tmp_path / "config.yaml").write_text("epochs: 1\n")

    def when_started(later):
        deadline = time.monotonic() + 200
        while not (starts(tmp_path) == [1, 1] or time.monotonic() > deadline):
            time.sleep(0.1)
        time.sleep(0.5)
        (folder,) = (tmp_path / "jobs").iterdir()
        later(folder.name)

    def run(later=None, options=(), **what):
        arguments = ["train_work", str(tmp_path), "--config", str(tmp_path / "config.yaml")]
        what = {"num_nodes": 2, "state": tmp_path / "saved.0"} | what
        with ThreadPoolExecutor() as threads:
            if later:
                threads.submit(when_started, later)
            return run_job(StageJob(arguments, **what), Slurm(options, 2, tmp_path / "jobs"))

    return run


def scancel(*options):
    return lambda job: subprocess.run(["scancel", *options, f"--name={job}"], check=True, timeout=200)


def starts(folder):
    files = [folder / f"starts.{rank}" for rank in (0, 1)]
    return [len(file.read_text()) if file.exists() else 0 for file in files]


@needs_slurm
def test_the_signal_before_the_limit_saves_and_goes_on(job, tmp_path, capfd):
    """The signal is the one that --signal=B:USR1@120 sends."""
    assert job(scancel("--batch", "--signal=USR1")) == 0
    assert starts(tmp_path) == [2, 2]
    assert (tmp_path / "saved.0").exists()
    assert "node 1 of 2" in capfd.readouterr().err


@needs_slurm
@pytest.mark.needs("--all")
def test_within_a_limit_of_a_minute_slurm_itself_signals(job, tmp_path, capfd):
    """It looks at limits twice a minute, and sends at once what is due 120 s before the end."""
    assert job(options=("--partition=short",)) == 0
    assert starts(tmp_path) == [2, 2]
    assert "the job goes into the queue again, and on from its saved state" in capfd.readouterr().err


@needs_slurm
def test_a_limit_in_which_nothing_is_saved_ends_the_job(job, tmp_path, capfd):
    """Else it would go into the queue again for ever."""
    with pytest.raises(OSError, match=r"train: the job ended with exit status 143; its log: .*/log$"):
        job(scancel("--batch", "--signal=USR1"), state=tmp_path / "never")
    assert starts(tmp_path) == [1, 1]
    assert "train: error: the time is nearly over, and nothing was saved in it" in capfd.readouterr().err


@needs_slurm
def test_a_cancelled_job_goes_on_by_the_same_command(job, tmp_path):
    with pytest.raises(OSError, match=r"the job was cancelled or killed; the same command goes on; log: .*/log$"):
        job(scancel("--me"))
    assert starts(tmp_path) == [1, 1]
    assert job() == 0
    assert starts(tmp_path) == [2, 2]


@needs_slurm
def test_a_task_that_fails_ends_the_job(job, tmp_path):
    (tmp_path / "fail").touch()
    with pytest.raises(OSError, match=r"train: the job ended with exit status 3; its log: .*/log$"):
        job()


def kill_node(slurm, number):
    """Kills all that runs in the network of a node."""
    of_node = os.readlink(f"/proc/{(slurm / f'slurmd.node{number}.pid').read_text().strip()}/ns/net")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "ns/net") == of_node:
                os.kill(int(process.name), signal.SIGKILL)


@needs_slurm
@pytest.mark.needs("--all", "network_namespaces")
def test_a_job_whose_node_dies_ends_and_goes_on_when_there_are_nodes(
    job, slurm, tmp_path, capfd, caplog, wait_for, manage
):
    caplog.set_level("INFO")
    conf = slurm / "slurm.conf"
    conf.write_text(conf.read_text().replace("InactiveLimit=0\n", "InactiveLimit=0\nSlurmdTimeout=15\n"))
    subprocess.run(["scontrol", "reconfigure"], env=os.environ | {"SLURM_CONF": str(conf)}, check=True, timeout=200)

    def later(_):
        kill_node(slurm, 1)
        down = ["squeue", "--noheader", "--format=%r"]
        wait_for(lambda: "DOWN" in subprocess.run(down, capture_output=True, text=True, timeout=200).stdout, "the end")
        (tmp_path / "saved.1").touch()
        manage("node", slurm, "1")

    assert job(later) == 0
    assert starts(tmp_path) == [2, 2]
    assert "srun: error: Node failure on node1" in capfd.readouterr().err
    assert any(line.startswith("train: pending (Nodes required for job are DOWN") for line in caplog.messages)


@needs_slurm
def test_an_export_is_a_job_without_a_state(job, tmp_path, capfd):
    (tmp_path / "saved.0").touch()
    assert job(title="export", num_nodes=1, state=None) == 0
    assert starts(tmp_path) == [1, 0]
    assert "node 0 of 1" in capfd.readouterr().err
    (script,) = tmp_path.glob("jobs/export.*/job.sh")
    assert "unset MINDAUDIO_EXT_SLURM" in script.read_text()


def test_a_launcher_of_srun_needs_srun(monkeypatch):
    for name, value in (("JOB_ID", "7"), ("STEP_NUM_NODES", "2"), ("NODEID", "1"), ("LAUNCH_NODE_IPADDR", "10.0.0.1")):
        with pytest.raises(InputError, match=f"--slurm: SLURM_{name} is not set"):
            Cluster.of_slurm(4)
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert Cluster.of_slurm(4) == Cluster(4, 2, 1, "10.0.0.1", 20014)


@pytest.mark.parametrize(
    "options",
    [["--slurm"], ["--num_nodes", "2", "--node_rank", "1", "--master_addr", "10.0.0.1", "--master_port", "8118"]],
    ids=["slurm", "by hand"],
)
def test_nodes_that_share_a_folder_have_logs_of_their_own(monkeypatch, tmp_path, options):
    """Each launch removes the logs of an earlier one, and removed those of the other node."""
    for name, value in (("JOB_ID", "7"), ("STEP_NUM_NODES", "2"), ("NODEID", "1"), ("LAUNCH_NODE_IPADDR", "10.0.0.1")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    folders = []
    monkeypatch.setattr(bin_launch, "launch", lambda *_, cluster, log_dir: folders.append(log_dir) or 0)
    with pytest.raises(SystemExit, match="0"):
        bin_launch.main([*options, "--ngpu", "1", "--log_dir", str(tmp_path), "train_work"])
    assert folders == [tmp_path / "node_1"]
