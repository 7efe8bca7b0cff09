"""A model in evaluation mode: on whole utterances of any length, and on batches of one shape.

Either begins operator by operator: the first results are there at once, with half of the memory. What runs long is
compiled into a graph, which then takes less time. Both give the same bits.
"""

import contextlib
import time
from collections.abc import Iterator

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.layers.chunk import Swap

_WORTH_COMPILING = 5.0  # s without a graph, a third of which it would have saved; compiling takes as long


class Evaluation(nn.Cell):
    """Runs a model in evaluation mode.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
        eager_seconds: how long a graph's mixtures are run operator by operator before it is compiled; None for what
            compiling takes, on an Ascend 0.
    """

    def __init__(self, model: nn.Cell, eager_seconds: float | None = None) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        by_device = _WORTH_COMPILING if ms.get_context("device_target") == "CPU" else 0.0
        self.eager_seconds = by_device if eager_seconds is None else eager_seconds
        self._spent: dict[tuple[int | None, ...], float] = {}  # s, by the shape of the graph
        for _, cell in model.cells_and_names():
            if isinstance(cell, Swap):
                cell.by_rows = True

    def construct(self, mixtures: Tensor) -> Tensor:
        return self.model(mixtures)

    def graph_of(self, shape: tuple[int, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the graph for mixtures of a shape."""
        return shape

    def run(self, mixtures: np.ndarray) -> np.ndarray:
        """Returns the estimates, float32 [B, C, T], of mixtures, float32 [B, T]."""
        self.set_train(False)
        graph = self.graph_of(mixtures.shape)
        spent = self._spent.get(graph, 0.0)
        if spent >= self.eager_seconds:
            return self(Tensor(mixtures)).asnumpy()
        started = time.monotonic()
        with _operator_by_operator():
            estimates = self.model(Tensor(mixtures)).asnumpy()
        self._spent[graph] = spent + time.monotonic() - started
        return estimates


class WholeUtterance(Evaluation):
    """Runs a model on one mixture of any length, in evaluation mode.

    The graph has a dynamic shape, so that it is compiled once; its results are those of a static graph.

    Args: those of `Evaluation`.
    """

    def __init__(self, model: nn.Cell, eager_seconds: float | None = None) -> None:
        super().__init__(model, eager_seconds)
        self.set_inputs(Tensor(shape=[1, None], dtype=ms.float32))

    def graph_of(self, shape: tuple[int, ...]) -> tuple[int | None, ...]:
        return (1, None)

    @one_at_a_time
    def separate(self, mixture: np.ndarray) -> np.ndarray:
        """Returns the estimates, float32 [C, T], of a mixture, float32 [T]."""
        return self.run(mixture[None])[0]


class BatchRunner(Evaluation):
    """Runs a model on batches, in evaluation mode. Each shape is compiled anew; that graph is the fastest there is.

    Args: those of `Evaluation`.
    """

    @one_at_a_time
    def separate(self, mixtures: np.ndarray) -> np.ndarray:
        """Returns the estimates, float32 [B, C, T], of mixtures, float32 [B, T]."""
        return self.run(mixtures)


@contextlib.contextmanager
def _operator_by_operator() -> Iterator[None]:
    """Has MindSpore run Cells without compiling them."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=mode)
