"""A trained model as graphs for the host, for an Ascend 310 and as ONNX, each proved, with a manifest."""

import csv
import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import mindaudio_ext
from mindaudio_ext.config import Config
from mindaudio_ext.data.kaldi_dir import DataDir, read_data_dir
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.export import verify
from mindaudio_ext.export.ascend import check_operators
from mindaudio_ext.export.graph import Graph
from mindaudio_ext.export.interpreter import read_graph
from mindaudio_ext.export.mindir_file import describe_mindir, read_mindir, write_mindir
from mindaudio_ext.export.onnx_file import describe_onnx, run_onnx, write_onnx
from mindaudio_ext.export.simplify import in_float32, simplify
from mindaudio_ext.export.verify import Fidelity, Parity, Segment
from mindaudio_ext.files import atomic_path, parse_json, sha256_of, write_text
from mindaudio_ext.inference.separator import Separator, require_length
from mindaudio_ext.interrupt import removed_at_an_end
from mindaudio_ext.registry import MODELS, SEPARATORS

MANIFEST_FORMAT = 1
SUFFIXES = {"host": "_host.mindir", "ascend": "_ascend.mindir", "onnx": ".onnx"}  # in the manifest's order


@dataclasses.dataclass(frozen=True)
class GraphFile:
    """A graph file and its proof.

    Attributes:
        path: the file; it is removed when the proof failed.
        role: "host", "ascend" or "onnx".
        proof: what was compared.
    """

    path: Path
    role: str
    proof: Parity | Fidelity


def export_graphs(
    expdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    config: Config | None = None,
    mindir_version: int = 1,
    allow_pipes: bool = False,
) -> list[GraphFile]:
    """Makes the graphs of an experiment and, last, `export/manifest.json`; docs/contracts.md has its format.

    When a graph fails its proof there is no manifest. What is whole and of the same checkpoint, config, test utterances
    and versions is kept.

    Args:
        expdir: the experiment.
        data_dir: the test set on which the graphs are proved.
        config: of the experiment, with what this run exports of which checkpoint; by default the experiment's own.
        mindir_version: of the Ascend graph's file, one of `mindir_file.VERSIONS`.
        allow_pipes: run the commands in the scp files.

    Returns:
        The graphs, up to the first that failed.

    Raises:
        InputError: no model or test set, a signal that cannot be read, or an operator that a target does not have.
    """
    experiment = Experiment(Path(expdir))
    config = config or experiment.read_config()
    for seconds in config.export_segment:
        require_length(round(seconds * config.sample_rate), config, name=f"export_segment {seconds:g}")
    checkpoint = experiment.find_checkpoint(config)
    data = read_data_dir(data_dir, allow_pipes=allow_pipes)
    if len(data.sources) != config.num_spks:
        raise InputError(f"{data_dir}: has {len(data.sources)} sources, the experiment's num_spks is {config.num_spks}")
    export = _Export(experiment, config, checkpoint, data, mindir_version)
    return export.kept() or export.make()


class _Export:
    """One run: what is exported, from where, to where."""

    def __init__(
        self, experiment: Experiment, config: Config, checkpoint: Path, data: DataDir, mindir_version: int = 1
    ) -> None:
        self.config, self.checkpoint, self.data, self.mindir_version = config, checkpoint, data, mindir_version
        self.experiment, self.folder = experiment, experiment.export
        self.name = experiment.name
        self.manifest = self.folder / "manifest.json"
        self.source = {
            "format": MANIFEST_FORMAT,
            "name": self.name,
            "sample_rate": config.sample_rate,
            "num_spks": config.num_spks,
            "checkpoint": os.path.relpath(checkpoint, experiment.path),
            "checkpoint_sha256": sha256_of(checkpoint),
            "config": json.loads(json.dumps(dataclasses.asdict(config))),
            "versions": {"mindspore": version("mindspore"), "mindaudio-ext": mindaudio_ext.__version__},
            "mindir_version": mindir_version,
            "proved_on": list(data.keys[: config.export_utterances]),
        }
        self.scores = _scores(experiment, config, self.source["checkpoint_sha256"])

    def kept(self) -> list[GraphFile]:
        """Returns the graphs of a whole manifest of this very source, whose scores are brought up to date."""
        try:
            manifest = parse_json(self.manifest.read_text(encoding="utf-8"))
            if any(manifest[key] != value for key, value in self.source.items()):
                return []
            graphs = [self._read_entry(entry) for entry in manifest["graphs"]]
            whole = all(entry["sha256"] == sha256_of(self.folder / entry["file"]) for entry in manifest["graphs"])
        except (OSError, ValueError, KeyError, TypeError):
            return []
        if not whole or not all(graph.proof.passed for graph in graphs):
            return []
        if manifest["scores"] != self.scores:
            _write_json(self.manifest, manifest | {"scores": self.scores})
        return graphs

    def _read_entry(self, entry: dict[str, Any]) -> GraphFile:
        proof = dict(entry["proof"])
        if entry["role"] != "ascend":
            proof["tolerance"] = verify.ONNX_TOLERANCE if entry["role"] == "onnx" else verify.HOST_TOLERANCE
        kind = Fidelity if entry["role"] == "ascend" else Parity
        return GraphFile(self.folder / entry["file"], entry["role"], kind(**proof))

    def make(self) -> list[GraphFile]:
        """Writes and proves all graphs, then the manifest; raises InputError when that is somebody else's."""
        self._require_own()
        model = Separator.from_expdir(self.experiment.path, self.checkpoint, device_target="CPU", shifts=1)
        _refuse_targets(self.config)
        self.manifest.unlink(missing_ok=True)
        self._remove_graphs()
        graphs, entries = [], []
        for seconds in self.config.export_segment:
            segments = verify.read_segments(
                self.data,
                length=round(seconds * self.config.sample_rate),
                sample_rate=self.config.sample_rate,
                count=self.config.export_utterances,
                estimate=lambda mixture: model.estimate(mixture[0])[None],
            )
            for exported in self._make_length(seconds, segments):
                graphs.append(exported)
                if not exported.proof.passed:
                    exported.path.unlink()
                    return graphs
                entries.append(self._entry(exported, seconds))
        _write_json(self.manifest, self.source | {"scores": self.scores, "graphs": entries})
        return graphs

    def _require_own(self) -> None:
        if not self.manifest.exists():
            return
        try:
            is_ours = "checkpoint_sha256" in parse_json(self.manifest.read_text(encoding="utf-8"))
        except (ValueError, TypeError):
            is_ours = False
        if not is_ours:
            raise InputError(f"{self.manifest}: is there and is not what stage 5 writes; move it away")

    def _remove_graphs(self) -> None:
        """Removes the graphs of an earlier run; what is called otherwise, as `converter_lite` has it, stays."""
        suffixes = "|".join(map(re.escape, SUFFIXES.values()))
        ours = re.compile(rf"{re.escape(self.name)}_[0-9.e+-]+s({suffixes})")
        for path in self.folder.glob("*"):
            if ours.fullmatch(path.name):
                path.unlink()

    def _make_length(self, seconds: float, segments: list[Segment]) -> Iterator[GraphFile]:
        """Writes and proves the graphs of one length, one after the other."""
        targets, batch = self.config.export_targets, self.config.export_batch
        shape = (batch, len(segments[0].mixture))
        paths = {role: self.folder / f"{self.name}_{seconds:g}s{suffix}" for role, suffix in SUFFIXES.items()}
        if "host" in targets:
            with atomic_path(paths["host"]) as temporary:
                _write_mindir(self.config, self.checkpoint, shape, "portable", temporary)
            run = partial(verify.run_in_fresh_process, paths["host"])
            proof = verify.compare(run, segments, batch=batch, tolerance=verify.HOST_TOLERANCE)
            yield GraphFile(paths["host"], "host", proof)
        if targets == ("host",):
            return
        original = self._for_ascend(shape)
        if "ascend" in targets:
            graph = simplify(original)
            check_operators(graph, paths["ascend"].name)
            write_mindir(graph, paths["ascend"], version=self.mindir_version)
            yield GraphFile(paths["ascend"], "ascend", verify.score(read_graph(paths["ascend"]), segments, batch=batch))
        if "onnx" in targets:
            write_onnx(simplify(in_float32(original)), paths["onnx"])
            run = partial(run_onnx, paths["onnx"])
            proof = verify.compare(run, segments, batch=batch, tolerance=verify.ONNX_TOLERANCE)
            yield GraphFile(paths["onnx"], "onnx", proof)

    def _for_ascend(self, shape: tuple[int, int]) -> Graph:
        """Returns the network as MindSpore exports it for an Ascend."""
        with tempfile.TemporaryDirectory() as folder, removed_at_an_end(folder):
            path = Path(folder) / "graph.mindir"
            _write_mindir(self.config, self.checkpoint, shape, "Ascend", path)
            return read_mindir(path, name=f"{self.name} for Ascend")

    def _entry(self, exported: GraphFile, seconds: float) -> dict[str, Any]:
        """Returns the manifest's entry of a graph."""
        proof = dataclasses.asdict(exported.proof)
        proof.pop("tolerance", None)
        return {
            "file": exported.path.name,
            "bytes": exported.path.stat().st_size,
            "sha256": sha256_of(exported.path),
            "role": exported.role,
            "separator": self.config.separator if self.config.model == "tasnet" else self.config.model,
            "batch": self.config.export_batch,
            "samples": round(seconds * self.config.sample_rate),
            "segment": seconds,
            **(describe_onnx if exported.role == "onnx" else describe_mindir)(exported.path),
            "proof": proof,
        }


def _refuse_targets(config: Config) -> None:
    """Raises InputError for a target that the class of the model, or of its separator, says it has no graph for.

    A class says so by `export_targets`, those it has; without, the operators of the graph that is made decide.
    """
    name = config.separator if config.model == "tasnet" else config.model
    registered = SEPARATORS.get(name) if config.model == "tasnet" else MODELS.get(name)
    possible = getattr(registered, "export_targets", tuple(SUFFIXES))
    for target in config.export_targets:
        if target not in possible:
            raise InputError(f"export_targets: {name} has no graph for {target}; it has: {', '.join(possible)}")


def _write_mindir(config: Config, checkpoint: Path, shape: tuple[int, int], target: str, path: Path) -> None:
    """Writes the model for mixtures of this shape, with its recurrent layers in the form for `target`."""
    import mindspore as ms

    from mindaudio_ext.layers.rnn import build_rnns_for
    from mindaudio_ext.models.parameters import load_parameters
    from mindaudio_ext.models.tasnet import build_model

    with build_rnns_for(target):
        model = build_model(config)
    load_parameters(model, checkpoint)
    model.set_train(False)
    # MindSpore refuses a path with a space, or a letter beyond ASCII.
    with tempfile.TemporaryDirectory() as folder, removed_at_an_end(folder):
        written = Path(folder) / "graph.mindir"
        ms.export(model, ms.Tensor(np.zeros(shape, np.float32)), file_name=str(written), file_format="MINDIR")
        shutil.copyfile(written, path)  # not its mode: only the owner could read it


def _scores(experiment: Experiment, config: Config, checkpoint_sha256: str) -> dict[str, dict[str, Any]]:
    """Returns the utterances and mean SI-SNRi of the test sets that this checkpoint separated and stage 4 scored."""
    scores = {}
    for name in config.test_sets:
        try:
            origin = experiment.separated(name).read_origin()
            if origin is None or origin["sha256"] != checkpoint_sha256:
                continue
            with open(experiment.scores(name), encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            mean = float(np.mean([float(row["si_snri"]) for row in rows if row["si_snri"]]))  # not of silent references
            scores[name] = {"utterances": len({row["key"] for row in rows}), "si_snri": round(mean, 6)}
            if origin.get("shifts", 1) > 1:
                scores[name]["shifts"] = origin["shifts"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not scored, or by something else
    return scores


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
