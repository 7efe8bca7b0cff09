"""Which recordings a user means by files, folders and patterns, and where their estimates go."""

import dataclasses
import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mindaudio_ext.errors import InputError, describe_error

STDIN = "-"
# Below a folder; a file that is named itself may end as it likes.
ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")


@dataclasses.dataclass(frozen=True)
class Input:
    """One recording: its file, and its name below the output folder without what comes after the stem."""

    path: Path
    name: Path

    def outputs(self, out_dir: Path, num_spks: int) -> list[Path]:
        """Returns the files its estimates go to."""
        folder = out_dir / self.name.parent
        return [folder / f"{self.name.name}_s{source}.wav" for source in range(1, num_spks + 1)]

    def rttm(self, out_dir: Path) -> Path:
        """The file that tells who speaks when."""
        return out_dir / self.name.parent / f"{self.name.name}.rttm"


def find_audio(arguments: Sequence[str], out_dir: Path, num_spks: int) -> tuple[list[Input], list[InputError]]:
    """Lists the recordings that arguments stand for.

    Args:
        arguments: files, folders (all audio below them), patterns with `*`, `?`, `[...]` or `**`, or `-`. As in bash,
            `**` follows no links to folders.
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
            for one in _expand(argument, out_dir, num_spks, errors):
                found.setdefault(_place(one.path) if argument != STDIN else STDIN, one)
        except InputError as error:
            errors.append(error)
        except OSError as error:  # a name that is too long, a loop of links
            errors.append(InputError(f"{argument}: {error.strerror}"))
    named = _with_folders(list(found.values()))
    return _without_clashes(named, out_dir, num_spks, errors), errors


def _place(path: Path) -> str:
    """Returns the one name of a file in its folder, by whatever links that was reached. A link to a file is its own."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _expand(argument: str, out_dir: Path, num_spks: int, errors: list[InputError]) -> list[Input]:
    if not argument.strip():
        raise InputError("an empty argument is no file; . is the current folder")
    path = Path(argument)
    if argument == STDIN:
        return [Input(path, Path("stdin"))]
    if path.is_dir():
        return _below(path, out_dir, num_spks, errors)
    if not os.path.lexists(path) and glob.has_magic(argument):
        root = path
        while glob.has_magic(str(root)):
            root = root.parent
        files = [match for match in sorted(_matches(root, path.relative_to(root))) if match.is_file()]
        if not files:
            raise InputError(f"{argument}: no file matches")
        return [Input(file, file.relative_to(root).with_suffix("")) for file in files]
    return [Input(path, Path(path.stem))]


def _matches(root: Path, pattern: Path) -> Iterator[Path]:
    """Yields what is below a folder and matches, without hidden files and folders, unless the pattern has a dot there.

    Python's `glob.glob` follows every link in `**`: from a folder with two links to itself it does not come back.
    """
    parts = [part if part == "**" else part.replace("**", "*") for part in pattern.parts]
    if parts[-1] == "**":
        parts.append("*")
    hidden = any(part.startswith(".") for part in parts)
    for match in root.glob(os.path.join(*parts)):
        if hidden or not any(part.startswith(".") for part in match.relative_to(root).parts):
            yield match


def _below(folder: Path, out_dir: Path, num_spks: int, errors: list[InputError]) -> list[Input]:
    """Lists the audio below a folder, without what is in the output folder or was written there before.

    Folders below that may not be read are added to `errors`.
    """
    closed: list[OSError] = []
    names = sorted(Path(parent, name) for parent, _, files in os.walk(folder, onerror=closed.append) for name in files)
    errors += [InputError(describe_error(error)) for error in closed]
    files = [path for path in names if path.suffix.lower() in ENDINGS and not path.name.startswith(".")]
    out = Path(os.path.realpath(out_dir))
    if out == Path(os.path.realpath(folder)):
        stems = {path.with_suffix("") for path in files}
        files = [path for path in files if not _is_estimate(path, stems, num_spks)]
    else:
        files = [path for path in files if out not in Path(os.path.realpath(path)).parents]
    if not files and not closed:
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
    """Returns the inputs whose outputs are no other's, nor inputs; the rest becomes errors."""
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
