"""A model in evaluation mode: on whole utterances of any length, and on batches of one shape.

Either begins operator by operator: the first results are there at once. What runs long is compiled into graphs, which
then take less time. Both give the same bits.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.layers.chunk import Swap
from mindaudio_ext.layers.rnn_backends import reserve, without_gradients
from mindaudio_ext.models.lent import LentBlock, kinds_of_blocks

_WORTH_COMPILING = 5.0  # s without a graph, a third of which it would have saved; compiling takes as long
_PROBES = 100, 5000  # frames: longer than one chunk, and than many


class Evaluation:
    """Runs a model in evaluation mode.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
        eager_seconds: how long a graph's mixtures are run operator by operator before it is compiled; None for what
            compiling takes, on an Ascend 0.
    """

    open_lengths = False

    def __init__(self, model: nn.Cell, eager_seconds: float | None = None) -> None:
        self.model = model
        by_device = _WORTH_COMPILING if ms.get_context("device_target") == "CPU" else 0.0
        self.eager_seconds = by_device if eager_seconds is None else eager_seconds
        self._spent: dict[tuple[int | None, ...], float] = {}  # s, by the shape of the graph
        for _, cell in model.cells_and_names():
            if isinstance(cell, Swap):
                cell.by_rows = True

    @functools.cached_property
    def compiled(self) -> Callable[[Tensor], Tensor]:
        """The model as graphs: mixtures [B, T] -> estimates [B, C, T]."""
        kind = _BlockByBlock if hasattr(getattr(self.model, "separator", None), "before_blocks") else _Whole
        return kind(self.model, open_lengths=self.open_lengths)

    def graph_of(self, shape: tuple[int, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the graph for mixtures of a shape."""
        return (shape[0], None) if self.open_lengths else shape

    def run(self, mixtures: np.ndarray) -> np.ndarray:
        """Returns the estimates, float32 [B, C, T], of mixtures, float32 [B, T]."""
        self.model.set_train(False)
        graph = self.graph_of(mixtures.shape)
        spent = self._spent.get(graph, 0.0)
        with without_gradients(self.model):
            if spent >= self.eager_seconds:
                return self.compiled(Tensor(mixtures)).asnumpy()
            started = time.monotonic()
            with _operator_by_operator():
                estimates = self.model(Tensor(mixtures)).asnumpy()
        self._spent[graph] = spent + time.monotonic() - started
        return estimates


class WholeUtterance(Evaluation):
    """Runs a model on one mixture of any length, in evaluation mode.

    The graphs have dynamic shapes, so that they are compiled once; their results are those of static graphs.

    Args: those of `Evaluation`.
    """

    open_lengths = True

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


class _Graph(nn.Cell):
    """A function of a model as a graph of its own."""

    def __init__(self, function: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__(auto_prefix=False)
        self.function = function

    def construct(self, *args: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(*args)


class _Whole:
    """A model as one graph."""

    def __init__(self, model: nn.Cell, *, open_lengths: bool) -> None:
        self.graph = _Graph(model)
        if open_lengths:
            self.graph.set_inputs(_open((1, None)))

    def __call__(self, mixtures: Tensor) -> Tensor:
        return self.graph(mixtures)


class _BlockByBlock:
    """A model as a graph before its separator's blocks, one for each kind of block, and one after them.

    Args:
        model: has `features`, `estimates`, and a separator with `before_blocks`, `blocks` and `after_blocks`.
        open_lengths: one mixture of any length, not batches of one shape.
    """

    def __init__(self, model: nn.Cell, *, open_lengths: bool) -> None:
        separator = model.separator
        kinds, self.places = kinds_of_blocks(separator)
        self.lent = [LentBlock(blocks) for blocks in kinds]

        def before(mixtures: Tensor) -> tuple[Tensor, Tensor]:
            features = model.features(mixtures)
            return features, separator.before_blocks(features)

        def after(features: Tensor, x: Tensor, mixtures: Tensor) -> Tensor:
            return model.estimates(features, separator.after_blocks(x, features.shape[1]), mixtures)

        self.before, self.after = _Graph(before), _Graph(after)
        for lent in self.lent:
            reserve(lent.cell, False)
        self.blocks = [_Graph(lent.cell.set_train(False)) for lent in self.lent]
        if open_lengths:
            mixtures = _open((1, None))
            features, x = _open_shapes(before, model.kernel_size, model.stride)
            self.before.set_inputs(mixtures)
            for block in self.blocks:
                block.set_inputs(x)
            self.after.set_inputs(features, x, mixtures)

    def __call__(self, mixtures: Tensor) -> Tensor:
        features, x = self.before(mixtures)
        for kind, number in self.places:
            self.lent[kind].take(number)
            x = self.blocks[kind](x)
        return self.after(features, x, mixtures)


def _open_shapes(before: Callable[[Tensor], tuple[Tensor, Tensor]], kernel_size: int, stride: int) -> list[Tensor]:
    """Returns the shapes of what `before` gives of a mixture of any length: those of two lengths, where they agree."""
    with _operator_by_operator():
        few, many = (before(ops.zeros((1, kernel_size + n * stride), ms.float32)) for n in _PROBES)
    return [_open(tuple(n if n == m else None for n, m in zip(a.shape, b.shape))) for a, b in zip(few, many)]


def _open(shape: tuple[int | None, ...]) -> Tensor:
    return Tensor(shape=list(shape), dtype=ms.float32)


@contextlib.contextmanager
def _operator_by_operator() -> Iterator[None]:
    """Has MindSpore run Cells without compiling them."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=mode)
