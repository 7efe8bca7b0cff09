"""Array jobs on a real Slurm: what they give, what of them is run again, and what is said of what cannot be."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mindaudio_ext import cluster
from mindaudio_ext.cluster import read_options
from mindaudio_ext.errors import InputError

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SQUARES = "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"
SECONDS = 300  # for a command, on a machine that does much else
needs_slurm = pytest.mark.needs("slurm")


class Work:
    """A command that maps the squares of 0 to 9, in three shards."""

    def __init__(self, folder, slurm, conf="all --ntasks=1\n"):
        self.folder, self.jobs, self.started = folder, folder / "jobs", []
        (folder / "slurm.conf").write_text(conf)
        self.environment = os.environ | {
            "SLURM_CONF": str(slurm / "slurm.conf"),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}",
            "MINDAUDIO_EXT_SLURM": str(folder / "slurm.conf"),
            "MINDAUDIO_EXT_SHARDS": "3",
            "MINDAUDIO_EXT_JOBS": str(self.jobs),
        }

    def start(self):
        process = subprocess.Popen(
            [sys.executable, HERE / "cluster_work.py", self.folder],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self):
        process = self.start()
        out, errors = process.communicate(timeout=SECONDS)
        return process.returncode, out.strip(), errors

    def end(self):
        """Leaves nothing that waits, should a test have failed."""
        (self.folder / "wait").unlink(missing_ok=True)
        for process in self.started:
            process.kill()
            process.communicate()

    def calls(self):
        path = self.folder / "calls"
        return Counter(map(int, path.read_text().split())) if path.is_file() else Counter()

    def queued(self):
        words = ["squeue", "-h", "-r"]
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=True, timeout=SECONDS
        ).stdout


@pytest.fixture
def work(tmp_path, slurm):
    made = Work(tmp_path, slurm)
    yield made
    made.end()


def is_alive(process):
    """Whether there is the process; one that has ended may stay in the list where nobody asks for its status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@needs_slurm
def test_results_come_in_the_order_of_the_items(work, slurm):
    status, out, errors = work.run()
    assert (status, out) == (0, SQUARES), errors
    assert work.calls() == Counter(range(10))
    (job,) = work.jobs.iterdir()
    assert sorted(path.name for path in job.iterdir()) == ["log.0", "log.1", "log.2"]
    assert (slurm / "finished_jobs.txt").read_text().count(f"Name={job.name} JobState=COMPLETED") == 3
    assert "3 of 3 shards" in errors


@needs_slurm
def test_a_users_own_names_and_views_hide_no_job(work):
    work.environment["SQUEUE_STATES"] = "PENDING"
    (work.folder / "slurm.conf").write_text(f"all --ntasks=1 --job-name=mine --output={work.folder}/mine --array=0\n")
    status, out, errors = work.run()
    assert (status, out) == (0, SQUARES), errors
    assert not (work.folder / "mine").exists()


def test_what_ends_while_another_task_is_being_cancelled_is_not_run_again(tmp_path, monkeypatch):
    job = cluster.prepare(abs, [0, 1, 2], cluster.Slurm((), 3, tmp_path), title="sizes", fresh=False)
    queue = iter(["0 COMPLETING None\n1 RUNNING None\n", "2 RUNNING None\n"])
    submitted = []

    def answer(program, *arguments, **_):
        if program == "squeue":
            return next(queue)
        submitted.append([word for word in arguments if word.startswith("--array=")])
        return "7"

    monkeypatch.setattr(cluster, "run_slurm", answer)
    monkeypatch.setattr(time, "sleep", lambda _: job.results(1).touch())
    job.submit(job.missing())
    assert submitted == [["--array=0"]]


@needs_slurm
def test_a_shard_that_was_killed_is_named_and_it_alone_is_run_again(tmp_path, work):
    (tmp_path / "end.4").touch()  # of the shard 1: 1, 4, 7
    status, out, errors = work.run()
    assert (status, out) == (1, "")
    assert re.search(r"squares: of 3 shards failed: 1; .* log: \S+/log\.1", errors)
    (tmp_path / "end.4").unlink()
    status, out, errors = work.run()
    assert (status, out) == (0, SQUARES), errors
    assert work.calls() == Counter([*range(10), 1, 4, 7]) - Counter([7])  # 7 came after the end, in the first run


@needs_slurm
def test_wrong_input_found_by_a_shard_is_wrong_input(tmp_path, work):
    (tmp_path / "bad.5").touch()
    status, _, errors = work.run()
    assert status == 2
    assert errors.splitlines()[-1].startswith("cluster_work: error: bad.5: is there (shard 2 of 3; its log: ")


@needs_slurm
def test_a_killed_command_finds_its_jobs_again(tmp_path, work, wait_for):
    (tmp_path / "wait").touch()
    first = work.start()
    wait_for(lambda: sum(work.calls().values()) == 3, "three tasks that have begun")
    first.kill()
    first.wait()
    second = work.start()
    assert any("3 shards of a call before are found" in line for line in second.stderr)
    (tmp_path / "wait").unlink()
    out, errors = second.communicate(timeout=SECONDS)
    assert (second.returncode, out.strip()) == (0, SQUARES), errors
    assert work.calls() == Counter(range(10))


@needs_slurm
def test_sigterm_ends_the_jobs(tmp_path, work, wait_for):
    (tmp_path / "wait").touch()
    process = work.start()
    wait_for(lambda: sum(work.calls().values()) == 3, "three tasks that have begun")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=SECONDS) == 128 + signal.SIGTERM
    wait_for(lambda: work.queued() == "", "an empty queue")


def end_controller(slurm, wait_for):
    controller = int((slurm / "slurmctld.pid").read_text())
    os.kill(controller, signal.SIGTERM)
    wait_for(lambda: not is_alive(controller), "the end of slurmctld")


@needs_slurm
def test_jobs_that_cannot_be_cancelled_are_named(tmp_path, slurm, work, wait_for, manage):
    (tmp_path / "wait").touch()
    process = work.start()
    wait_for(lambda: sum(work.calls().values()) == 3, "three tasks that have begun")
    end_controller(slurm, wait_for)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=SECONDS)[1]
    manage("controller", slurm)
    (job,) = work.jobs.iterdir()
    line = f"the jobs could not be cancelled and go on; to end them: scancel --me --name={job.name}"
    assert (process.returncode, line in errors) == (128 + signal.SIGTERM, True), errors
    (tmp_path / "wait").unlink()
    wait_for(lambda: work.queued() == "", "an empty queue")


@needs_slurm
def test_slurmctld_may_be_away_while_jobs_run(tmp_path, slurm, work, wait_for, manage):
    (tmp_path / "wait").touch()
    process = work.start()
    wait_for(lambda: sum(work.calls().values()) == 3, "three tasks that have begun")
    end_controller(slurm, wait_for)
    (tmp_path / "wait").unlink()
    time.sleep(1)
    manage("controller", slurm)
    out, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, out.strip()) == (0, SQUARES), errors
    assert work.calls() == Counter(range(10))


@needs_slurm
def test_jobs_can_be_submitted_from_a_job(work, tmp_path):
    """So that what is joined is joined in a job too; what Slurm says of that job is no option of the others."""
    command = f"exec {sys.executable} {HERE}/cluster_work.py {tmp_path}"
    words = ["sbatch", "--wait", "--cpus-per-task=2", "--mem=100M", f"--output={tmp_path}/log", f"--wrap={command}"]
    subprocess.run(words, env=work.environment, check=True, capture_output=True, timeout=SECONDS)
    assert (tmp_path / "log").read_text().splitlines()[-1] == SQUARES


class Recipe:
    """A recipe whose stage 0 is the command of `work`, in a terminal of its own: run.sh, or its way to run a stage."""

    def __init__(self, work):
        self.work, self.pid = work, 0
        (work.folder / "conf").mkdir()
        (work.folder / "data.sh").write_text(f"""set -euo pipefail
data=data         # folder
nj=2              # processes (1-1024)
sample_rate=8000  # Hz
num_spks=2        # sources
. {ROOT}/tools/parse_options.sh
. {ROOT}/path.sh
. {ROOT}/tools/common.sh
run_command python {HERE}/cluster_work.py {work.folder}
""")

    def start(self, conf, *, whole):
        (self.work.folder / "conf/slurm.conf").write_text(conf)
        words = [str(ROOT / "run.sh"), "--recipe", str(self.work.folder), "--data_script", "data.sh"]
        words += ["--cmd", "slurm", "--nj", "3", "--stop_stage", "0"]
        if not whole:
            script = f". {ROOT}/tools/common.sh; current_stage=0; run_stage bash {self.work.folder}/data.sh; true"
            words = [shutil.which("bash"), "-c", script]
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:  # as a terminal starts it, whatever this process ignores: no shell takes that back
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.execve(words[0], words, self.work.environment)

    def press_ctrl_c(self):
        """The terminal makes a SIGINT of it, for all processes in its foreground."""
        os.write(self.terminal, b"\x03")

    def wait(self):
        """Returns the exit status and the last line on the terminal."""
        shown = b""
        with contextlib.suppress(OSError):  # nobody has the other end any more
            while more := os.read(self.terminal, 4096):
                shown += more
        os.close(self.terminal)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), shown.decode().splitlines()[-1]


@pytest.fixture
def recipe(work):
    made = Recipe(work)
    yield made
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(made.pid, signal.SIGKILL)


WHOLE = [False, pytest.param(True, marks=pytest.mark.needs("--all"))]  # run.sh imports MindSpore first


@pytest.fixture
def in_the_background():
    """As of `pytest ... &`, and after a command has run here: SIGINT is ignored and blocked, in children too."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGINT, handler)


@needs_slurm
@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.usefixtures("in_the_background")
def test_ctrl_c_ends_the_jobs_of_run_sh(recipe, work, wait_for, whole):
    (work.folder / "wait").touch()
    recipe.start("all --ntasks=1\n", whole=whole)
    wait_for(lambda: sum(work.calls().values()) == 3, "three tasks that have begun")
    recipe.press_ctrl_c()
    assert recipe.wait()[0] == 128 + signal.SIGINT
    wait_for(lambda: work.queued() == "", "an empty queue")
    assert work.calls() == Counter((0, 1, 2))


@needs_slurm
@pytest.mark.parametrize("whole", WHOLE)
def test_an_unknown_partition_is_slurms_own_word(recipe, work, whole):
    (work.folder / "slurm.conf").write_text("all --partition=none\n")
    recipe.start("0 --partition=none\n", whole=whole)
    line = "cluster_work: error: sbatch: invalid partition specified: none"
    assert recipe.wait() == (2, f"{line} Batch job submission failed: Invalid partition name specified")


@needs_slurm
def test_jobs_that_nobody_has_touched_for_a_week_are_removed(work):
    ours, logs, recent, foreign = (work.jobs / f"{name}.0123456789abcdef" for name in ("ours", "logs", "new", "thesis"))
    week = time.time() - 8 * 24 * 3600
    for folder, name in ((ours, "results.0"), (logs, "log.3"), (recent, "log.0"), (foreign, "chapter.1")):
        folder.mkdir(parents=True)
        (folder / name).touch()
        for path in (folder / name, folder):
            os.utime(path, None if folder is recent else (week, week))
    assert work.run()[0] == 0
    assert [folder.exists() for folder in (ours, logs, recent, foreign)] == [False, False, True, True]


def test_run_sh_without_slurm(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if program.name not in ("sbatch", "squeue") and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    (tmp_path / "cmd.sh").write_text("cmd_backend=sge\n")
    for words, line in (
        (["--cmd", "slurm"], "--cmd slurm: there is no sbatch here; start this on a machine of the cluster"),
        (["--cmd", "pbs"], "--cmd pbs: must be local or slurm"),
        ([], f"{tmp_path}/cmd.sh: cmd_backend=sge: must be local or slurm"),
    ):
        ended = subprocess.run(
            [ROOT / "run.sh", "--recipe", tmp_path, *words],
            env=os.environ | {"PATH": str(programs)},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert (ended.returncode, ended.stderr) == (2, f"run.sh: error: {line}\n")


def test_the_conf_has_options_by_stage(tmp_path):
    conf = tmp_path / "slurm.conf"
    conf.write_text("# all\nall --mem=1G\n1 --time=60 --comment='a b'\n2 --gres=gpu:1\n")
    assert read_options(conf, "1") == ("--mem=1G", "--time=60", "--comment=a b")
    assert read_options(conf, "2") == ("--mem=1G", "--gres=gpu:1")
    conf.write_text("every --mem=1G\n")
    with pytest.raises(InputError, match=r"slurm\.conf: line 1: begins with 'every'; expected all, or a stage"):
        read_options(conf, "1")


def test_the_example_conf_can_be_read():
    assert read_options(ROOT / "conf/slurm.conf", "2")[:2] == ("--nodes=1", "--ntasks=1")
