"""What files, folders and patterns stand for."""

import pytest
from permissions import locked_up

from mindaudio_ext.inference.find_audio import find_audio


@pytest.fixture
def folder(tmp_path):
    """a.wav, one.flac in a, .hidden/h.wav, and two links to the folder itself: 2 ** 40 ways to a.wav."""
    for name in ("a.wav", "a/one.flac", "a/two.wav", ".hidden/h.wav", "a/.h.wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for link in ("loop", "loop2"):
        (tmp_path / "in" / link).symlink_to(".")
    return tmp_path / "in"


def names(folder, *patterns):
    inputs, errors = find_audio([str(folder / pattern) for pattern in patterns], folder.parent / "out", 2)
    return sorted(str(one.name) for one in inputs), [str(error) for error in errors]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.wav", ["a", "a/two"]),
        ("**", ["a", "a/one", "a/two"]),
        ("*/*.wav", ["a/two", "loop/a"]),  # named so; each file once
        ("a/**.wav", ["two"]),
        ("[ab]/*", ["a/one", "a/two"]),
        ("a/.*", [".h"]),
        (".hid*/*", [".hidden/h"]),
    ],
)
def test_patterns(folder, pattern, found):
    assert names(folder, pattern) == (found, [])


def test_each_file_once_by_whatever_way(folder):
    again = ("loop/a.wav", "loop2/loop/a.wav", "a/../a.wav")
    assert names(folder, "**/*.wav", *again) == (["a", "a/two"], [])
    (folder / "b.wav").symlink_to("a.wav")  # a name of its own
    assert names(folder, "*.wav", "b.wav") == (["a", "b"], [])


def test_what_is_no_name_is_an_error_of_its_own(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "round").symlink_to("round")
    inputs, errors = find_audio(["", 300 * "x", "a.wav", "round"], folder.parent / "out", 2)
    assert [str(one.path) for one in inputs if one.path.name == "a.wav"] == ["a.wav"]
    assert str(errors[0]) == "an empty argument is no file; . is the current folder"
    assert "File name too long" in str(errors[1])


def test_a_folder_that_may_not_be_read_is_told_and_the_rest_is_found(folder):
    for mode in (0, 0o100):
        with locked_up(folder / "a", mode):
            assert names(folder.parent, "in") == ([".hidden/h", "a"], [f"{folder / 'a'}: Permission denied"])
    with locked_up(folder):
        assert names(folder.parent, "in") == ([], [f"{folder}: Permission denied"])
