"""The ranks of a training: N processes that do the arithmetic of one.

Each rank takes its share of every batch, and MindSpore's AllReduce averages the gradients. All else that ranks agree on
(config, data, the state to start from, validation scores, when to stop) goes over a line of its own to rank 0: on a CPU
MindSpore's collectives know only float32 and give up after 30 s, while this line waits, and breaks when a rank dies.
"""

import dataclasses
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any, NoReturn

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.communication import init

from mindaudio_ext.config import FREE_KEYS, Config
from mindaudio_ext.errors import InputError
from mindaudio_ext.train.launch import KEY, require_free_port

_CONNECT_SECONDS = 600  # in which all ranks have to come up
_ACCEPT_SECONDS = 1  # between two looks at who has come up
_YIELD_SECONDS = 5  # a rank that another one has left gives the launcher this time to notice that one first
# An idle line is probed, so that a machine that is gone is noticed after 15 + 3 * 5 seconds.
_PROBES = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Ranks:
    """All ranks of a training, as one of them sees them. By default it is the only one.

    Args:
        rank: this one's number, from 0.
        size: how many there are.
        lines: from rank 0 to each other rank, by number; from another rank to rank 0.
    """

    def __init__(self, rank: int = 0, size: int = 1, lines: dict[int, Connection] | None = None) -> None:
        self.rank, self.size, self._lines = rank, size, lines or {}

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes the files."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all ranks, by rank, to each of them; waits for all.

        Args:
            value: what JSON can tell. Numbers stay exact.

        Raises:
            ConnectionError: a rank has ended.
        """
        if not self.is_first:
            self._send(0, json.dumps(value).encode())
            return json.loads(self._receive(0))
        values = [value, *(json.loads(self._receive(rank)) for rank in range(1, self.size))]
        self._send_all(json.dumps(values).encode())
        return values

    def broadcast(self, value: Any) -> Any:
        """Returns rank 0's value to all."""
        return self.gather(value if self.is_first else None)[0]

    def wait(self) -> None:
        """Returns when all ranks have come to this point."""
        self.gather(None)

    def share(self, n: int) -> slice:
        """Returns this rank's part of n things, `size` or more; two parts differ by one at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def broadcast_parameters(self, parameters: Sequence[Parameter]) -> None:
        """Returns every rank the values of rank 0, and makes sure of it.

        Args:
            parameters: the same on all ranks but for their values.

        Raises:
            RuntimeError: a rank has other parameters, or other values afterwards.
        """
        if self.size == 1:
            return
        self._compare([f"{p.name} {tuple(p.shape)} {p.dtype}" for p in parameters], "parameters")
        if self.is_first:
            self._send_all(_bytes(parameters))
        else:
            _fill(parameters, self._receive(0))
        self._compare(hashlib.sha256(_bytes(parameters)).hexdigest(), "values of the parameters")

    def _compare(self, mine: Any, what: str) -> None:
        first, *others = self.gather(mine)
        for rank, theirs in enumerate(others, 1):
            if theirs != first:
                raise RuntimeError(f"rank {rank} has other {what} than rank 0")

    def _send_all(self, data: bytes) -> None:
        for rank in self._lines:
            self._send(rank, data)

    def _send(self, rank: int, data: bytes) -> None:
        try:
            self._lines[rank].send_bytes(data)
        except OSError:
            _left_by(rank)

    def _receive(self, rank: int) -> bytes:
        try:
            return self._lines[rank].recv_bytes()
        except (EOFError, OSError):
            _left_by(rank)


class AllReduceMean(nn.Cell):
    """Averages a loss and gradients over all ranks, in one AllReduce.

    Args:
        size: number of ranks.
        weight: of this rank's values, its part of the batch; those of all ranks add up to 1.

    Inputs:
        loss: float32 [].
        gradients: float32 tensors.

    Outputs:
        The averages, in the same shapes.
    """

    def __init__(self, size: int = 1, weight: float = 1.0) -> None:
        super().__init__(auto_prefix=False)
        self.size, self.weight = size, weight
        self.each = ops.HyperMap()
        if size > 1:
            self.all_reduce = ops.AllReduce()

    def construct(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.size == 1:
            return loss, gradients
        pieces = (loss.reshape(1), *self.each(flattened, gradients))
        total = self.all_reduce(ops.concat(pieces) * self.weight)
        averages = ops.split(total, self.each(_size, pieces))
        return total[0], self.each(_shaped, averages[1:], gradients)


def flattened(x: Tensor) -> Tensor:
    """Returns a tensor's values in one axis."""
    return x.reshape(-1)


def _size(x: Tensor) -> int:
    return x.size


def _shaped(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(like.shape)


def agreed_config(config: Config, ranks: Ranks) -> Config:
    """Returns rank 0's config to all, with its seed.

    Raises:
        InputError: the batch cannot be shared, or this rank's config would train something else.
    """
    if config.batch_size < ranks.size:
        raise InputError(
            f"batch_size: {config.batch_size} crops a step cannot be shared among {ranks.size} processes; "
            "give at least one for each"
        )
    smallest, largest = config.batch_size // ranks.size, -(-config.batch_size // ranks.size)
    if smallest % config.accum_steps or largest % config.accum_steps:
        raise InputError(
            f"accum_steps: {config.accum_steps} does not divide the share of each of {ranks.size} processes in the "
            f"{config.batch_size} crops of batch_size"
        )
    mine = json.loads(json.dumps(dataclasses.asdict(config)))
    first = ranks.broadcast(mine)
    for key in mine.keys() - FREE_KEYS - {"seed"}:
        if mine[key] != first[key]:
            raise InputError(f"{key}: {mine[key]} on rank {ranks.rank}, {first[key]} on rank 0; expected the same")
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(getattr(config, key), tuple) else v for key, v in first.items()
    }
    return Config(**values)


def connect() -> Ranks:
    """Returns the ranks of this training: those that `launch` has started, or this process alone.

    Call it after `set_up_device` and before any other operator. Waits until all ranks are there.

    Raises:
        OSError: they did not come up in time, or one has ended.
    """
    if os.environ.get("MS_ROLE") != "MS_WORKER":
        return Ranks()
    rank, size = int(os.environ["RANK_ID"]), int(os.environ["MS_WORKER_NUM"])
    address = os.environ["MS_SCHED_HOST"], int(os.environ["MS_SCHED_PORT"]) + 1
    key = os.environ.get(KEY, "").encode()
    lines = accept_ranks(address, size - 1, key) if rank == 0 else {0: call_rank_0(address, rank, key)}
    ranks = Ranks(rank, size, lines)
    ranks.wait()  # a rank that dies from here on is noticed; MindSpore's own set-up would wait for it
    init()
    return ranks


def accept_ranks(address: tuple[str, int], callers: int, key: bytes) -> dict[int, Connection]:
    """Waits for the calls of all other ranks; who does not know the key is turned away and keeps nobody waiting.

    Args:
        address: to listen at.
        callers: how many ranks will call.
        key: what they all know.

    Returns:
        A line to each, by rank.

    Raises:
        TimeoutError: they did not all call in time.
        InputError: another process listens there.
    """
    lines: dict[int, Connection] = {}
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    deadline = time.monotonic() + _CONNECT_SECONDS
    require_free_port(*address)
    with socket.create_server(address, family=family) as server:
        server.settimeout(_ACCEPT_SECONDS)
        while len(lines) < callers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{callers - len(lines)} of {callers} other ranks did not come up")
            with suppress(TimeoutError):
                line = _line(server.accept()[0])
                threading.Thread(target=_admit, args=(line, key, lines), daemon=True).start()
    return lines


def _admit(line: Connection, key: bytes, lines: dict[int, Connection]) -> None:
    """Puts a line among `lines` when the other end knows the key, and closes it when not."""
    try:
        deliver_challenge(line, key)
        answer_challenge(line, key)
        lines[int(line.recv_bytes(16))] = line
    except (AuthenticationError, EOFError, OSError, ValueError):
        line.close()


def call_rank_0(address: tuple[str, int], rank: int, key: bytes) -> Connection:
    """Returns the line to rank 0, which may come up later.

    Raises:
        OSError: it did not come up in time.
        InputError: it has another key.
    """
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            line = _line(socket.create_connection(address, timeout=_CONNECT_SECONDS))
            break
        except OSError:  # rank 0 is not there yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    try:
        answer_challenge(line, key)
        deliver_challenge(line, key)
    except AuthenticationError as error:
        raise InputError(f"{KEY}: rank {rank} has another one than rank 0; set the same on all machines") from error
    line.send_bytes(str(rank).encode())
    return line


def _line(connected: socket.socket) -> Connection:
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES:
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    return Connection(connected.detach())


def _left_by(rank: int) -> NoReturn:
    time.sleep(_YIELD_SECONDS)
    raise ConnectionError(f"rank {rank} has ended, and so does this one; its log says why")


def _bytes(parameters: Sequence[Parameter]) -> bytes:
    return b"".join(parameter.asnumpy().tobytes() for parameter in parameters)


def _fill(parameters: Sequence[Parameter], data: bytes) -> None:
    offset = 0
    for parameter in parameters:
        dtype = parameter.asnumpy().dtype
        value = np.frombuffer(data, dtype, parameter.size, offset).reshape(parameter.shape)
        ops.assign(parameter, Tensor(value.copy(), parameter.dtype))
        offset += value.nbytes
