"""The 310 kit in an experiment's `export/`: its graphs, which manifest.json describes, and the programs beside them."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindaudio_ext
from mindaudio_ext.config import Config, resolved_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import keep_copy, parse_json, sha256_of, write_text

PROGRAMS = Path(__file__).with_name("ascend310")
COMMAND = "run_infer_310.sh"


@dataclass(frozen=True)
class KitGraph:
    """A graph of one length: `batch` mixtures a run, `samples` of each; `role` is host, ascend or onnx."""

    file: str
    role: str
    batch: int
    samples: int
    sha256: str


@dataclass(frozen=True)
class Kit:
    """What manifest.json says of a kit.

    Attributes:
        folder: the kit.
        config: of the model.
        checkpoint: what the graphs were made from, and its digest.
        scores: mean SI-SNRi of whole utterances, dB, and their number, by test set; of stage 4.
        graphs: all of them.
    """

    folder: Path
    config: Config
    checkpoint: Path
    checkpoint_sha256: str
    scores: dict[str, dict[str, Any]]
    graphs: tuple[KitGraph, ...]


def write_programs(folder: Path) -> Path:
    """Copies the command and the runner's sources into a kit; gives the command's path.

    The command gets the names of this interpreter and of this package's folder, which it uses where they exist. Of a
    file that is there with another content, such as one that the user changed, a copy is kept in `.backup`.
    """
    for source in sorted(PROGRAMS.rglob("*")):
        if source.is_file() and source.parent.name != "__pycache__":  # pip compiles what it installs
            path, text = folder / source.relative_to(PROGRAMS), source.read_text(encoding="utf-8")
            if source.name == COMMAND:
                text = _filled_in(text)
            if path.is_file() and path.read_bytes() != text.encode():
                keep_copy(path)
            write_text(path, text)
    (folder / COMMAND).chmod(0o755)  # a wheel does not keep it
    return folder / COMMAND


def _filled_in(text: str) -> str:
    package = Path(mindaudio_ext.__file__).parents[1]
    for name, value in (("python", sys.executable), ("package", package)):
        text = text.replace(f"\n{name}_of_stage_5=\n", f"\n{name}_of_stage_5={shlex.quote(str(value))}\n")
    return text


def read_kit(folder: str | os.PathLike) -> Kit:
    """Reads a kit's manifest.

    Raises:
        InputError: it is missing or not of this format.
    """
    path = Path(folder) / "manifest.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; stage 5 makes the kit")
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        if values["format"] != 1:
            raise ValueError(f"format {values['format']}")
        graphs = [KitGraph(*(each[name] for name in KitGraph.__dataclass_fields__)) for each in values["graphs"]]
        return Kit(
            folder=path.parent,
            config=resolved_config(values["config"], f"{path}: config"),
            checkpoint=path.parent.parent / values["checkpoint"],
            checkpoint_sha256=values["checkpoint_sha256"],
            scores=values["scores"],
            graphs=tuple(graphs),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not what stage 5 writes ({error!r}); run it again") from error


def find_graph(kit: Kit, mindir: Path) -> KitGraph:
    """Returns the graph that a file is, or was converted from.

    What MindSpore Lite's converter makes of an Ascend graph or an ONNX is recognised by a name that begins like the
    graph's, and else by there being one length only.

    Raises:
        InputError: there is no such file, it is not the one of the manifest, or it can be of several lengths.
    """
    if not mindir.is_file():
        raise InputError(f"{mindir}: no such MindIR; the kit has {', '.join(graph.file for graph in kit.graphs)}")
    for graph in kit.graphs:
        if graph.file == mindir.name:
            if sha256_of(mindir) != graph.sha256:
                raise InputError(f"{mindir}: is not the graph that {kit.folder / 'manifest.json'} describes")
            return graph
    for_devices = [graph for graph in kit.graphs if graph.role != "host"]
    named = [graph for graph in for_devices if mindir.name.startswith(Path(graph.file).stem)]
    for candidates in (named, for_devices):
        if len({graph.samples for graph in candidates}) == 1:
            return max(candidates, key=lambda graph: len(graph.file))  # x_4s_ascend.mindir before x_4s.onnx
    names = ", ".join(graph.file for graph in for_devices) or "no graph for a device"
    raise InputError(
        f"{mindir}: cannot tell which exported graph this was converted from; its name must start with one of: {names}"
    )
