"""RTTM files written and read, and lines that are none."""

import pytest

from mindaudio_ext.data.rttm import Turn, read_rttm, rttm_lines, write_rttm
from mindaudio_ext.errors import InputError


def test_lines_are_by_time_and_have_a_length():
    lines = rttm_lines("a", [Turn(2, 2.5, "y"), Turn(0.5, 1.75, "x"), Turn(1, 1, "y"), Turn(1, 1.0004, "y")])
    assert lines == [
        "SPEAKER a 1 0.500 1.250 <NA> <NA> x <NA> <NA>",
        "SPEAKER a 1 2.000 0.500 <NA> <NA> y <NA> <NA>",
    ]


def test_what_is_written_is_read(tmp_path):
    turns = {"a talk": [Turn(0.25, 1.5, "s1"), Turn(1.0, 2.0, "s2")], "silence": []}
    write_rttm(tmp_path / "x.rttm", turns)
    assert read_rttm(tmp_path / "x.rttm") == {"a_talk": turns["a talk"]}


def test_other_lines_are_passed_over(tmp_path):
    (tmp_path / "x").write_text(
        ";; made by hand\n\nSPKR-INFO a 1 <NA> <NA> <NA> unknown A <NA>\nSPEAKER a 1 1 2 <NA> <NA> A <NA>\n"
    )
    assert read_rttm(tmp_path / "x") == {"a": [Turn(1, 3, "A")]}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SPEAKER a talk 1 0 1 <NA> <NA> A <NA> <NA>", "line 2: no line of RTTM"),
        ("SPEAKER a 1 0", "line 2: no line of RTTM"),
        ("hello", "line 2: no line of RTTM"),
        ("SPEAKER a 1 0 0.000 <NA> <NA> A <NA> <NA>", "line 2: a turn starts at 0 s or later and has a length"),
        ("SPEAKER a 1 -1 2 <NA> <NA> A <NA> <NA>", "line 2: a turn starts at 0 s or later"),
        ("SPEAKER a 1 0 inf <NA> <NA> A <NA> <NA>", "line 2: a turn starts at 0 s or later"),
        ("SPEAKER a 1 0 x <NA> <NA> A <NA> <NA>", "line 2: start and seconds must be numbers"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    (tmp_path / "x.rttm").write_text(f"SPEAKER a 1 0 1 <NA> <NA> A <NA> <NA>\n{line}\n")
    with pytest.raises(InputError, match=words):
        read_rttm(tmp_path / "x.rttm")


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name in ("binary", "missing", "."):
        with pytest.raises(InputError, match="cannot be read as RTTM"):
            read_rttm(tmp_path / name)
