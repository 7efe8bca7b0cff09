"""A model in evaluation mode: on whole utterances, one compiled graph for all lengths, and on batches of one shape."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.layers.chunk import Swap


class WholeUtterance(nn.Cell):
    """Runs a model on one mixture of any length, in evaluation mode.

    The graph has a dynamic shape, so that it is compiled once; its results are those of a static graph.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
    """

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        for _, cell in model.cells_and_names():
            if isinstance(cell, Swap):
                cell.by_rows = True
        self.set_inputs(Tensor(shape=[1, None], dtype=ms.float32))

    def construct(self, mixture: Tensor) -> Tensor:
        return self.model(mixture)

    @one_at_a_time
    def separate(self, mixture: np.ndarray) -> np.ndarray:
        """Returns the estimates, float32 [C, T], of a mixture, float32 [T]."""
        self.set_train(False)
        return self(Tensor(mixture[None])).asnumpy()[0]


class BatchRunner(nn.Cell):
    """Runs a model on batches, in evaluation mode. Each shape is compiled anew; that graph is the fastest there is.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
    """

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, mixtures: Tensor) -> Tensor:
        return self.model(mixtures)

    @one_at_a_time
    def separate(self, mixtures: np.ndarray) -> np.ndarray:
        """Returns the estimates, float32 [B, C, T], of mixtures, float32 [B, T]."""
        self.set_train(False)
        return self(Tensor(mixtures)).asnumpy()
