"""Slurm: what `parallel_map` maps becomes an array job, and the command that called it goes on with the results.

The items go to files in a folder, each task of the array takes every n-th of them and writes its results, whole or not
at all, and the command waits and joins them in order. So every stage does on a cluster what it does on one machine, and
there is no other code for it. Slurm's own sbatch, squeue and scancel do all the rest; nothing is scheduled here.

The job's name has a digest of the work. Started again, a command finds by it the jobs that still run and the results
that are there, and only what is missing is submitted.
"""

import hashlib
import itertools
import logging
import os
import pickle
import pickletools
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mindaudio_ext.errors import InputError, describe_error
from mindaudio_ext.files import atomic_path, write_text
from mindaudio_ext.interrupt import removed_at_an_end

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)
CONF = "MINDAUDIO_EXT_SLURM"  # environment: conf/slurm.conf; without it there is no cluster
STAGE = "MINDAUDIO_EXT_STAGE"  # environment: the stage of the recipe, for the lines of conf/slurm.conf
SHARDS = "MINDAUDIO_EXT_SHARDS"  # environment: tasks of an array job
JOBS = "MINDAUDIO_EXT_JOBS"  # environment: folder of the jobs
_LOOK_SECONDS = 2.0
_SEEN_SECONDS = 10.0  # what a shared file system has to show what a task wrote
_KEPT_SECONDS = 7 * 24 * 3600
_FOLDER = re.compile(r".+\.[0-9a-f]{16}")  # of a job
_OURS = re.compile(r"(\.tmp\.)?((work|results|error|log)\.\d+|shards|waiting|status|log|config\.yaml|job\.sh)")
_UNREACHABLE = ("Unable to contact slurm controller", "Socket timed out", "Connection refused", "Zero Bytes were")
_finished: list[Path] = []  # folders of jobs whose results were used


@dataclass(frozen=True)
class Slurm:
    """How jobs are submitted.

    Attributes:
        options: of sbatch.
        shards: tasks of an array job, at most.
        folder: of the jobs, on a file system that all nodes share.
    """

    options: tuple[str, ...]
    shards: int
    folder: Path

    @classmethod
    def from_environment(cls) -> "Slurm | None":
        """Returns what `run.sh --cmd slurm` has set; None without it.

        Raises:
            InputError: the conf cannot be understood, or there is no Slurm here.
        """
        conf = os.environ.get(CONF)
        if not conf:
            return None
        if shutil.which("sbatch") is None:
            raise InputError("--cmd slurm: there is no sbatch here; start this on a machine of the cluster")
        options = read_options(Path(conf), os.environ.get(STAGE, ""))
        return cls(options, int(os.environ[SHARDS]), Path(os.environ[JOBS]).absolute())


def read_options(conf: Path, stage: str) -> tuple[str, ...]:
    """Returns the options of sbatch for a stage: the words of the lines `all ...` and `<stage> ...`, in their order.

    Raises:
        InputError: a line begins with another word, or has a quotation mark without its partner.
    """
    options: list[str] = []
    for number, line in enumerate(conf.read_text(encoding="utf-8").splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise InputError(f"{conf}: line {number}: {error}") from error
        if not words:
            continue
        if words[0] not in ("all", *"012345"):
            raise InputError(f"{conf}: line {number}: begins with '{words[0]}'; expected all, or a stage from 0 to 5")
        if words[0] in ("all", stage):
            options += words[1:]
    return tuple(options)


def map_shards(
    function: Callable[[Item], Result], items: Sequence[Item], slurm: Slurm, *, title: str, fresh: bool = False
) -> Iterator[Result]:
    """Yields `function(item)` for each item, in order, computed by the tasks of an array job.

    Args:
        function: a module's function; it and the items must pickle.
        items: what to work on.
        slurm: how jobs are submitted.
        title: names the job.
        fresh: as in `parallel_map`.

    Raises:
        InputError: a shard found wrong input, or Slurm does not take the job.
        OSError: a shard failed; the message names it and its log.
    """
    if not items:
        return
    job = prepare(function, items, slurm, title=title, fresh=fresh)
    missing = job.missing()
    if missing:
        for number in missing:
            job.error(number).unlink(missing_ok=True)
        with cancelled_at_an_end(job.folder):
            job.submit(missing)
            job.wait()
        _require_results(job)
    else:
        log.info("%s: all %d shards are there", job.title, job.shards)
    _finished.append(job.folder)
    yield from itertools.islice(_joined(job), len(items))


def forget_results() -> None:
    """Removes the results that this process has used; the logs of the tasks stay."""
    while _finished:
        folder = _finished.pop()
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("log."):
                path.unlink()


def run_shard(folder: Path, number: int) -> None:
    """Computes the results of a shard, as a task of the array job.

    Args:
        folder: of the job.
        number: of the shard, from 0.
    """
    from mindaudio_ext.data.parallel import parallel_map

    os.environ.pop(CONF, None)  # what a task maps it maps itself
    job = _Job(folder, folder.name, 0)
    function, items, fresh = pickle.loads(job.work(number).read_bytes())
    try:
        with atomic_path(job.results(number)) as temporary, open(temporary, "wb") as file:
            for result in parallel_map(function, items, nj=1, title=f"shard {number}", fresh=fresh):
                pickle.dump(result, file)
    except InputError as error:
        write_text(job.error(number), describe_error(error))
        raise


@dataclass(frozen=True)
class _Job:
    """An array job: its folder, which is named like it, what messages call it, and its number of tasks."""

    folder: Path
    title: str
    shards: int
    options: tuple[str, ...] = ()

    def work(self, number: int) -> Path:
        return self.folder / f"work.{number}"

    def results(self, number: int) -> Path:
        return self.folder / f"results.{number}"

    def error(self, number: int) -> Path:
        return self.folder / f"error.{number}"

    def log(self, number: int) -> Path:
        return self.folder / f"log.{number}"

    def missing(self) -> list[int]:
        there = set(os.listdir(self.folder))  # this, and not a look at each, shows what another machine has written
        return [number for number in range(self.shards) if self.results(number).name not in there]

    def states(self) -> dict[int, str]:
        """Returns the state of each task that waits or runs; waits while slurmctld does not answer."""
        lines = run_slurm("squeue", "--noheader", "--array", "--me", f"--name={self.folder.name}", "--format=%K %T %r")
        tasks = (line.split(maxsplit=1) for line in lines.splitlines())
        return {int(number): describe_state(state) for number, state in tasks if number.isdigit()}

    def submit(self, numbers: Iterable[int]) -> None:
        """Submits the tasks that do not wait or run already."""
        while "completing" in (active := self.states()).values():  # what was cancelled is at its end
            time.sleep(_LOOK_SECONDS)
        left = set(self.missing())  # looked at after the queue: what has just ended is not run again
        numbers = [number for number in numbers if number in left and number not in active]
        if active:
            log.info("%s: %d shards of a call before are found: they go on", self.title, len(active))
        if not numbers:
            return
        folder = str(self.folder).replace("%", "%%")
        command = shlex.join([sys.executable, "-m", "mindaudio_ext.bin.shard", str(self.folder)])
        identity = run_slurm(
            *("sbatch", "--parsable", *self.options),  # ours come after them: by the name it is found again
            *(f"--job-name={self.folder.name}", f"--array={','.join(map(str, numbers))}"),
            *(f"--output={folder}/log.%a", "--open-mode=truncate", f"--wrap=exec {command}"),
            unless=lambda: any(number in self.states() for number in numbers),
        )
        log.info("%s: job %s, %d of %d shards", self.title, identity.strip() or "taken", len(numbers), self.shards)

    def wait(self) -> None:
        """Returns when no task waits or runs; logs a line whenever their numbers change."""
        shown = ""
        while states := self.states():
            counts = Counter(states.values())
            line = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
            if line != shown:
                log.info("%s: %s, %d of %d ended", self.title, line, self.shards - len(states), self.shards)
                shown = line
            time.sleep(_LOOK_SECONDS)


def prepare(function: Callable, items: Sequence, slurm: Slurm, *, title: str, fresh: bool) -> _Job:
    """Returns the job, with its folder and the work of each shard in it; one that is there keeps its number of shards.

    Args:
        function: and the others as in `map_shards`.
        items: what to work on.
        slurm: how jobs are submitted.
        title: names the job.
        fresh: as in `parallel_map`.
    """
    pickled = [pickle.dumps(item) for item in items]
    digest = _digest(function, pickled)
    name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', title)[:60]}.{digest[:16]}"
    folder = slurm.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / "shards"
    _remove_forgotten(slurm.folder)
    if begun.exists():
        return _Job(folder, title, int(begun.read_text()), slurm.options)
    job = _Job(folder, title, min(slurm.shards, len(items)), slurm.options)
    for number in range(job.shards):
        with atomic_path(job.work(number)) as temporary:
            temporary.write_bytes(pickle.dumps((function, list(items[number :: job.shards]), fresh)))
    write_text(begun, f"{job.shards}\n")
    return job


def _remove_forgotten(jobs: Path) -> None:
    """Removes the folders of jobs that nobody has touched for a week: their logs, and work that was given up."""
    for folder in jobs.iterdir():
        with suppress(OSError):  # another command removes it too
            if folder.is_symlink() or not _FOLDER.fullmatch(folder.name) or not _is_old(folder):
                continue
            files = list(folder.iterdir())
            if not all(_OURS.fullmatch(path.name) and _is_old(path) for path in files):
                continue
            if not run_slurm("squeue", "--noheader", "--me", f"--name={folder.name}"):
                shutil.rmtree(folder)


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _KEPT_SECONDS


def _digest(function: Callable, pickled: Iterable[bytes]) -> str:
    """A digest of the work and of the state of the files it names: size and time."""
    digest = hashlib.sha256()
    for work in itertools.chain([pickle.dumps(function)], pickled):
        digest.update(work)
        for _, value, _ in pickletools.genops(work):
            if isinstance(value, str) and os.sep in value:
                with suppress(OSError, ValueError):
                    state = os.stat(re.sub(r":[0-9]+$", "", value))
                    if not os.path.isdir(value):
                        digest.update(f" {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()


def _joined(job: _Job) -> Iterator[Any]:
    """Yields the results of all shards in the order of the items: one of each shard in turn."""
    with ExitStack() as stack:
        files = [stack.enter_context(open(job.results(number), "rb")) for number in range(job.shards)]
        with suppress(EOFError):
            for file in itertools.cycle(files):
                yield pickle.load(file)


def _require_results(job: _Job) -> None:
    deadline = time.monotonic() + _SEEN_SECONDS
    while missing := job.missing():
        for number in missing:
            if job.error(number).is_file():
                problem = job.error(number).read_text(encoding="utf-8")
                raise InputError(f"{problem} (shard {number} of {job.shards}; its log: {job.log(number)})")
        if time.monotonic() > deadline:
            numbers = ", ".join(map(str, missing))
            raise OSError(
                f"{job.title}: of {job.shards} shards failed: {numbers}; the same command runs only these again; "
                f"log: {job.log(missing[0])}"
            )
        time.sleep(1)


@contextmanager
def cancelled_at_an_end(folder: Path) -> Iterator[None]:
    """Within the `with`, the job of a folder's name ends when this command ends, by Ctrl-C, SIGTERM or an error."""
    waiting = folder / "waiting"
    waiting.touch()

    def cancel(_: Path) -> None:
        command = ["scancel", "--me", f"--name={folder.name}"]
        if subprocess.run(command, env=_environment(), check=False, capture_output=True).returncode != 0:
            log.warning("the jobs could not be cancelled and go on; to end them: %s", shlex.join(command))
        waiting.unlink(missing_ok=True)

    def end(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # also for scancel: run.sh and a script below it send one each
        sys.exit(128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, end) if in_main else None
    try:
        with removed_at_an_end(waiting, cancel):
            yield
        waiting.unlink(missing_ok=True)
    except BaseException:
        cancel(waiting)
        raise
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


def describe_state(words: str) -> str:
    """Returns in words squeue's state and reason of a job.

    >>> describe_state("RUNNING None"), describe_state("PENDING Resources")
    ('running', 'pending (Resources)')
    """
    state, _, reason = words.partition(" ")
    waits = state == "PENDING" and reason not in ("", "None")
    return f"{state.lower()} ({reason})" if waits else state.lower()


def run_slurm(program: str, *arguments: str, unless: Callable[[], bool] | None = None) -> str:
    """Runs a program of Slurm's and returns what it prints; waits as long as slurmctld does not answer.

    Args:
        program: such as squeue.
        arguments: of it.
        unless: asked before another try, whether it was done in spite of an error.

    Raises:
        InputError: it refuses; the message is Slurm's.
    """
    told = False
    environment = _environment()
    while True:
        ended = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        if ended.returncode == 0:
            return ended.stdout
        if not any(reason in ended.stderr for reason in _UNREACHABLE):
            reason = " ".join(line.partition("error: ")[2] or line for line in ended.stderr.splitlines())
            raise InputError(f"{program}: {reason or f'ended with exit status {ended.returncode}'}")
        if not told:
            log.warning("%s: slurmctld does not answer; waiting for it", program)
            told = True
        time.sleep(_LOOK_SECONDS)
        if unless and unless():
            return ""


def _environment() -> dict[str, str]:
    """Returns the environment without what Slurm says of a job in which this runs: sbatch would take it for options.

    Nor has it what a user likes to see of the queue, or to be asked: jobs in other partitions would seem to have ended.
    """
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    left_out = ("SLURM_", "SQUEUE_", "SCANCEL_")
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(left_out)}
