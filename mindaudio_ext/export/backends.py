"""What can run a graph of the 310 kit: a device through MindSpore Lite, or this host without one.

Every backend turns a folder of inputs into a folder of outputs (`mindaudio_ext/export/bins.py`). `lite` is the C++
runner, a program of its own; the others are functions chunks [B, S] -> estimates [B, C, S].
"""

import os
import subprocess
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.bins import Layout, Utterance, read_bin, read_list, write_list
from mindaudio_ext.export.kit import Graph, Kit
from mindaudio_ext.files import atomic_path, sha256_of

Run = Callable[[np.ndarray], np.ndarray]


class DeviceError(OSError):
    """The device or the model failed; commands exit with status 1."""


def infer(backend: str, *, kit: Kit, graph: Graph, mindir: Path, device_id: int, inputs: Path, outputs: Path) -> None:
    """Runs a graph over a folder of inputs; `outputs.txt` is written last.

    Args:
        backend: `lite`, or a name of `BACKENDS`.
        kit: has the sources of the runner, and the checkpoint's name.
        graph: what `mindir` is or was converted from.
        mindir: the file to run.
        device_id: the card.
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
    if backend == "lite":
        _require_role(graph, "ascend", mindir)
        _run_program(kit.folder / "runner", mindir, device_id, inputs, outputs)
        return
    run = BACKENDS[backend](kit, graph, mindir, device_id)
    outputs.mkdir(parents=True, exist_ok=True)
    (outputs / "outputs.txt").unlink(missing_ok=True)
    made = run_chunks(run, graph.batch, layout, utterances, inputs, outputs)
    write_list(outputs / "outputs.txt", Layout("float32", layout.samples, layout.num_spks), made)


def run_chunks(
    run: Run, batch: int, layout: Layout, utterances: list[Utterance], inputs: Path, outputs: Path
) -> list[Utterance]:
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
    return [Utterance(u.key, u.file, u.num_samples, u.chunks, time) for u, time in zip(utterances, seconds)]


def _run_program(sources: Path, mindir: Path, device_id: int, inputs: Path, outputs: Path) -> None:
    """Builds the C++ runner, where it is not up to date, and runs it."""
    home = os.environ.get("LITE_HOME")
    if not home or not (Path(home) / "runtime" / "lib").is_dir():
        raise InputError(
            f"--backend lite: LITE_HOME ('{home or ''}') must be the folder of MindSpore Lite's package, with "
            "runtime/lib; without a device: --backend host, numpy or checkpoint"
        )
    build = sources / "build"
    _call("cmake", "-S", sources, "-B", build, f"-DLITE_HOME={os.path.abspath(home)}")
    _call("cmake", "--build", build)
    paths = ("--model", mindir, "--inputs", inputs, "--outputs", outputs)
    _call(build / "infer_310", *paths, "--device_id", device_id, wrong_input=2)


def _call(*command: object, wrong_input: int | None = None) -> None:
    """Runs a program; a line of its stderr becomes the message when it fails, with `wrong_input` an InputError."""
    words = [str(word) for word in command]
    try:
        result = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"--backend lite: needs {words[0]}, which is not installed") from error
    if result.returncode == 0:
        return
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    message = next((line for line in lines if "error: " in line), " ".join(lines) or f"status {result.returncode}")
    message = f"{Path(words[0]).name}: {message.partition('error: ')[2] or message}"
    raise (InputError if result.returncode == wrong_input else DeviceError)(message)


def _lite_python(kit: Kit, graph: Graph, mindir: Path, device_id: int) -> Run:
    _require_role(graph, "ascend", mindir)
    try:
        import mindspore_lite
    except ImportError as error:
        raise InputError(
            f"--backend lite_python: mindspore_lite cannot be imported ({error}); install its wheel"
        ) from error
    context = mindspore_lite.Context()
    context.target = ["ascend"]
    context.ascend.device_id = device_id
    model = mindspore_lite.Model()
    try:
        model.build_from_file(str(mindir), mindspore_lite.ModelType.MINDIR, context)
    except RuntimeError as error:
        raise DeviceError(f"{mindir}: cannot be built for card {device_id}: {error}") from error

    def run(chunks: np.ndarray) -> np.ndarray:
        inputs = model.get_inputs()
        try:
            inputs[0].set_data_from_numpy(chunks)
            return model.predict(inputs)[0].get_data_to_numpy()
        except RuntimeError as error:
            raise DeviceError(f"{mindir}: card {device_id} failed: {error}") from error

    return run


def _host(kit: Kit, graph: Graph, mindir: Path, device_id: int) -> Run:
    _require_role(graph, "host", mindir)
    from mindaudio_ext.export.run_graph import load_graph

    return load_graph(str(mindir))


def _numpy(kit: Kit, graph: Graph, mindir: Path, device_id: int) -> Run:
    _require_role(graph, "ascend", mindir)
    from mindaudio_ext.export.interpreter import read_graph

    return read_graph(mindir)


def _checkpoint(kit: Kit, graph: Graph, mindir: Path, device_id: int) -> Run:
    """What the graph was made from, over the same chunks: the figure that the others must reach."""
    from mindaudio_ext.decode.separate import Separator

    if not kit.checkpoint.is_file() or sha256_of(kit.checkpoint) != kit.checkpoint_sha256:
        raise InputError(f"{kit.checkpoint}: the kit's checkpoint is gone or another one now; run stage 5 again")
    separator = Separator.from_expdir(kit.folder.parent, kit.checkpoint, device_target="CPU", shifts=1)
    return lambda chunks: np.stack([separator.estimate(chunk) for chunk in chunks])


def _require_role(graph: Graph, role: str, mindir: Path) -> None:
    if graph.role != role:
        raise InputError(f"{mindir}: is for {graph.role}; this backend takes the graph for {role}")


BACKENDS: dict[str, Callable[[Kit, Graph, Path, int], Run]] = {
    "lite_python": _lite_python,
    "host": _host,
    "numpy": _numpy,
    "checkpoint": _checkpoint,
}
