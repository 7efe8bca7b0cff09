"""Runs a MindIR in a process of its own: `python -m mindaudio_ext.export.run_graph MINDIR IN.npy OUT.npy`."""

import sys
from collections.abc import Callable, Sequence

import numpy as np

from mindaudio_ext.device import one_at_a_time, set_up_device


@one_at_a_time
def load_graph(mindir: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a MindIR of one input and one output as a function, on the CPU."""
    set_up_device("CPU")
    import mindspore as ms

    graph = ms.nn.GraphCell(ms.load(mindir))
    return one_at_a_time(lambda inputs: graph(ms.Tensor(inputs)).asnumpy())


def run_graph(mindir: str, inputs: np.ndarray) -> np.ndarray:
    """Returns the output of a MindIR, as `load_graph` does."""
    return load_graph(mindir)(inputs)


def main(argv: Sequence[str]) -> None:
    """Reads the input, runs the graph, writes the output."""
    mindir, input_path, output_path = argv
    np.save(output_path, run_graph(mindir, np.load(input_path)))


if __name__ == "__main__":
    main(sys.argv[1:])
