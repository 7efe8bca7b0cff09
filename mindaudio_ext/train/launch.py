"""Several processes of one program, started by MindSpore's msrun and watched here: all of them end well, or all end.

msrun sets each process's role and rank. It is not left to wait for them: it lets workers live on after SIGTERM, ends
with 0 after SIGINT, and says of a dead rank only its process. So msrun only starts them (`--join=False`), and this
process adopts them (as Linux' child subreaper), which tells it how each one ends and lets it end what is left.
"""

import ctypes
import json
import os
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

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text

LAUNCHER = "MINDAUDIO_EXT_LAUNCHER"  # the environment variable with this process's id
STOP_SECONDS = 50  # what the ranks have to save and end after SIGTERM or SIGINT; run.sh waits for 60
_SETTLE_SECONDS = 20  # what the scheduler has to see the ranks of other machines off
_LOOK_SECONDS = 0.2
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

    @property
    def ranks(self) -> range:
        """The ranks of this machine."""
        return range(self.node_rank * self.ngpu, (self.node_rank + 1) * self.ngpu)


class Notes:
    """What each process has noted in the log folder: its id, and whether it is done. Its name is that of its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, *, done: bool) -> None:
        """Notes this process under a name, `worker_<rank>` or `scheduler`."""
        write_text(self.folder / f"{name}.json", json.dumps({"process": os.getpid(), "done": done}) + "\n")

    def process(self, name: str) -> int | None:
        """Gives the id of the process, None when it has noted nothing."""
        return self._read(name).get("process")

    def done(self, name: str) -> bool:
        """Whether the process has noted that it is done."""
        return self._read(name).get("done", False)

    def clear(self) -> None:
        """Removes the notes and logs of an earlier launch."""
        for path in [*self.folder.glob("*.json"), *self.folder.glob("*.log")]:
            path.unlink()

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else {}


def launch(module: str, arguments: Sequence[str], *, cluster: Cluster, log_dir: Path) -> int:
    """Runs a module in all processes of this machine and gives the exit status.

    The first of them is heard on stderr, all of them in `log_dir/worker_<rank>.log`. SIGTERM, SIGINT and SIGHUP are
    handed on as SIGTERM; what has not ended after `STOP_SECONDS` is killed. No process is left in any case.

    Args:
        module: as after `python -m`.
        arguments: of the module.
        cluster: the processes.
        log_dir: folder of the logs; made when missing.

    Returns:
        0: every rank has noted that it is done, and ended with 0. 2: a rank ended with 2, wrong input. 1: a rank
        failed or was killed; a line on stderr names it. 128 + signal: stopped by that signal.
    """
    log_dir = log_dir.absolute()
    log_dir.mkdir(parents=True, exist_ok=True)
    notes = Notes(log_dir)
    notes.clear()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with _signals() as received:
        try:
            _start(module, arguments, cluster, log_dir)
            return _watch(cluster, log_dir, notes, received)
        finally:
            _end_all()


def own_device(device_id: int) -> tuple[int, int | None]:
    """Gives this process's card and CPU threads: `device_id` and None (all), or its own among launched ones."""
    if os.environ.get("MS_ROLE") != "MS_WORKER":
        return device_id, None
    return int(os.environ["DEVICE_ID"]), int(os.environ["OMP_NUM_THREADS"])


def tie_to_launcher() -> None:
    """Makes this process, which msrun has started, end with the launcher, even when that is killed."""
    launcher = int(os.environ[LAUNCHER])
    deadline = time.monotonic() + 60
    while os.getppid() != launcher:  # msrun is still there; a tie made now would break with it
        if time.monotonic() > deadline:
            sys.exit("the launcher has ended")
        time.sleep(0.05)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        sys.exit("the launcher has ended")


def _start(module: str, arguments: Sequence[str], cluster: Cluster, log_dir: Path) -> None:
    command = [
        *("msrun", "--join=False", f"--worker_num={cluster.ngpu * cluster.num_nodes}"),
        *(f"--local_worker_num={cluster.ngpu}", f"--node_rank={cluster.node_rank}"),
        *(f"--master_addr={cluster.master_addr}", f"--master_port={cluster.master_port or _free_port()}"),
        *(f"--log_dir={log_dir}", "python", "-m", "mindaudio_ext.bin.rank", str(log_dir), module, *arguments),
    ]
    threads = max(1, len(os.sched_getaffinity(0)) // cluster.ngpu)
    environment = {"OMP_NUM_THREADS": str(threads), "MS_NODE_TIMEOUT": "300", "GLOG_v": "3"} | os.environ
    environment |= {LAUNCHER: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    log = log_dir / "msrun.log"
    with open(log, "w", encoding="utf-8") as out:
        status = subprocess.run(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, check=False
        ).returncode
    if status != 0:
        raise OSError(f"msrun could not start the processes (exit status {status}); its log: {log}")


def _watch(cluster: Cluster, log_dir: Path, notes: Notes, received: list[int]) -> int:
    """Gives the exit status as soon as it is known."""
    running = {f"worker_{rank}" for rank in cluster.ranks}
    first = f"worker_{cluster.ranks[0]}"
    heard = _follow(log_dir / f"{first}.log")
    statuses: dict[int, int] = {}
    told: set[int] = set()
    stop_at = float("inf")
    while running:
        next(heard)
        alone = not _children()
        statuses |= _ended()
        ended = {
            name: statuses[notes.process(name)] for name in (*running, "scheduler") if notes.process(name) in statuses
        }
        failed = {name: status for name, status in ended.items() if status != 0 or not notes.done(name)}
        if alone and not ended:  # they ended before they could note anything
            failed = dict.fromkeys(sorted(running))
        if failed and not received:
            next(heard)
            name, status = next(iter(failed.items()))
            return _report(name, status, log_dir / f"{name}.log", heard=name == first)
        running -= ended.keys()
        if received:
            stop_at = min(stop_at, time.monotonic() + STOP_SECONDS)
            told |= _tell({notes.process(name) for name in running} - told)
            if alone or time.monotonic() > stop_at:
                break
        time.sleep(_LOOK_SECONDS)
    next(heard)
    if cluster.num_nodes > 1 and not received:
        _let_end(_SETTLE_SECONDS)
    return 128 + received[0] if received else 0


def _report(name: str, status: int | None, log: Path, *, heard: bool) -> int:
    """Says which process failed and where its log is; gives the launcher's exit status."""
    if status == 2:  # the command has said in its last line what is wrong
        if not heard:
            print(log.read_text(errors="replace").rstrip().rpartition("\n")[2], file=sys.stderr, flush=True)
        return 2
    how = f"ended with exit status {status}"
    if not status:
        how = "ended before it was done"
    elif status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    print(f"launch: error: {name.replace('worker_', 'rank ')} {how}; its log: {log}", file=sys.stderr, flush=True)
    return 1


def _follow(path: Path) -> Iterator[None]:
    """Passes on to stderr what a growing file has got since the last time, each time it is asked."""
    while not path.is_file():
        yield
    with open(path, "rb") as file:
        while True:
            sys.stderr.buffer.write(file.read())
            sys.stderr.flush()
            yield


def _tell(processes: set[int | None]) -> set[int]:
    """Sends SIGTERM to those that are known; gives them."""
    known = {process for process in processes if process}
    for process in known:
        _send(process, signal.SIGTERM)
    return known


def _let_end(seconds: float) -> None:
    """Waits for all children, at most this long."""
    deadline = time.monotonic() + seconds
    while _children() and time.monotonic() < deadline:
        _ended()
        time.sleep(_LOOK_SECONDS)


def _ended() -> dict[int, int]:
    """Gives the exit status of each child that has ended by now, negative for a signal."""
    statuses = {}
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        pass
    return statuses


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _end_all() -> None:
    """Kills all children and waits for them; children of those become ours and follow."""
    try:
        while True:
            for process in _children():
                _send(process, signal.SIGKILL)
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Gives a list in which SIGTERM, SIGINT and SIGHUP are noted instead of ending this process."""
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


def _free_port() -> int:
    """Gives a port that is free now, and the next one too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
