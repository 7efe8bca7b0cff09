"""Runs a MindIR in a process of its own: `python -m mindaudio_ext.export.run_graph MINDIR IN.npy OUT.npy`."""

import sys
from collections.abc import Sequence

import numpy as np

from mindaudio_ext.device import set_up_device


def run_graph(mindir: str, inputs: np.ndarray) -> np.ndarray:
    """Gives the output of a MindIR of one input and one output on the CPU."""
    set_up_device("CPU")
    import mindspore as ms

    return ms.nn.GraphCell(ms.load(mindir))(ms.Tensor(inputs)).asnumpy()


def main(argv: Sequence[str]) -> None:
    """Reads the input, runs the graph, writes the output."""
    mindir, input_path, output_path = argv
    np.save(output_path, run_graph(mindir, np.load(input_path)))


if __name__ == "__main__":
    main(sys.argv[1:])
