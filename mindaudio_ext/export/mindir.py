"""A trained model as a MindIR graph for the host, with a manifest and the proof that it computes the same."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import mindaudio_ext
from mindaudio_ext.config import Config
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.decode.separate import Separator, find_checkpoint, read_experiment
from mindaudio_ext.files import sha256_of, write_text

TOLERANCE = 1e-5  # of the peak; float32 sums in another order differ by about 1e-6
_DATA_TYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far the exported graph, loaded in a fresh process, is from the checkpoint on one mixture.

    Attributes:
        key: of the mixture.
        max_abs_difference: over all samples of all estimates.
        peak: the largest absolute sample of the checkpoint's estimates.
    """

    key: str
    max_abs_difference: float
    peak: float

    @property
    def passed(self) -> bool:
        """Whether the difference is at most `TOLERANCE` of the peak."""
        return self.max_abs_difference <= TOLERANCE * self.peak

    def __str__(self) -> str:
        return (
            f"{self.key}: max |graph - checkpoint| = {self.max_abs_difference:.2e}, peak {self.peak:.2e}; "
            f"at most {TOLERANCE:.0e} of the peak is allowed"
        )


def export_mindir(
    expdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    model_path: str | os.PathLike | None = None,
    segment: float | None = None,
    allow_pipes: bool = False,
) -> tuple[Path, Parity]:
    """Makes `export/<name>_host.mindir`, `parity.json` and, last, `manifest.json` in an experiment.

    The graph has the static input [1, export_segment * sample_rate]. When it fails the comparison, only `parity.json`
    is left, which says so. What is whole and of the same checkpoint, config and versions is kept.

    Args:
        expdir: the experiment.
        data_dir: its first mixture is compared, cut or padded with zeros to the graph's length.
        model_path: a checkpoint; see `Separator.from_expdir`.
        segment: seconds, instead of the config's `export_segment`.
        allow_pipes: run the command in `wav.scp`.

    Returns:
        The graph's path and the comparison.

    Raises:
        InputError: no model, no data directory, or a mixture that cannot be read.
    """
    config = read_experiment(expdir)
    if segment:
        config = dataclasses.replace(config, export_segment=segment)
    checkpoint = find_checkpoint(expdir, config, model_path)
    folder = Path(expdir) / "export"
    path = folder / f"{os.path.basename(os.path.abspath(expdir))}_host.mindir"
    key, mixture = _read_mixture(data_dir, config, allow_pipes)
    source = _source(config, checkpoint)
    parity = _kept(path, source, key)
    if parity:
        return path, parity
    separator = Separator.from_expdir(expdir, checkpoint, device_target="CPU")
    expected = separator.estimate(mixture)[None]  # [1, C, T]
    temporary = path.with_name(f".tmp.{path.name}")
    try:
        _write_graph(config, checkpoint, len(mixture), temporary)
        difference = np.abs(_run_in_fresh_process(temporary, mixture[None]) - expected).max()
        parity = Parity(key, float(difference), float(np.abs(expected).max()))
        for stale in (folder / "manifest.json", folder / "parity.json", path):
            stale.unlink(missing_ok=True)
        if parity.passed:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _write_json(folder / "parity.json", dataclasses.asdict(parity) | {"passed": parity.passed})
    if parity.passed:
        _write_json(folder / "manifest.json", _describe(path) | source)
    return path, parity


def _read_mixture(data_dir: str | os.PathLike, config: Config, allow_pipes: bool) -> tuple[str, np.ndarray]:
    """Gives the first key and its mixture, cut or padded to the graph's length."""
    entry = read_data_dir(data_dir, allow_pipes=allow_pipes).entries()[0]
    mixture, _ = entry.read("wav.scp", sample_rate=config.sample_rate)
    length = round(config.export_segment * config.sample_rate)
    mixture = mixture[:length]
    return entry.key, np.pad(mixture, (0, length - len(mixture)))


def _write_graph(config: Config, checkpoint: Path, length: int, path: Path) -> None:
    """Writes the model with the input [1, length]."""
    import mindspore as ms

    from mindaudio_ext.layers.rnn import build_rnns_for
    from mindaudio_ext.models.checkpoint import load_parameters
    from mindaudio_ext.models.tasnet import build_model

    with build_rnns_for("portable"):  # without Python in the graph
        model = build_model(config)
    load_parameters(model, checkpoint)
    model.set_train(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:  # MindSpore refuses a path with a space, or a letter beyond ASCII
        written = Path(folder) / "graph.mindir"
        ms.export(model, ms.Tensor(np.zeros((1, length), np.float32)), file_name=str(written), file_format="MINDIR")
        shutil.copyfile(written, path)  # not its mode: only the owner could read it


def _run_in_fresh_process(mindir: Path, inputs: np.ndarray) -> np.ndarray:
    """Gives the graph's output as a process sees it that never had the model."""
    package = str(Path(mindaudio_ext.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(given, inputs)
        subprocess.run(
            [sys.executable, "-m", "mindaudio_ext.export.run_graph", str(mindir), str(given), str(result)],
            env=os.environ | {"PYTHONPATH": paths},
            check=True,
        )
        return np.load(result)


def _source(config: Config, checkpoint: Path) -> dict[str, Any]:
    """What the graph was made from: it is kept as long as all of this is the same."""
    return {
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": sha256_of(checkpoint),
        "sample_rate": config.sample_rate,
        "num_spks": config.num_spks,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "versions": {"mindspore": version("mindspore"), "mindaudio-ext": mindaudio_ext.__version__},
    }


def _kept(path: Path, source: dict[str, Any], key: str) -> Parity | None:
    """Gives the comparison of an export that is whole, passed on this mixture, and of this source."""
    try:
        manifest = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))
        parity = json.loads((path.parent / "parity.json").read_text(encoding="utf-8"))
        kept = Parity(parity["key"], parity["max_abs_difference"], parity["peak"])
        same = all(manifest[name] == value for name, value in source.items())
        whole = manifest["sha256"] == sha256_of(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if same and whole and kept.passed and kept.key == key else None


def _describe(path: Path) -> dict[str, Any]:
    """What a user of the graph must know, as far as the graph itself tells it."""
    from mindspore.train.mind_ir_pb2 import ModelProto

    graph = ModelProto()
    graph.ParseFromString(path.read_bytes())
    counts = Counter(
        node.op_type.split(":")[2] if node.op_type.startswith("REF::") else node.op_type for node in graph.graph.node
    )
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "inputs": [_describe_tensor(value) for value in graph.graph.input],
        "outputs": [_describe_tensor(value) for value in graph.graph.output],
        "operators": dict(sorted(counts.items())),
        "target": "host CPU: the LSTM operator has no counterpart on Ascend",
    }


def _describe_tensor(value: Any) -> dict[str, Any]:
    tensor = value.tensor[0]
    return {
        "name": value.name,
        "shape": [int(size) for size in tensor.dims],
        "dtype": _DATA_TYPES.get(tensor.data_type, f"type {tensor.data_type}"),
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2) + "\n")
