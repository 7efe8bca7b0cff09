"""Every command with hostile input: at most one line, never a traceback, and nothing that was there is changed.

A command is called in this process, by its `main`, with right arguments of which one is hostile: in place of each
file and folder what is of its kind and wrong (`hostile_world.py`), and in place of each option's value texts and
numbers that are none. Where a model would run, a stand-in does. The scripts run with a stand-in Python, as in
`test_shell.py`. Every third call is made, but no fewer than 40; all of them under `tools/test.sh --all`.
"""

import argparse
import importlib
import importlib.util
import io
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tomllib
from hostile_world import TEXTS, World
from permissions import locked_up
from script_folders import copy_scripts
from test_shell import PYTHON, write_script

ROOT = Path(__file__).resolve().parents[1]
KIT = ROOT / "mindaudio_ext/export/ascend310"
ENOUGH = 40  # hostile inputs of each command, at least
SHARE = 3  # one of so many is tried, unless all tests are wanted
SECONDS = 60  # that one may take on a busy machine


@dataclass(frozen=True)
class Hole:
    """An argument in whose place hostile ones come: of which kind, and the right one."""

    kind: str
    right: str


def data(right="data/test"):
    return Hole("data", right)


def out(right):
    return Hole("out", right)


def path(right):
    return Hole("path", right)


# What is right for each module of mindaudio_ext/bin that has a `main`, and for the command that has them all.
ALL = "mindaudio-ext"
COMMANDS = {
    ALL: [path("config"), "--base", str(ROOT / "conf/base.yaml"), "--config", Hole("yaml", "recipe.yaml")],
    "check_data": [data()],
    "config": [
        "--base",
        str(ROOT / "conf/base.yaml"),
        "--config",
        Hole("yaml", "recipe.yaml"),
        "--out",
        out("new.yaml"),
    ],
    "convert": [Hole("torch", "model.pth"), out("new")],
    "decode": ["--expdir", Hole("exp", "exp/tiny"), "--data", data()],
    "dump": ["--data", data(), "--out", out("new")],
    "export": ["--expdir", Hole("exp", "exp/tiny"), "--data", data(), "--export_targets", "host"],
    "fix_data_dir": [data()],
    "folders_data": [
        *("--mixtures", path("folders/mix"), "--sources", path("folders/s1"), "folders/s2"),
        *("--data", out("new"), "--set", out("one")),
    ],
    "infer_310": [
        *("--kit", Hole("kit", "exp/tiny/export"), "--mindir", path("exp/tiny/export/tiny_0.25s_ascend.mindir")),
        *("--test", data(), "--backend", "host", "--out", out("new")),
    ],
    "launch": ["--ngpu", "1", "--log_dir", out("new"), path("mindaudio_ext.bin.config"), "--base"],
    "librimix_data": [
        *("--data", out("new"), "--sets", "dev", "--librispeech", path("corpus/LibriSpeech")),
        *("--metadata", path("corpus/metadata"), "--out", out("made")),
    ],
    "make_conversations": [
        *("--librispeech", path("corpus/LibriSpeech"), "--data", out("new"), "--set", out("one")),
        *("--n_conversations", "1", "--seconds", "5"),
    ],
    "make_librimix": [
        *("--librispeech", path("corpus/LibriSpeech"), "--metadata", path("corpus/metadata"), "--out", out("new")),
        *("--n_src", "2", "--freqs", "8k", "--modes", "min", "--types", "mix_clean"),
    ],
    "make_mini_corpus": ["--out", out("new"), "--utts_per_speaker", "1"],
    "make_mixtures": [
        *("--librispeech", path("corpus/LibriSpeech"), "--data", out("new"), "--set", out("one")),
        *("--n_mixtures", "1"),
    ],
    "pack": [Hole("exp", "exp/tiny"), out("new")],
    "rank": [out("new"), path("mindaudio_ext.bin.config")],
    "score": ["--expdir", Hole("exp", "exp/scored"), "--data", data(), "--reference_protocol", "false"],
    "separate": [Hole("audio", "mix.wav"), "-o", out("new"), "--model", Hole("exp", "exp/tiny")],
    "shard": [out("new")],
    "sparse_librimix_data": [
        *("--metadata", path("sparse.json"), "--librispeech", path("corpus/LibriSpeech/dev-clean")),
        *("--data", out("new"), "--set", out("one")),
    ],
    "stage_job": ["--num_nodes", "1", path("mindaudio_ext.bin.config"), "--config", Hole("yaml", "recipe.yaml")],
    "train": [
        *("--config", Hole("yaml", "exp/tiny/config.yaml"), "--train", Hole("dump", "dump/train")),
        *("--valid", Hole("dump", "dump/dev"), "--expdir", out("new")),
    ],
    "validate_data_dir": [data()],
}
# The scripts that users call; their options are read from them.
SCRIPTS = {
    "run.sh": [],
    "local/folders_data.sh": ["--train", "folders"],
    "local/librimix_data.sh": ["--librispeech", "corpus/LibriSpeech"],
    "local/mini_data.sh": [],
    "local/conversation_data.sh": ["--librispeech", "corpus/LibriSpeech"],
    "local/mini_librimix_data.sh": ["--librispeech", "corpus/LibriSpeech"],
    "local/sparselibrimix_data.sh": ["--librispeech", "corpus/LibriSpeech", "--metadata", "corpus/metadata"],
    "local/wsj0_2mix_data.sh": ["--wsj0_mix", "corpus"],
    "mindaudio_ext/export/ascend310/run_infer_310.sh": [path("graph.mindir"), data(), path("y")],
    "tools/check_conversations.sh": ["--librispeech", "corpus/LibriSpeech"],
    "tools/check_data.sh": [data()],
    "tools/docs.sh": [path("--nothing")],
    "tools/fix_data_dir.sh": [data()],
    "tools/new_recipe.sh": [path("one"), path("two"), "--egs", out("new")],
    "tools/package.sh": [path("--nothing")],
    "tools/setup.sh": [path("--print")],
    "tools/setup_lite.sh": [path("--nothing")],
    "tools/test.sh": [path("--nothing")],
    "tools/validate_data_dir.sh": [data()],
}
# The kit's programs, which run where this package is not; here MindSpore Lite is missing.
GRAPH = "exp/tiny/export/tiny_0.25s_ascend.mindir"
PROGRAMS = {
    "runner/convert": [path(GRAPH), out("new")],
    "runner/infer_310": ["--model", path(GRAPH), "--inputs", path("inputs"), "--outputs", out("new")],
}
SOURCED = {"tools/common.sh", "tools/parse_options.sh"}  # by the others


def modules():
    """The modules of mindaudio_ext/bin that are commands."""
    return {
        file.stem
        for file in (ROOT / "mindaudio_ext" / "bin").glob("*.py")
        if re.search(r"^(def main\(|main\b.*=)", file.read_text(), re.MULTILINE)
    }


def module_of(name):
    return "mindaudio_ext.__main__" if name == ALL else f"mindaudio_ext.bin.{name}"


def main_of(name):
    if name not in PROGRAMS:
        return importlib.import_module(module_of(name)).main
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), KIT / f"{name}.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return lambda argv: sys.exit(program.main(argv))


def test_every_command_is_declared():
    assert {f"runner/{file.stem}" for file in (KIT / "runner").glob("*.py")} == set(PROGRAMS)
    assert modules() == set(COMMANDS) - {ALL}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    targets = {target.split(":")[0] for target in scripts.values()}
    assert targets <= {module_of(name) for name in COMMANDS}
    files = [ROOT / "run.sh", *(ROOT / "local").glob("*.sh"), *(ROOT / "tools").glob("*.sh")]
    files += (ROOT / "mindaudio_ext").rglob("*.sh")
    assert {str(file.relative_to(ROOT)) for file in files} - SOURCED == set(SCRIPTS)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The world, whose FIFO has a writer that says nothing."""
    here = os.getcwd()
    world = World(tmp_path_factory.mktemp("hostile"))
    fifo = world.folder / "hostile/fifo"

    def write_nothing():
        while fifo.exists():
            os.close(os.open(fifo, os.O_WRONLY))

    threading.Thread(target=write_nothing, daemon=True).start()
    yield world
    os.chdir(here)


def cases(world, right, options):
    """Returns calls with one hostile argument each: every kind's own, and all that are hostile anywhere dealt out."""
    plain = [word.right if isinstance(word, Hole) else word for word in right]
    holes = [index for index, word in enumerate(right) if isinstance(word, Hole)]
    for turn, index in enumerate(holes):
        kind = right[index].kind
        shared = world.hostile["out" if kind == "out" else "path"]
        own = [] if kind in ("out", "path") else world.hostile[kind]
        for value in (*own, *shared[turn :: len(holes)]):
            yield [*plain[:index], value, *plain[index + 1 :]]
    texts = itertools.cycle(TEXTS)
    for name in options:
        for value in itertools.islice(texts, max(3, -(-len(TEXTS) // len(options)))):
            yield [*plain, name, value]


def options_of(main, monkeypatch):
    """The options of a command that take a value, by its own parser."""

    class Parsed(BaseException):
        pass

    def stop(parser, argv=None, namespace=None):
        raise Parsed(parser)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        try:
            main([])
        except Parsed as parsed:
            actions = parsed.args[0]._actions
            return [action.option_strings[0] for action in actions if action.option_strings and action.nargs != 0]
        except SystemExit:
            return []  # it takes none


@pytest.fixture
def stand_ins(monkeypatch):
    """What takes seconds, does something else, or is random is replaced; what reads and writes files is not."""
    from mindaudio_ext.bin import decode
    from mindaudio_ext.corpora import mini_corpus
    from mindaudio_ext.export import backends, mindir
    from mindaudio_ext.inference.separator import Separator, require_length
    from mindaudio_ext.train import launch
    from mindaudio_ext.train.loop import Trainer

    def estimate(self, mixtures, name):
        require_length(mixtures.shape[1], self.config, name=name)
        return np.stack([0.75 * mixtures, 0.25 * mixtures], axis=1)

    class Espeak:
        sample_rate = 8000

        def __init__(self, voice):
            pass

        def read(self, sentence):
            return np.ones(32_000)

    monkeypatch.setattr(Separator, "_estimate", estimate)
    monkeypatch.setattr(Trainer, "run", lambda self: None)
    monkeypatch.setattr(mindir._Export, "make", lambda self: [])
    monkeypatch.setattr(decode, "count_for", lambda config: 1)
    monkeypatch.setattr(mini_corpus, "_Espeak", Espeak)
    monkeypatch.setattr(mini_corpus, "parallel_map", lambda function, jobs, **_: map(function, jobs))
    monkeypatch.setattr(mini_corpus, "_require_espeak", lambda: None)
    monkeypatch.setattr(launch, "_start", lambda *_: None)
    monkeypatch.setattr(launch._LocalRanks, "watch", lambda *_: 0)
    monkeypatch.setattr(launch, "_end_all", lambda: None)  # all children: other tests' server of processes among them
    monkeypatch.setitem(backends.BACKENDS, "host", lambda *_: lambda chunks: np.stack([chunks, chunks], axis=1))


class TookTooLong(BaseException):
    """Is no Exception, so that no command catches it."""


def call(main, argv, monkeypatch):
    """Returns the exit status of a command, or the traceback."""

    def stop(*_):
        raise TookTooLong(f"{SECONDS} s")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        main(argv)
        return 0
    except SystemExit as leave:
        return leave.code or 0
    except BaseException:
        return traceback.format_exc(limit=-3)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def faults(world, status, errors, *, moved_to=None, several=False):
    """Names what is wrong with how a command ended.

    `moved_to` is where it may keep what it has changed; `several` allows a line for each of several recordings.
    """
    found = [] if status in (0, 2, 130) else [f"status {status}"]
    others = (  # progress, notes, and what the decoder of MP3 says to a file that is none
        r".+: \d+ of \d+( mixtures are there)?|.+: was there and stays as it is|\[src/libmpg123/.*"
    )
    lines = [line for line in errors.splitlines() if not re.fullmatch(others, line)]
    if several and all(line.startswith("mindaudio-separate: error: ") for line in lines):
        lines = lines[:1]
    if "Traceback" in errors or len(lines) > 1 or (status == 2 and not lines):
        found.append(f"said {errors[-1500:]!r}")
    return found + [f"changed {path!r}" for path in world.changes(moved_to=moved_to)]


def some_of(calls, share):
    """One of `share` calls, but no fewer than ENOUGH."""
    return calls[:: max(1, min(share, len(calls) // ENOUGH))]


@pytest.fixture
def share(request):
    """The step from a call to the next that is made: SHARE, or 1 when all tests are wanted."""
    return 1 if request.config.getoption("--all-required") else SHARE


@pytest.mark.parametrize("name", sorted(COMMANDS | PROGRAMS))
def test_command(name, world, stand_ins, share, monkeypatch, capfd):
    main = main_of(name)
    monkeypatch.setitem(sys.modules, "mindspore_lite", None)
    options = options_of(main, monkeypatch)
    calls = list(cases(world, (COMMANDS | PROGRAMS)[name], options))
    assert len(calls) >= ENOUGH
    moved_to = ".backup" if name == "fix_data_dir" else None
    wrong = []
    for argv in some_of(calls, share):
        os.chdir(world.folder)
        capfd.readouterr()
        status = call(main, argv, monkeypatch)
        several = name == "separate" and not os.path.isfile(argv[0])
        found = faults(world, status, capfd.readouterr().err, moved_to=moved_to, several=several)
        if found:
            wrong.append(f"{name} {[word if len(word) < 200 else word[:50] + '...' for word in argv]}: {found}")
    assert not wrong, f"{len(wrong)} of {len(calls)}:\n" + "\n".join(wrong)


@pytest.fixture(scope="module")
def root(world):
    """A copy of the scripts; set-up and Python are stand-ins."""
    root = world.parent.parent / f"{world.parent.name} root"
    for name in ("tools", "local", "conf"):
        copy_scripts(name, root)
    for name in ("run.sh", "path.sh"):
        shutil.copy(ROOT / name, root / name)
    kit = "mindaudio_ext/export/ascend310/run_infer_310.sh"
    (root / kit).parent.mkdir(parents=True)
    shutil.copy(ROOT / kit, root / kit)
    os.rename(root / "tools/setup.sh", root / "tools/real_setup.sh")
    write_script(root / "tools/setup.sh", f"#!/bin/sh\necho '{root}/bin'\n")
    write_script(root / "bin/python", PYTHON)
    return root


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_script(name, world, root, share):
    text = (ROOT / name).read_text()
    options = [f"--{option}" for option in re.findall(r"^([a-z][a-z0-9_]*)=.*  # ", text, re.MULTILINE)]
    calls = list(cases(world, SCRIPTS[name], options))
    assert len(calls) >= ENOUGH
    script = root / name.replace("setup.sh", "real_setup.sh")
    environment = os.environ | {"STUB_LOG": str(root / "log"), "PYTHON": str(root / "bin/python"), "PYTHON37": "none"}
    wrong = []
    for argv in some_of(calls, share):
        ended = subprocess.run(
            ["bash", script, *map(os.fsencode, argv)],
            cwd=world.folder,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
        found = faults(world, ended.returncode, ended.stderr.decode(errors="surrogateescape"))
        if found:
            wrong.append(f"{name} {[word if len(word) < 200 else word[:50] + '...' for word in argv]}: {found}")
    assert not wrong, f"{len(wrong)} of {len(calls)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("config", ["--base", str(ROOT / "conf/base.yaml"), "--config", "hostile/yaml_laughs_in_a_key"]),
        ("score", ["--expdir", "exp/scored", "--data", "hostile/data_pipe"]),
        ("separate", ["hostile/\udcff\udcfe.wav", "-o", "mix.wav", "--model", "exp/tiny"]),
    ],
)
def test_a_sample_in_a_process_of_its_own(name, argv, world):
    ended = subprocess.run(
        [sys.executable, "-m", f"mindaudio_ext.bin.{name}", *map(os.fsencode, argv)],
        cwd=world.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 2
    assert not faults(world, ended.returncode, ended.stderr.decode(errors="surrogateescape"))


def denials(world, right):
    """Yields calls with what may not be read or written in each: arguments, the path, and the mode it is to have.

    A file or folder that the right arguments name may not be read, nor a file in the folder; the folder may not be
    written to; and for outputs, the folder they would be in, or be.
    """
    plain = [word.right if isinstance(word, Hole) else word for word in right]
    for index, hole in enumerate(right):
        if not isinstance(hole, Hole):
            continue
        if hole.kind == "out":
            for name in ("closed/new", "closed", "closed/a/b"):
                yield [*plain[:index], name, *plain[index + 1 :]], "closed", 0o555
        elif (world.folder / hole.right).is_dir():
            yield plain, hole.right, 0o555
            below = [path.relative_to(world.folder) for path in (world.folder / hole.right).rglob("*")]
            below = sorted(str(path) for path in below if "runner" not in path.parts)  # the kit's programs
            for path in (hole.right, *below):
                yield plain, path, 0
        elif (world.folder / hole.right).exists():
            yield plain, hole.right, 0


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_may_not_be_read_or_written(name, world, stand_ins, share, monkeypatch, capfd):
    main = main_of(name)
    monkeypatch.chdir(world.folder)
    wrong = []
    for argv, path, mode in list(denials(world, COMMANDS[name]))[::share]:
        Path("closed").mkdir(exist_ok=True)
        capfd.readouterr()
        with locked_up(path, mode):
            status = call(main, argv, monkeypatch)
        errors = capfd.readouterr().err
        moved_to = ".backup" if name == "fix_data_dir" else None
        found = faults(world, status, errors, moved_to=moved_to)
        if status == 0 and mode == 0 and path in argv:
            found.append("was read")
        named = os.path.basename(path) in errors and (mode or "Permission denied" in errors)
        if status and not named and name not in ("rank", "shard", "stage_job"):  # which refuse to be called
            found.append(f"does not say why: {errors!r}")
        wrong += [f"{name} {argv} {path} {mode:o}: {found}"] if found else []
    assert not wrong, "\n".join(wrong)
