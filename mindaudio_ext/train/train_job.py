"""Stage 2 as one job of Slurm: a task of srun on each node, which launches the processes of that node.

Some time before the limit, Slurm signals the batch script, which lets the training save its state and puts the job into
the queue again; it goes on from there, bit for bit. So it does when a node died, from the state that was saved last.
"""

import hashlib
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.cluster import Slurm, cancelled_at_an_end, run_slurm
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path
from mindaudio_ext.train.launch import STOP_SECONDS, LogTail

log = logging.getLogger(__name__)
_LOOK_SECONDS = 2.0
SIGNAL_SECONDS = STOP_SECONDS + 70  # before the limit, for the step that runs, to save, and to end
_SEEN_SECONDS = 10.0  # what a shared file system has to show what the job wrote

# USR1 and not TERM, which scancel sends too: a job that was cancelled is not to come back.
_SCRIPT = """#!/bin/bash
export MINDAUDIO_EXT_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
again=false
# srun kills its tasks when it gets a SIGTERM itself.
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
    echo "train: the time is nearly over: the job goes into the queue again, and on from its saved state" >&2
    scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
echo "$status" >FOLDER/.tmp.status && mv FOLDER/.tmp.status FOLDER/status
"""


def run_train_job(arguments: Sequence[str], *, num_nodes: int, slurm: Slurm) -> int:
    """Runs `python -m <arguments>` on each node of a job, passes its log on, and returns its exit status.

    A job of the same arguments and config that a call before has submitted is waited for instead.

    Args:
        arguments: module and arguments; what follows `--config` is a file, of which the job gets a copy.
        num_nodes: machines.
        slurm: how jobs are submitted.

    Raises:
        InputError: Slurm does not take the job.
        OSError: the job ended and left no status.
    """
    place = arguments.index("--config") + 1
    digest = hashlib.sha256(Path(arguments[place]).read_bytes())
    digest.update("\0".join([*arguments[:place], *arguments[place + 1 :], str(num_nodes)]).encode())
    folder = slurm.folder / f"train.{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    words = [sys.executable, "-m", *arguments[:place], str(config), *arguments[place + 1 :]]
    if not _active(folder):
        for name in ("status", "log"):
            (folder / name).unlink(missing_ok=True)
        shutil.copyfile(Path(arguments[place]), config)
        _submit(folder, words, num_nodes, slurm)
    else:
        log.info("train: a job of a call before is found: it goes on")
    with cancelled_at_an_end(folder):
        _wait(folder)
    return _status(folder)


def _active(folder: Path) -> str:
    """Returns the state of the job; empty when there is none, and not while one is at its end."""
    while (state := _state(folder)) == "COMPLETING":
        time.sleep(_LOOK_SECONDS)
    return state


def _state(folder: Path) -> str:
    lines = run_slurm("squeue", "--noheader", "--me", f"--name={folder.name}", "--format=%T").split()
    return lines[0] if lines else ""


def _submit(folder: Path, words: Sequence[str], num_nodes: int, slurm: Slurm) -> None:
    script = folder / "job.sh"
    with atomic_path(script) as temporary:
        text = _SCRIPT.replace("COMMAND", shlex.join(words)).replace("FOLDER", shlex.quote(str(folder)))
        temporary.write_text(text, encoding="utf-8")
    identity = run_slurm(
        *("sbatch", "--parsable", "--requeue", f"--signal=B:USR1@{SIGNAL_SECONDS}", *slurm.options),
        *(f"--job-name={folder.name}", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1"),
        *(f"--output={str(folder).replace('%', '%%')}/log", "--open-mode=append", str(script)),
        unless=lambda: bool(_state(folder)),
    )
    log.info("train: job %s on %d nodes", identity.strip() or "taken", num_nodes)


def _wait(folder: Path) -> None:
    """Returns when the job has ended; passes its log on and logs a line whenever its state changes."""
    tail, shown = LogTail(folder / "log"), ""
    while state := _state(folder):
        tail.pass_on()
        if state != shown:
            log.info("train: %s", state.lower())
            shown = state
        time.sleep(_LOOK_SECONDS)
    tail.pass_on()


def _status(folder: Path) -> int:
    deadline = time.monotonic() + _SEEN_SECONDS
    while "status" not in os.listdir(folder):
        if time.monotonic() > deadline:
            raise OSError(f"train: the job was cancelled or killed; the same command goes on; log: {folder / 'log'}")
        time.sleep(1)
    status = int((folder / "status").read_text())
    if status not in (0, 2):
        raise OSError(f"train: the job ended with exit status {status}; its log: {folder / 'log'}")
    return status


def require_slurm() -> Slurm:
    """Returns how jobs are submitted; raises InputError when `run.sh --cmd slurm` has not said it."""
    slurm = Slurm.from_environment()
    if slurm is None:
        raise InputError("train_job: is for run.sh --cmd slurm, which says how jobs are submitted")
    return slurm
