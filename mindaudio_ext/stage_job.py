"""Stages 2 and 5, each as one job of Slurm: a task of srun on each node, which launches the processes of that node.

Some time before the limit, Slurm signals the batch script, which lets the training save its state and puts the job into
the queue again; it goes on from there, bit for bit. So it does when a node died, from the state that was saved last. A
limit within which nothing is saved ends the job. An export, which has no state, is not signalled.
"""

import hashlib
import logging
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mindaudio_ext.cluster import Slurm, cancelled_at_an_end, describe_state, run_slurm
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path
from mindaudio_ext.train.launch import STOP_SECONDS, LogTail

log = logging.getLogger(__name__)
_LOOK_SECONDS = 2.0
SIGNAL_SECONDS = STOP_SECONDS + 70  # before the limit, for the step that runs, to save, and to end
_SEEN_SECONDS = 10.0  # what a shared file system has to show what the job wrote

# USR1 and not TERM, which scancel sends too: a job that was cancelled is not to come back. srun kills its tasks when it
# gets a SIGTERM itself. In the job nothing is submitted.
_SCRIPT = """#!/bin/bash
unset MINDAUDIO_EXT_SLURM
export MINDAUDIO_EXT_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
again=false
state() { stat -c %y STATE 2>/dev/null; }
before=$(state)
trap 'again=true; scancel --signal=TERM "$SLURM_JOB_ID"' USR1
srun --ntasks-per-node=1 --wait=120 COMMAND &
step=$!
wait "$step"
status=$?
while kill -0 "$step" 2>/dev/null; do
    wait "$step"
    status=$?
done
if [[ $again == true && $status != 0 ]]; then
    if [[ $(state) == "$before" ]]; then
        echo "TITLE: error: the time is nearly over, and nothing was saved in it; give the job more time" >&2
    else
        echo "TITLE: the time is nearly over: the job goes into the queue again, and on from its saved state" >&2
        scontrol requeue "$SLURM_JOB_ID" && exit 0
    fi
fi
echo "$status" >FOLDER/.tmp.status && mv FOLDER/.tmp.status FOLDER/status
"""


@dataclass(frozen=True)
class StageJob:
    """What a job is to run.

    Attributes:
        arguments: as after `python -m`; what follows `--config` is a file, of which the job gets a copy.
        title: names the job in messages.
        num_nodes: machines, each of which runs it.
        state: the file into which it saves its state on SIGTERM and from which it goes on; None when it does neither.
    """

    arguments: Sequence[str]
    title: str = "train"
    num_nodes: int = 1
    state: Path | None = None

    def folder(self, jobs: Path) -> Path:
        """Returns the folder of the job, whose name has a digest of what it runs."""
        place = self.arguments.index("--config") + 1
        digest = hashlib.sha256(Path(self.arguments[place]).read_bytes())
        others = [*self.arguments[:place], *self.arguments[place + 1 :], str(self.num_nodes)]
        digest.update("\0".join(others).encode())
        return jobs / f"{self.title}.{digest.hexdigest()[:16]}"

    def words(self, folder: Path) -> list[str]:
        """Returns the command, with the config of the job's folder, into which that is copied."""
        place = self.arguments.index("--config") + 1
        config = folder / "config.yaml"
        shutil.copyfile(self.arguments[place], config)
        return [sys.executable, "-m", *self.arguments[:place], str(config), *self.arguments[place + 1 :]]


def run_job(job: StageJob, slurm: Slurm) -> int:
    """Runs a job, passes its log on, and returns its exit status.

    A job of the same arguments and config that a call before has submitted is waited for instead.

    Args:
        job: what it runs.
        slurm: how jobs are submitted.

    Raises:
        InputError: Slurm does not take the job.
        OSError: the job failed, or ended and left no status.
    """
    folder = job.folder(slurm.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with cancelled_at_an_end(folder):
        if not _active(folder):
            for name in ("status", "log"):
                (folder / name).unlink(missing_ok=True)
            _submit(job, folder, slurm)
        else:
            log.info("%s: a job of a call before is found: it goes on", job.title)
        _wait(job, folder)
    return _status(job, folder)


def _active(folder: Path) -> str:
    """Returns the state of the job; empty when there is none, and not while one is at its end."""
    while (state := _state(folder)) == "completing":
        time.sleep(_LOOK_SECONDS)
    return state


def _state(folder: Path) -> str:
    lines = run_slurm("squeue", "--noheader", "--me", f"--name={folder.name}", "--format=%T %r").splitlines()
    return describe_state(lines[0]) if lines else ""


def _submit(job: StageJob, folder: Path, slurm: Slurm) -> None:
    script = folder / "job.sh"
    parts = {"TITLE": job.title, "COMMAND": shlex.join(job.words(folder))}
    parts |= {"FOLDER": shlex.quote(str(folder)), "STATE": shlex.quote(str(job.state or ""))}
    with atomic_path(script) as temporary:
        text = re.sub("|".join(parts), lambda part: parts[part[0]], _SCRIPT)
        temporary.write_text(text, encoding="utf-8")
    identity = run_slurm(
        *("sbatch", "--parsable", "--requeue", *([f"--signal=B:USR1@{SIGNAL_SECONDS}"] if job.state else [])),
        *(*slurm.options, f"--job-name={folder.name}", f"--nodes={job.num_nodes}", f"--ntasks={job.num_nodes}"),
        *("--ntasks-per-node=1", f"--output={str(folder).replace('%', '%%')}/log", "--open-mode=append", str(script)),
        unless=lambda: bool(_state(folder)),
    )
    log.info("%s: job %s on %d nodes", job.title, identity.strip() or "taken", job.num_nodes)


def _wait(job: StageJob, folder: Path) -> None:
    """Returns when the job has ended; passes its log on and logs a line whenever its state changes."""
    tail, shown = LogTail(folder / "log"), ""
    while state := _state(folder):
        tail.pass_on()
        if state != shown:
            log.info("%s: %s", job.title, state)
            shown = state
        time.sleep(_LOOK_SECONDS)
    tail.pass_on()


def _status(job: StageJob, folder: Path) -> int:
    deadline = time.monotonic() + _SEEN_SECONDS
    while "status" not in os.listdir(folder):
        if time.monotonic() > deadline:
            raise OSError(
                f"{job.title}: the job was cancelled or killed; the same command goes on; log: {folder / 'log'}"
            )
        time.sleep(1)
    status = int((folder / "status").read_text())
    if status not in (0, 2):
        raise OSError(f"{job.title}: the job ended with exit status {status}; its log: {folder / 'log'}")
    return status


def require_slurm() -> Slurm:
    """Returns how jobs are submitted; raises InputError when `run.sh --cmd slurm` has not said it."""
    slurm = Slurm.from_environment()
    if slurm is None:
        raise InputError("stage_job: is for run.sh --cmd slurm, which says how jobs are submitted")
    return slurm
