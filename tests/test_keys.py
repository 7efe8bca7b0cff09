"""What can be a key or a name, and what file a key becomes."""

from urllib.parse import unquote

import pytest

from mindaudio_ext.errors import InputError
from mindaudio_ext.keys import LONGEST, file_name, require_key, require_name

KEYS = ["61-70968_260-1", "a.b", "a..", "..", ".", "../../../x", "/etc/passwd", "a/b", "a%2Fb", ".hidden", ".tmp.a"]
KEYS += ["-o", "a:b\\c*?", "说话人_1", "é", "%", "x" * LONGEST]


def test_keys_become_files_of_one_folder_and_come_back():
    for key in KEYS:
        require_key(key, "x")
        name = file_name(key)
        assert unquote(name) == key
        assert "/" not in name
        assert not name.startswith(".")
        assert len(f".tmp.{name}_mix.wav".encode()) <= 255
    assert len({file_name(key) for key in KEYS}) == len(KEYS)
    assert [file_name(key) for key in ("61-70968_260-1", "01aa010a_1.3_20aa010k_-1.3", "说话人")] == [
        *("61-70968_260-1", "01aa010a_1.3_20aa010k_-1.3", "说话人"),
    ]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "x: '' cannot be a key: it is empty"),
        ("a b", "x: 'a b' cannot be a key: it has white space"),
        ("a\u3000b", "cannot be a key: it has white space"),
        ("a\n", "cannot be a key: it has white space"),
        ("a\0b", r"x: 'a\\x00b' cannot be a key: it has control characters"),
        ("a\udcffb", r"x: 'a\\udcffb' cannot be a key: it has control characters, or is not UTF-8"),
        ("y" * 231, "x: the key y{30}... has 231 bytes as a file's name; 230 at most"),
        ("/" * 77, "x: the key /{30}... has 231 bytes as a file's name; 230 at most"),
    ],
)
def test_what_cannot_be_a_key(key, says):
    with pytest.raises(InputError, match=says):
        require_key(key, "x")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".a", "-a", "a b", "a\n", "x" * 231])
def test_what_cannot_be_a_name(name):
    with pytest.raises(InputError, match="--set: expected a plain name"):
        require_name(name, "--set")
    for good in ("train-100", "tt", "测试_1.x"):
        require_name(good, "--set")
