"""Which recordings a user means by files, folders and patterns, and where their estimates go."""

import dataclasses
import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from mindaudio_ext.errors import InputError

STDIN = "-"
# Below a folder; a file that is named itself may end as it likes.
ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")


@dataclasses.dataclass(frozen=True)
class Input:
    """One recording: its file, and its name below the output folder without what comes after the stem."""

    path: Path
    name: Path

    def outputs(self, out_dir: Path, num_spks: int) -> list[Path]:
        """Gives the files its estimates go to."""
        folder = out_dir / self.name.parent
        return [folder / f"{self.name.name}_s{source}.wav" for source in range(1, num_spks + 1)]


def find_audio(arguments: Sequence[str], out_dir: Path, num_spks: int) -> tuple[list[Input], list[InputError]]:
    """Lists the recordings that arguments stand for.

    Args:
        arguments: files, folders (all audio below them), patterns with `*`, `?`, `[...]` or `**`, or `-`.
        out_dir: folder of the estimates. In a folder that is searched, what is in it is passed over; when it is that
            folder itself, what has the name of an estimate.
        num_spks: estimates of a recording.

    Returns:
        The recordings, each once, in order; of a folder or pattern the folders below it are kept in the outputs' names.
        And what is wrong with an argument, or a recording: there is none, or its output is another's, or an input.
    """
    found: dict[str, Input] = {}
    errors: list[InputError] = []
    for argument in arguments:
        try:
            for one in _expand(argument, out_dir, num_spks):
                found.setdefault(os.path.abspath(one.path) if argument != STDIN else STDIN, one)
        except InputError as error:
            errors.append(error)
    named = _with_folders(list(found.values()))
    return _without_clashes(named, out_dir, num_spks, errors), errors


def _expand(argument: str, out_dir: Path, num_spks: int) -> list[Input]:
    path = Path(argument)
    if argument == STDIN:
        return [Input(path, Path("stdin"))]
    if path.is_dir():
        return _below(path, out_dir, num_spks)
    if not os.path.lexists(path) and glob.has_magic(argument):
        root = path
        while glob.has_magic(str(root)):
            root = root.parent
        files = [Path(match) for match in sorted(glob.glob(argument, recursive=True)) if os.path.isfile(match)]
        if not files:
            raise InputError(f"{argument}: no file matches")
        return [Input(file, file.relative_to(root).with_suffix("")) for file in files]
    return [Input(path, Path(path.stem))]


def _below(folder: Path, out_dir: Path, num_spks: int) -> list[Input]:
    """Lists the audio below a folder, without what is in the output folder or was written there before."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS and not path.is_dir()]
    files = [path for path in files if not path.name.startswith(".")]
    out = Path(os.path.realpath(out_dir))
    if out == Path(os.path.realpath(folder)):
        stems = {path.with_suffix("") for path in files}
        files = [path for path in files if not _is_estimate(path, stems, num_spks)]
    else:
        files = [path for path in files if out not in Path(os.path.realpath(path)).parents]
    if not files:
        raise InputError(f"{folder}: has no audio ({', '.join(ENDINGS)})")
    return [Input(path, path.relative_to(folder).with_suffix("")) for path in files]


def _is_estimate(path: Path, stems: Iterable[Path], num_spks: int) -> bool:
    """Tells whether a file is named like an estimate of another: `mix_s1.wav` beside `mix.*`."""
    stem, _, source = path.name.rpartition("_s")
    return source in {f"{number}.wav" for number in range(1, num_spks + 1)} and path.with_name(stem) in stems


def _with_folders(inputs: list[Input]) -> list[Input]:
    """Puts the folders from the common one on before names that several inputs share."""
    sharing: dict[Path, list[Input]] = defaultdict(list)
    for one in inputs:
        sharing[one.name].append(one)
    roots = {
        name: os.path.commonpath([os.path.abspath(one.path.parent) for one in group])
        for name, group in sharing.items()
        if len(group) > 1
    }
    return [
        Input(one.path, Path(os.path.relpath(one.path.parent, roots[one.name]), one.path.stem))
        if one.name in roots
        else one
        for one in inputs
    ]


def _without_clashes(inputs: list[Input], out_dir: Path, num_spks: int, errors: list[InputError]) -> list[Input]:
    """Gives the inputs whose outputs are no other's, nor inputs; the rest becomes errors."""
    sources = {os.path.realpath(one.path) for one in inputs}
    owners: dict[Path, Path] = {}
    good = []
    for one in inputs:
        problem = ""
        for path in one.outputs(out_dir, num_spks):
            if path.is_dir():
                problem = f"would become {path}, which is a folder; choose another -o"
            elif path in owners:
                problem = f"would become {path}, as {owners[path]}; separate them into two folders"
            elif os.path.realpath(path) in sources:
                problem = f"would become {path}, which is an input itself; choose another -o"
        if problem:
            errors.append(InputError(f"{one.path}: {problem}"))
        else:
            good.append(one)
            owners |= {path: one.path for path in one.outputs(out_dir, num_spks)}
    return good
