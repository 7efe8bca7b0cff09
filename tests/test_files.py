"""Files that are whole or not there, and that take the place of files alone."""

import os

import pytest

from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json, write_text


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device"])
def test_only_a_file_is_replaced(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:  # not the device itself: without the check it would be gone
        path.symlink_to(os.devnull)
    before = os.lstat(path)
    with pytest.raises(InputError, match=f"{path}: is {'a folder' if kind == 'folder' else 'no regular file'}"):
        write_text(path, "text")
    assert os.lstat(path).st_mode == before.st_mode
    write_text(tmp_path / "y", "text")
    assert (tmp_path / "y").read_text() == "text"
    with pytest.raises(InputError, match=f"{tmp_path}/y/z/x: cannot be made, because {tmp_path}/y is no folder"):
        write_text(tmp_path / "y" / "z" / "x", "text")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000])
def test_what_is_no_json_is_one_kind_of_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
    assert parse_json('{"a": [1]}') == {"a": [1]}
