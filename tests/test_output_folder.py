"""Folders that commands make: whole after a kill at any moment, and nobody else's ever replaced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import write_text
from mindaudio_ext.output_folder import MARK, OutputFolder, new_folder, require_new


def _folder(path, before_marks=None):
    return OutputFolder(path, "data directory", before_marks)


def _make(path, texts, **options):
    with _folder(path).replaced(**options) as new:
        for name, text in texts.items():
            write_text(new / name, text)


def _tree(folder):
    """What is below a folder: path -> content; of a link where it points to, of a folder None."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else None
    return found


def _texts(folder):
    return {name: text for name, text in _tree(folder).items() if text is not None and name != ".made.json"}


def test_a_folder_is_replaced_by_one_with_other_files(tmp_path):
    out = tmp_path / "new" / "train"
    _make(out, {"a": "1", "deep/b": "2"})
    _make(out, {"c": "3"})
    assert _tree(tmp_path / "new") == {"train": None, "train/c": "3", "train/.made.json": _tree(out)[".made.json"]}
    assert json.loads((out / ".made.json").read_text()) == {
        "format": 1,
        "what": "data directory",
        "files": {"c": None},
    }


def test_an_empty_folder_is_nobodys(tmp_path):
    (tmp_path / "out").mkdir()
    _make(tmp_path / "out", {"a": "1"})
    assert _texts(tmp_path / "out") == {"a": "1"}


def _hostile(tmp_path, case):
    """Puts something in the way of `out`; gives what the refusal must say."""
    out = tmp_path / "out"
    if case == "file":
        out.write_text("thesis")
    elif case == "pipe":
        os.mkfifo(out)
    elif case in ("link", "dangling link"):
        if case == "link":
            _make(tmp_path / "elsewhere", {"a": "1"})
        out.symlink_to(tmp_path / "elsewhere")
    elif case == "below a file":
        (tmp_path / "in").write_text("thesis")
        return tmp_path / "in" / "out", "cannot be made, because .*/in is no folder"
    elif case == "no mark":
        write_text(out / "thesis.tex", "chapter")
    elif case == "half a mark":
        write_text(out / "thesis.tex", "chapter")
        (out / ".made.json").write_text('{"format": 1, "what": "data dir')
    else:
        _make(out, {"a": "1", "deep/b": "2"}, digests=True)
        if case == "foreign file":
            (out / "deep" / "text").write_text("mine")
        elif case == "foreign folder":
            (out / "notes").mkdir()
        elif case == "foreign link":
            (out / "notes").symlink_to(tmp_path)
        elif case == "changed":
            (out / "a").write_text("3")
        elif case == "another kind":
            mark = out / ".made.json"
            mark.write_text(mark.read_text().replace("data directory", "MindRecord directory"))
        else:
            write_text(tmp_path / ".tmp.out" / "mine", "thesis")
    return out, REFUSALS[case]


REFUSALS = {
    "file": "out: is there and is no folder",
    "pipe": "out: is there and is no folder",
    "link": "out: is a symbolic link, which is not replaced",
    "dangling link": "out: is a symbolic link, which is not replaced",
    "below a file": "",
    "no mark": r"out: is not known to be made by this command \(it has no \.made\.json\) and holds thesis\.tex;",
    "half a mark": r"out: is not known to be made by this command .* holds \.made\.json; move or remove it",
    "foreign file": "out/deep/text: was not made with .*/out, which would be replaced; move it away",
    "foreign folder": "out/notes: was not made with",
    "foreign link": "out/notes: was not made with",
    "changed": "out/a: was changed after it was made; move or remove .*/out to make it anew",
    "another kind": "out: is a MindRecord directory, which a data directory does not replace",
    "temporary": r"\.tmp\.out: is in the way of .*/out and was not made by this command; move it away",
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_not_ours_is_refused_before_anything_is_touched(tmp_path, case):
    out, says = _hostile(tmp_path, case)
    before = _tree(tmp_path)
    with pytest.raises(InputError, match=says) as refused:
        _make(out, {"new": "1"})
    assert "\n" not in str(refused.value)
    assert _tree(tmp_path) == before
    if case != "temporary":  # removing and claiming need none
        with pytest.raises(InputError):
            _folder(out).remove()
        assert _tree(tmp_path) == before


def test_a_file_of_ours_may_change_when_only_its_name_was_noted(tmp_path):
    _make(tmp_path / "out", {"a": "1"})
    (tmp_path / "out" / "a").write_text("damaged")
    (tmp_path / "out" / ".tmp.a").write_text("of a killed process")
    _make(tmp_path / "out", {"a": "2"})
    assert _texts(tmp_path) == {"out/a": "2", "out/.made.json": (tmp_path / "out" / ".made.json").read_text()}


def test_a_folder_from_before_the_marks_is_known_by_its_files(tmp_path):
    out = tmp_path / "out"
    write_text(out / "manifest", "1")
    write_text(out / "deep" / "b", "2")
    known = _folder(out, lambda folder: ["manifest", "deep/b"] if (folder / "manifest").exists() else None)
    write_text(out / "mine", "3")
    with pytest.raises(InputError, match="out/mine: was not made with"):
        known.remove()
    (out / "mine").unlink()
    with known.replaced() as new:
        write_text(new / "c", "4")
    assert _texts(out) == {"c": "4"}


def test_what_appears_while_the_new_one_is_made_stays(tmp_path):
    _make(tmp_path / "out", {"a": "1"})

    def make():
        with _folder(tmp_path / "out").replaced() as new:
            write_text(new / "a", "2")
            (tmp_path / "out" / "text").write_text("mine")

    with pytest.raises(InputError, match="out/text: was not made with"):
        make()
    assert _texts(tmp_path / "out") == {"a": "1", "text": "mine"}
    assert os.listdir(tmp_path) == ["out"]


def test_an_error_leaves_the_old_one(tmp_path):
    _make(tmp_path / "out", {"a": "1"})
    with pytest.raises(ZeroDivisionError), _folder(tmp_path / "out").replaced() as new:
        write_text(new / "a", str(1 / 0))
    assert _texts(tmp_path / "out") == {"a": "1"}
    assert os.listdir(tmp_path) == ["out"]


def _killed_at(step, act):
    """Runs a function in a process that dies at its `step`-th change of a file system; tells whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def die(event, arguments):
            nonlocal count
            if event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir") or (event == "open" and arguments[2] & 1):
                count += 1
                if count == step:
                    os._exit(9)

        sys.addaudithook(die)
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_step_the_old_or_the_new_one_is_there(tmp_path):
    steps, kept = 0, set()
    while True:
        parent = tmp_path / str(steps)
        out = parent / "out"
        _make(out, {"a": "old", "deep/b": "old"}, digests=True)
        killed = _killed_at(steps + 1, lambda out=out: _make(out, {"a": "new", "c": "new"}, digests=True))
        _folder(out).recover()
        found = _texts(out)
        assert found in ({"a": "old", "deep/b": "old"}, {"a": "new", "c": "new"}), steps
        kept.add(found["a"])
        _make(out, {"a": "third"}, digests=True)
        assert _texts(out) == {"a": "third"}
        assert os.listdir(parent) == ["out"]
        if not killed:
            break
        steps += 1
    assert steps > 15
    assert kept == {"old", "new"}


def test_killed_at_any_step_a_removal_goes_on(tmp_path):
    steps = 0
    while True:
        out = tmp_path / str(steps)
        write_text(out / "stamp", "1")
        write_text(out / "deep" / "b", "2")
        known = _folder(out, lambda folder: ["stamp", "deep/b"] if (folder / "stamp").exists() else None)
        killed = _killed_at(steps + 1, known.remove)
        known.remove()
        assert not out.exists()
        if not killed:
            break
        steps += 1
    assert steps > 5


def test_a_claimed_folder_is_known_again_and_not_another_commands(tmp_path):
    out = tmp_path / "out"
    _folder(out).claim()
    (out / "x").write_text("ours, written in place")
    _folder(out).claim()
    with pytest.raises(InputError, match="is a data directory, which a report does not replace"):
        OutputFolder(out, "report").claim()
    (out / ".made.json").unlink()
    with pytest.raises(InputError, match="and holds x"):
        _folder(out).claim()
    _folder(out, lambda _: ()).claim()
    assert (out / ".made.json").exists()
    with pytest.raises(InputError, match="out/x: was not made with"):
        _folder(out).remove()
    _folder(out).claim(["x"])
    _folder(out).remove()
    assert os.listdir(tmp_path) == []


def test_a_new_folder_has_no_mark_and_takes_no_ones_place(tmp_path):
    with new_folder(tmp_path / "out") as folder:
        write_text(folder / "a", "1")
    assert _tree(tmp_path) == {"out": None, "out/a": "1"}
    with pytest.raises(InputError, match="out: is already there"), new_folder(tmp_path / "out"):
        pass
    write_text(tmp_path / ".tmp.other" / "mine", "thesis")
    with pytest.raises(InputError, match=r"\.tmp\.other: is in the way"), new_folder(tmp_path / "other"):
        pass
    assert _texts(tmp_path) == {".tmp.other/mine": "thesis", "out/a": "1"}
    with pytest.raises(InputError, match=r"because .*/out/a is no folder"):
        require_new(tmp_path / "out" / "a" / "b")


def test_what_is_added_to_may_be_a_link_what_is_replaced_may_not(tmp_path):
    real = tmp_path / "scratch"
    real.mkdir()
    link = tmp_path / "made"
    link.symlink_to(real)
    folder = OutputFolder(link, "thing")
    folder.claim(["a"])
    assert (real / MARK).is_file()
    with pytest.raises(InputError, match=f"{link}: is a symbolic link, which is not replaced"):
        folder.require_replaceable()


def test_ctrl_c_leaves_nothing_that_is_in_the_way(tmp_path):
    """The main thread writes on while the folder is removed; the next run must find its way, five times of five."""
    program = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from mindaudio_ext import interrupt\n"
        "interrupt.watch()\n"
        "from mindaudio_ext.output_folder import OutputFolder\n"
        "with OutputFolder(Path(sys.argv[1]), 'thing').replaced() as new:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for i in range(10**6):\n"
        "        (new / str(i)).write_text('x')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program, tmp_path / "made"], env=environment, check=False)
        assert done.returncode == 130
        assert not (tmp_path / "made").exists()
        with OutputFolder(tmp_path / "made", "thing").replaced() as new:
            (new / "a").write_text("a")
        OutputFolder(tmp_path / "made", "thing").remove()


def test_what_a_killed_version_before_marks_put_aside_comes_back(tmp_path):
    out, aside = tmp_path / "train", tmp_path / ".tmp.old.train"
    folder = _folder(out, lambda folder: ["wav.scp"] if (folder / "wav.scp").exists() else None)
    for recover in (folder.recover, lambda: _fail_to_replace(folder)):
        write_text(aside / "wav.scp", "a old.wav\n")
        recover()
        assert _texts(out) == {"wav.scp": "a old.wav\n"}
        assert not aside.exists()
        (out / "wav.scp").unlink()
        out.rmdir()


def _fail_to_replace(folder):
    with pytest.raises(KeyError), folder.replaced():
        raise KeyError


@pytest.mark.parametrize("before_marks", [None, lambda folder: None])
def test_what_is_put_aside_and_need_not_be_ours_is_told(tmp_path, before_marks):
    out, aside = tmp_path / "train", tmp_path / ".tmp.old.train"
    write_text(aside / "text", "a hello\n")
    line = rf"^{aside}: was {out} until a command was killed; give it that name again, or remove it$"
    for _ in range(2):
        with pytest.raises(InputError, match=line):
            _folder(out, before_marks).recover()
        with pytest.raises(InputError, match=line), _folder(out, before_marks).replaced():
            pass
    assert _tree(tmp_path) == {".tmp.old.train": None, ".tmp.old.train/text": "a hello\n"}
    out.mkdir()
    _folder(out, before_marks).recover()
    assert _tree(aside) == {"text": "a hello\n"}
