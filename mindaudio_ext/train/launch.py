"""Several processes of one program, started by MindSpore's msrun and watched here: all of them end well, or all end.

msrun sets each process's role and rank. It is not left to wait for them: it lets workers live on after SIGTERM, ends
with 0 after SIGINT, and says of a dead rank only its process. So msrun only starts them (`--join=False`), and this
process adopts them (as Linux' child subreaper), which tells it how each one ends and lets it end what is left.
"""

import ctypes
import errno
import json
import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json, write_text
from mindaudio_ext.lock import locked

_log = logging.getLogger(__name__)
KEY = "MINDAUDIO_EXT_KEY"  # the environment variable with the secret that all ranks of a training know
LAUNCHER = "MINDAUDIO_EXT_LAUNCHER"  # the environment variable with this process's id
STOP_SECONDS = 50  # what the ranks have to save and end after SIGTERM or SIGINT; run.sh waits for 60
_SETTLE_SECONDS = 20  # what the scheduler has to see the ranks of other machines off
_LOOK_SECONDS = 0.2
_FIRST_PORT, _PORTS = 20000, 5000  # of jobs of Slurm, two each
_NOTED = re.compile(r"(worker_\d+|scheduler|msrun)\.(json|log)")  # what a launch writes
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True)
class Cluster:
    """Which processes a training has, and which of them are this machine's.

    Args:
        ngpu: processes on each machine, one for a device.
        num_nodes: machines.
        node_rank: this machine, from 0.
        master_addr: address of machine 0.
        master_port: a port of machine 0; the one after it is used too. None: free ones, for one machine.

    Raises:
        InputError: the values do not fit each other.
    """

    ngpu: int
    num_nodes: int = 1
    node_rank: int = 0
    master_addr: str = "127.0.0.1"
    master_port: int | None = None

    def __post_init__(self) -> None:
        if self.ngpu < 1 or self.num_nodes < 1:
            raise InputError(f"--ngpu {self.ngpu} --num_nodes {self.num_nodes}: expected at least 1 of each")
        if not 0 <= self.node_rank < self.num_nodes:
            raise InputError(
                f"--node_rank {self.node_rank}: expected 0 to {self.num_nodes - 1}, for {self.num_nodes} machines"
            )
        if self.num_nodes > 1 and (self.master_addr == "127.0.0.1" or self.master_port is None):
            raise InputError(
                f"--num_nodes {self.num_nodes}: needs --master_addr and --master_port, the same on all machines"
            )
        if self.master_port is not None and not 1024 <= self.master_port < 65535:
            raise InputError(f"--master_port {self.master_port}: expected 1024 to 65534")

    @classmethod
    def of_slurm(cls, ngpu: int) -> "Cluster":
        """Returns the processes that a task of Slurm's srun is to start: a task a node, and srun runs on the first.

        Args:
            ngpu: processes on each machine.

        Raises:
            InputError: this is no such task.
        """
        try:
            job, num_nodes = int(os.environ["SLURM_JOB_ID"]), int(os.environ["SLURM_STEP_NUM_NODES"])
            node_rank, address = int(os.environ["SLURM_NODEID"]), os.environ["SLURM_LAUNCH_NODE_IPADDR"]
        except KeyError as error:
            raise InputError(
                f"--slurm: {error.args[0]} is not set: srun starts this, with a task on each node"
            ) from None
        if num_nodes == 1:
            return cls(ngpu)
        port = _FIRST_PORT + 2 * (job % _PORTS)  # jobs that share a machine have others
        return cls(ngpu, num_nodes, node_rank, address, port)

    @property
    def ranks(self) -> range:
        """The ranks of this machine."""
        return range(self.node_rank * self.ngpu, (self.node_rank + 1) * self.ngpu)


class RankStatus:
    """Status files in the log folder, `worker_<rank>.json`: the process id and whether the rank has finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, *, done: bool) -> None:
        """Writes this process's status under a name, `worker_<rank>` or `scheduler`."""
        write_text(self.folder / f"{name}.json", json.dumps({"process": os.getpid(), "done": done}) + "\n")

    def process(self, name: str) -> int | None:
        """Returns the id of the process, None when it has noted nothing."""
        return self._read(name).get("process")

    def done(self, name: str) -> bool:
        """Whether the process has noted that it is done."""
        return self._read(name).get("done", False)

    def clear(self) -> None:
        """Removes the notes and logs of an earlier launch."""
        for path in self.folder.iterdir():
            if _NOTED.fullmatch(path.name):
                path.unlink()

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        return parse_json(path.read_text()) if path.is_file() else {}


def launch(module: str, arguments: Sequence[str], *, cluster: Cluster, log_dir: Path) -> int:
    """Runs a module in all processes of this machine and gives the exit status.

    Rank 0 of this machine logs to stderr, and every rank to `log_dir/worker_<rank>.log`. SIGTERM, SIGINT and SIGHUP are
    handed on as SIGTERM; what has not ended after `STOP_SECONDS` is killed. No process is left in any case.

    Args:
        module: as after `python -m`.
        arguments: of the module.
        cluster: the processes.
        log_dir: folder of the logs; made when missing.

    Returns:
        0: every rank has noted that it is done, and ended with 0. 2: a rank ended with 2, wrong input. 1: a rank
        failed or was killed; a line on stderr names it. 128 + signal: stopped by that signal.

    Raises:
        InputError: another process uses the port, or launches into this folder.
    """
    log_dir = log_dir.absolute()
    if cluster.master_port is not None and cluster.node_rank == 0:
        for port in (cluster.master_port, cluster.master_port + 1):
            require_free_port(cluster.master_addr, port)
    notes = RankStatus(log_dir)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with locked(log_dir, str(cluster.node_rank)), _signals() as received:
        notes.clear()
        try:
            _start(module, arguments, cluster, log_dir)
            return _LocalRanks(cluster, log_dir, notes).watch(received)
        finally:
            _end_all()


def own_device(device_id: int) -> tuple[int, int | None]:
    """Returns this process's card and CPU threads: `device_id` and None (all), or its own among launched ones."""
    if os.environ.get("MS_ROLE") != "MS_WORKER":
        return device_id, None
    return int(os.environ["DEVICE_ID"]), int(os.environ["OMP_NUM_THREADS"])


def tie_to_launcher() -> None:
    """Makes this process, which msrun has started, end with the launcher, even when that is killed."""
    launcher = int(os.environ[LAUNCHER])
    while os.getppid() != launcher:  # msrun is still there, for minutes at worst; a tie to it would break
        if not _runs(launcher):
            sys.exit("the launcher has ended")
        time.sleep(0.05)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        sys.exit("the launcher has ended")


def _start(module: str, arguments: Sequence[str], cluster: Cluster, log_dir: Path) -> None:
    command = [
        *("msrun", "--join=False", f"--worker_num={cluster.ngpu * cluster.num_nodes}"),
        *(f"--local_worker_num={cluster.ngpu}", f"--node_rank={cluster.node_rank}"),
        *(f"--master_addr={cluster.master_addr}", f"--master_port={cluster.master_port or free_port()}"),
        *(f"--log_dir={log_dir}", "python", "-m", "mindaudio_ext.bin.rank", str(log_dir), module, *arguments),
    ]
    threads = max(1, len(os.sched_getaffinity(0)) // cluster.ngpu)
    environment = {"OMP_NUM_THREADS": str(threads), "MS_NODE_TIMEOUT": "300", "GLOG_v": "3"} | os.environ
    environment |= {LAUNCHER: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    if cluster.num_nodes == 1:  # on several machines the user sets the same on all
        environment[KEY] = secrets.token_hex()
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    log = log_dir / "msrun.log"
    with open(log, "w", encoding="utf-8") as out:
        status = subprocess.run(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, check=False
        ).returncode
    if status != 0:
        raise OSError(f"msrun could not start the processes (exit status {status}); its log: {log}")


class _LocalRanks:
    """The ranks of this machine while they run.

    Args:
        cluster: of the training.
        log_dir: has their logs.
        notes: what they have noted.
    """

    def __init__(self, cluster: Cluster, log_dir: Path, notes: RankStatus) -> None:
        self._cluster, self._log_dir, self._notes = cluster, log_dir, notes
        self._running = {f"worker_{rank}" for rank in cluster.ranks}
        self._first = f"worker_{cluster.ranks[0]}"
        self._tail = LogTail(log_dir / f"{self._first}.log")
        self._statuses: dict[int, int] = {}  # process -> exit status
        self._asked: set[int] = set()  # processes that were asked to end

    def watch(self, received: list[int]) -> int:
        """Returns the exit status as soon as it is known.

        Args:
            received: the signals that this process has got; it grows meanwhile.
        """
        stop_at = float("inf")
        while self._running:
            self._tail.pass_on()
            alone = not psutil.Process().children()
            failed = self._take_ended(alone=alone)
            if failed and not received:
                return self._report_first(failed)
            if received:
                stop_at = min(stop_at, time.monotonic() + STOP_SECONDS)
                self._ask_to_end()
                if alone or time.monotonic() > stop_at:
                    break
            time.sleep(_LOOK_SECONDS)
        self._tail.pass_on()
        if self._cluster.num_nodes > 1 and not received:
            _let_end(_SETTLE_SECONDS)
        return 128 + received[0] if received else 0

    def _take_ended(self, *, alone: bool) -> dict[str, int | None]:
        """Takes note of those that have ended; returns the exit statuses of those of them that failed.

        Args:
            alone: whether no child was left. If then nobody has noted anything, all failed, with unknown statuses.
        """
        self._statuses |= _ended()
        processes = {name: self._notes.process(name) for name in (*self._running, "scheduler")}
        ended = {name: self._statuses[process] for name, process in processes.items() if process in self._statuses}
        if alone and not ended:
            return dict.fromkeys(sorted(self._running))
        self._running -= ended.keys()
        return {name: status for name, status in ended.items() if status != 0 or not self._notes.done(name)}

    def _report_first(self, failed: dict[str, int | None]) -> int:
        self._tail.pass_on()
        name, status = next(iter(failed.items()))
        return _report(name, status, self._log_dir / f"{name}.log", heard=name == self._first)

    def _ask_to_end(self) -> None:
        """Sends SIGTERM, once, to those that run and are known."""
        for name in self._running:
            process = self._notes.process(name)
            if process and process not in self._asked:
                _send(process, signal.SIGTERM)
                self._asked.add(process)


class LogTail:
    """What a growing file gets, passed on to stderr.

    Args:
        path: the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._place = path, 0

    def pass_on(self) -> None:
        """Passes on what the file has got since the last time."""
        if not self._path.is_file():
            return
        with open(self._path, "rb") as file:
            file.seek(self._place)
            sys.stderr.buffer.write(file.read())
            self._place = file.tell()
        sys.stderr.flush()


def _report(name: str, status: int | None, log: Path, *, heard: bool) -> int:
    """Says which process failed and where its log is; gives the launcher's exit status."""
    if status == 2:  # the command has said in its last line what is wrong
        if not heard:
            _log.error("%s", log.read_text(errors="replace").rstrip().rpartition("\n")[2])
        return 2
    how = f"ended with exit status {status}"
    if not status:
        how = "ended before it was done"
    elif status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    _log.error("launch: error: %s %s; its log: %s", name.replace("worker_", "rank "), how, log)
    return 1


def _let_end(seconds: float) -> None:
    """Waits for all children, at most this long."""
    deadline = time.monotonic() + seconds
    while psutil.Process().children() and time.monotonic() < deadline:
        _ended()
        time.sleep(_LOOK_SECONDS)


def _ended() -> dict[int, int]:
    """Returns the exit status of each child that has ended by now, negative for a signal."""
    statuses = {}
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        pass
    return statuses


def _end_all() -> None:
    """Kills all children and waits for them; children of those become ours and follow."""
    try:
        while True:
            for process in psutil.Process().children():
                _send(process.pid, signal.SIGKILL)
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Returns a list in which SIGTERM, SIGINT and SIGHUP are noted instead of ending this process."""
    received: list[int] = []
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: received.append(number)) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def free_port() -> int:
    """Returns a port that is free now, and the next one too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def require_free_port(host: str, port: int) -> None:
    """Raises InputError when another process listens at a port of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just been closed is free
        try:
            trial.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InputError(
                    f"port {port} of {host} is in use by another program; give another --master_port, which is free "
                    "and so is the next one"
                ) from error


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
