"""The runner infer_310.cc in Python: for where MindSpore Lite is a Python package, of whatever Python that is (3.7 on).

Usage, files and exit status are those of the C++ program; --help lists the options.
"""

from __future__ import annotations  # Python 3.7

import argparse
import errno
import os
import sys
import time
from pathlib import Path

import numpy as np

LIST_FORMAT = 1
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM)  # errors that no other path would mend


class WrongInput(Exception):
    """The user's mistake; anything else is a failure of the device, the model or the machine."""


class Parser(argparse.ArgumentParser):
    """Tells of wrong use in one line."""

    def error(self, message: str) -> None:
        raise WrongInput(message)


def parse_options(words: list[str]) -> argparse.Namespace:
    """Returns the options; raises WrongInput."""
    parser = Parser(prog="infer_310.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help="the graph, or what was converted from it")
    parser.add_argument("--inputs", type=Path, required=True, help="the folder that preprocessing wrote")
    parser.add_argument("--outputs", type=Path, required=True, help="the folder for the estimates")
    parser.add_argument("--device", choices=("ascend", "cpu"), default="ascend")
    parser.add_argument("--device_id", type=int, default=0, help="the card (0)")
    return parser.parse_args(words)


def read_inputs(folder: Path) -> tuple:
    """Returns samples and sources of every chunk, and (key, file, samples, chunks) of each utterance.

    Raises:
        WrongInput: inputs.txt is none, or a file does not have the size it must have.
    """
    path = folder / "inputs.txt"
    if not path.is_file():
        raise WrongInput(f"{path}: no such file; preprocessing makes it")
    head, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    try:
        kind, number, dtype, samples, sources = head.split(" ")
        if (kind, int(number), dtype) != ("inputs", LIST_FORMAT, "float32"):
            raise ValueError
        length, n_sources = int(samples), int(sources)
        rows = [(key, file, int(n), int(chunks)) for key, file, n, chunks in (line.split(" ") for line in lines)]
    except ValueError:
        raise WrongInput(f"{path}: 'inputs 1 float32 <samples> <sources>' and utterances are expected") from None
    for key, file, _, chunks in rows:
        size = os.path.getsize(folder / file) if (folder / file).is_file() else -1
        if size != 4 * length * chunks:
            raise WrongInput(f"{folder / file} of {key}: has {size} bytes; {4 * length * chunks} are expected")
    if not rows:
        raise WrongInput(f"{path}: lists no utterance")
    return length, n_sources, rows


class Network:
    """A built model [batch, samples] -> [batch, sources, samples].

    Raises:
        WrongInput: mindspore_lite is missing, or the model has another input or output.
    """

    def __init__(self, options: argparse.Namespace, length: int, n_sources: int) -> None:
        try:
            import mindspore_lite
        except ImportError as error:
            raise WrongInput(f"mindspore_lite cannot be imported ({error}); install its wheel") from error
        context = mindspore_lite.Context()
        context.target = [options.device]
        if options.device == "ascend":
            context.ascend.device_id = options.device_id
        else:
            context.cpu.thread_num = 1  # see infer_310.cc
        self._model = mindspore_lite.Model()
        self._model.build_from_file(str(options.model), mindspore_lite.ModelType.MINDIR, context)
        self._inputs = self._model.get_inputs()
        shape = list(self._inputs[0].shape)
        if len(self._inputs) != 1 or len(shape) != 2 or shape[0] < 1 or shape[1] != length:
            raise WrongInput(f"{options.model}: its input is {shape}; the chunks are [batch, {length}]")
        self.batch = shape[0]
        self._expected = (self.batch, n_sources, length)

    def run(self, chunks: np.ndarray) -> np.ndarray:
        """Returns the estimates of a full batch of chunks."""
        self._inputs[0].set_data_from_numpy(chunks)
        # A copy: the array lies in the library's memory, where the next batch's will be.
        estimates = np.array(self._model.predict(self._inputs)[0].get_data_to_numpy())
        if estimates.shape != self._expected:
            raise WrongInput(f"the model's output is {list(estimates.shape)}; {list(self._expected)} is expected")
        return estimates


def separate(network: Network, options: argparse.Namespace, length: int, rows: list) -> list:
    """Writes each utterance's estimates; returns the seconds of inference of each."""
    seconds = [0.0] * len(rows)
    owners, chunks, waiting = [], [], []

    def flush() -> None:
        batch = np.zeros((network.batch, length), np.float32)  # the last one is filled up with silence
        batch[: len(chunks)] = chunks
        started = time.perf_counter()
        estimates = network.run(batch)
        each = (time.perf_counter() - started) / len(chunks)
        for owner, estimate in zip(owners, estimates):
            seconds[owner] += each
            waiting.append(estimate)
            if len(waiting) == rows[owner][3]:
                write_whole(options.outputs / rows[owner][1], np.stack(waiting).astype("<f4").tobytes())
                waiting.clear()
        owners.clear()
        chunks.clear()

    for number, (_, file, _, n_chunks) in enumerate(rows):
        for chunk in np.fromfile(str(options.inputs / file), "<f4").reshape(n_chunks, length):
            owners.append(number)
            chunks.append(chunk)
            if len(chunks) == network.batch:
                flush()
    if chunks:
        flush()
    return seconds


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that gets its name when it is whole."""
    temporary = path.with_name(f".tmp.{path.name}")
    temporary.write_bytes(content)
    temporary.replace(path)


def run(options: argparse.Namespace) -> None:
    """Runs the model over the inputs; outputs.txt is written last."""
    length, n_sources, rows = read_inputs(options.inputs)
    if not options.model.is_file():
        raise WrongInput(f"{options.model}: no such model")
    with open(str(options.model), "rb"):  # the library does not say why it cannot read it
        pass
    options.outputs.mkdir(parents=True, exist_ok=True)
    whole = options.outputs / "outputs.txt"
    if whole.exists():
        whole.unlink()
    started = time.perf_counter()
    network = Network(options, length, n_sources)
    network.run(np.zeros((network.batch, length), np.float32))  # slower than the others
    loading = time.perf_counter() - started
    seconds = separate(network, options, length, rows)
    lines = [f"outputs {LIST_FORMAT} float32 {length} {n_sources}"]
    lines += [f"{key} {file} {n} {chunks} {time:.6f}" for (key, file, n, chunks), time in zip(rows, seconds)]
    write_whole(whole, ("\n".join(lines) + "\n").encode())
    n_chunks = sum(row[3] for row in rows)
    print(
        f"{len(rows)} utterances, {n_chunks} chunks in batches of {network.batch}: {sum(seconds):.2f} s; "
        f"loading took {loading:.2f} s"
    )


def main(words: list[str] | None = None) -> int:
    """Runs the command, by default with the process's arguments; returns its exit status."""
    try:
        run(parse_options(sys.argv[1:] if words is None else words))
        return 0
    except WrongInput as error:
        status, message = 2, str(error)
    except OSError as error:
        status = 1 if error.errno in OF_THE_MACHINE else 2
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except Exception as error:  # what the package raises is of many kinds
        status, message = 1, str(error) or repr(error)
    print(f"infer_310: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    ended = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # MindSpore Lite 2.0 may crash when its objects are destroyed at the end of the interpreter
