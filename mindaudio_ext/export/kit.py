"""The 310 kit in an experiment's `export/`: its graphs, which manifest.json describes, and the programs beside them."""

import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindaudio_ext
from mindaudio_ext.config import Config, make_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import atomic_path, sha256_of

PROGRAMS = Path(__file__).with_name("ascend310")
COMMAND = "run_infer_310.sh"


@dataclass(frozen=True)
class Graph:
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
    graphs: tuple[Graph, ...]


def write_programs(folder: Path) -> Path:
    """Copies the command and the runner's sources into a kit; gives the command's path.

    The command gets the names of this interpreter and of this package's folder, which it uses where they exist.
    """
    for source in sorted(PROGRAMS.rglob("*")):
        if source.is_file():
            with atomic_path(folder / source.relative_to(PROGRAMS)) as temporary:
                shutil.copy(source, temporary)
                if source.name == COMMAND:
                    _fill_in(temporary)
    return folder / COMMAND


def _fill_in(command: Path) -> None:
    package = Path(mindaudio_ext.__file__).parents[1]
    text = command.read_text(encoding="utf-8")
    for name, value in (("python", sys.executable), ("package", package)):
        text = text.replace(f"\n{name}_of_stage_5=\n", f"\n{name}_of_stage_5={shlex.quote(str(value))}\n")
    command.write_text(text, encoding="utf-8")
    command.chmod(0o755)  # a wheel does not keep it


def read_kit(folder: str | os.PathLike) -> Kit:
    """Reads a kit's manifest.

    Raises:
        InputError: it is missing or not of this format.
    """
    path = Path(folder) / "manifest.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; stage 5 makes the kit")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != 1:
            raise ValueError(f"format {values['format']}")
        graphs = [Graph(*(each[name] for name in Graph.__dataclass_fields__)) for each in values["graphs"]]
        return Kit(
            folder=path.parent,
            config=make_config(values["config"], f"{path}: config"),
            checkpoint=path.parent.parent / values["checkpoint"],
            checkpoint_sha256=values["checkpoint_sha256"],
            scores=values["scores"],
            graphs=tuple(graphs),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not what stage 5 writes ({error!r}); run it again") from error


def find_graph(kit: Kit, mindir: Path) -> Graph:
    """Gives the graph that a file is, or was converted from.

    What `converter_lite` makes of a graph is recognised by a name that begins like the graph's, and else by there being
    one length only.

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
    for_devices = [graph for graph in kit.graphs if graph.role == "ascend"]
    named = [graph for graph in for_devices if mindir.name.startswith(Path(graph.file).stem)]
    for candidates in (named, for_devices):
        if len(candidates) == 1:
            return candidates[0]
    names = ", ".join(graph.file for graph in for_devices) or "no graph for Ascend"
    raise InputError(f"{mindir}: whose conversion is it? The kit has {names}; let its name begin like one of them")
