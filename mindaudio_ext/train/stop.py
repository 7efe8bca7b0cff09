"""SIGTERM and SIGINT end a training where its state can be saved."""

import signal
from types import FrameType, TracebackType


class Stopped(Exception):
    """The training was told to stop, and its state is saved.

    Attributes:
        status: what the process exits with.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number


class StopSignals:
    """Within the `with`, remembers the first SIGTERM or SIGINT in `received` and does nothing else about it.

    Once MindSpore has run a graph, it turns a SIGINT into a SIGTERM.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> "StopSignals":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
