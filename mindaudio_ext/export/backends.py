"""What can run a graph of the 310 kit: a device through MindSpore Lite, or this host without one.

Every backend turns a folder of inputs into a folder of outputs (`mindaudio_ext/export/io_lists.py`). MindSpore Lite's
are programs (`mindaudio_ext/export/lite.py`); the others are functions chunks [B, S] -> estimates [B, C, S].
"""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.io_lists import ChunkedUtterance, Layout, read_bin, read_list, write_list
from mindaudio_ext.export.kit import Kit, KitGraph
from mindaudio_ext.export.lite import RUNNERS, DeviceError, LiteDevice
from mindaudio_ext.files import atomic_path, sha256_of

Backend = Callable[[np.ndarray], np.ndarray]


def infer(
    backend: str, *, kit: Kit, graph: KitGraph, mindir: Path, device: LiteDevice, inputs: Path, outputs: Path
) -> None:
    """Runs a graph over a folder of inputs; `outputs.txt` is written last.

    Args:
        backend: a name of `RUNNERS` or `BACKENDS`.
        kit: has the sources of the runner, and the checkpoint's name.
        graph: what `mindir` is or was converted from.
        mindir: the file to run.
        device: of MindSpore Lite; the others run on this CPU.
        inputs: what preprocessing wrote.
        outputs: is made.

    Raises:
        InputError: the inputs are not whole or do not fit the graph, or the backend is not there.
        DeviceError: the device or the model failed.
    """
    layout, utterances = read_list(inputs / "inputs.txt")
    if (layout.samples, layout.num_spks) != (graph.samples, kit.config.num_spks):
        raise InputError(
            f"{inputs / 'inputs.txt'}: has chunks of {layout.samples} samples and {layout.num_spks} sources; "
            f"{mindir.name} takes {graph.samples} and {kit.config.num_spks}; preprocess again"
        )
    if backend in RUNNERS:
        if graph.role == "host" or mindir.suffix == ".onnx":
            raise InputError(f"{mindir}: MindSpore Lite takes the graph for ascend, or what it converted from the ONNX")
        RUNNERS[backend](kit.folder / "runner", mindir, device, inputs, outputs)
        return
    run = BACKENDS[backend](kit, graph, mindir)
    outputs.mkdir(parents=True, exist_ok=True)
    (outputs / "outputs.txt").unlink(missing_ok=True)
    made = run_chunks(run, graph.batch, layout, utterances, inputs, outputs)
    write_list(outputs / "outputs.txt", Layout("float32", layout.samples, layout.num_spks), made)


def run_chunks(
    run: Backend, batch: int, layout: Layout, utterances: list[ChunkedUtterance], inputs: Path, outputs: Path
) -> list[ChunkedUtterance]:
    """Runs all chunks, in batches over the bounds of utterances, and writes each utterance's estimates [K, C, S].

    Returns:
        The utterances with their times; those of a batch share its time.
    """
    rows = (
        (number, chunk)
        for number, each in enumerate(utterances)
        for chunk in read_bin(inputs / each.file, layout.dtype, (each.chunks, layout.samples))
    )
    seconds = [0.0] * len(utterances)
    waiting: list[np.ndarray] = []  # estimates of the utterance whose last chunk has not come yet
    while taken := list(islice(rows, batch)):
        chunks = np.zeros((batch, layout.samples), np.float32)  # the last batch is filled up with silence
        chunks[: len(taken)] = [chunk for _, chunk in taken]
        started = time.perf_counter()
        estimates = run(chunks)
        each_time = (time.perf_counter() - started) / len(taken)
        if estimates.shape != (batch, layout.num_spks, layout.samples):
            raise DeviceError(f"the graph gives {estimates.shape}, not {(batch, layout.num_spks, layout.samples)}")
        for (number, _), estimate in zip(taken, estimates):
            seconds[number] += each_time
            waiting.append(estimate)
            if len(waiting) == utterances[number].chunks:
                with atomic_path(outputs / utterances[number].file) as temporary:
                    np.stack(waiting).astype("<f4").tofile(temporary)
                waiting = []
    return [ChunkedUtterance(u.key, u.file, u.num_samples, u.chunks, time) for u, time in zip(utterances, seconds)]


def _host(kit: Kit, graph: KitGraph, mindir: Path) -> Backend:
    _require_role(graph, "host", mindir)
    from mindaudio_ext.export.run_graph import load_graph

    return load_graph(str(mindir))


def _numpy(kit: Kit, graph: KitGraph, mindir: Path) -> Backend:
    _require_role(graph, "ascend", mindir)
    from mindaudio_ext.export.interpreter import read_graph

    return read_graph(mindir)


def _checkpoint(kit: Kit, graph: KitGraph, mindir: Path) -> Backend:
    """What the graph was made from, over the same chunks: the figure that the others must reach."""
    from mindaudio_ext.inference.separator import Separator

    if not kit.checkpoint.is_file() or sha256_of(kit.checkpoint) != kit.checkpoint_sha256:
        raise InputError(f"{kit.checkpoint}: the kit's checkpoint is gone or another one now; run stage 5 again")
    separator = Separator.from_expdir(kit.folder.parent, kit.checkpoint, device_target="CPU", shifts=1)
    return lambda chunks: np.stack([separator.estimate(chunk) for chunk in chunks])


def _require_role(graph: KitGraph, role: str, mindir: Path) -> None:
    if graph.role != role:
        raise InputError(f"{mindir}: is for {graph.role}; this backend takes the graph for {role}")


BACKENDS: dict[str, Callable[[Kit, KitGraph, Path], Backend]] = {
    "host": _host,
    "numpy": _numpy,
    "checkpoint": _checkpoint,
}
