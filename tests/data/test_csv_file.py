"""Csv files that others wrote."""

import csv

import pytest

from mindaudio_ext.data.csv_file import read_csv
from mindaudio_ext.errors import InputError


@pytest.mark.parametrize(("start", "end"), [(b"", b"\n"), (b"\xef\xbb\xbf", b"\n"), (b"", b"\r\n")])
def test_rows_are_the_same_whoever_wrote_the_file(tmp_path, start, end):
    (tmp_path / "x.csv").write_bytes(start + end.join([b"a,b", b"1,\xc3\xbc", b'"2,3"', b""]))
    columns, rows = read_csv(tmp_path / "x.csv")
    assert columns == ("a", "b")
    assert [(row.place, row.fields) for row in rows] == [
        (f"{tmp_path}/x.csv:2", {"a": "1", "b": "ü"}),
        (f"{tmp_path}/x.csv:3", {"a": "2,3", "b": None}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a,b\n1,2\n\xff\xfe,3\n", "x.csv: is not a csv file in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "x.csv: is not a csv file in UTF-8"),
        (b"a,b\n" + b"x" * 200_000, "x.csv: is not a csv file in UTF-8"),
        (b"a,b\n1,2\n1,2,3\n", "x.csv:3: has more fields than the head has columns"),
    ],
)
def test_what_is_no_such_file_is_named(tmp_path, text, message):
    (tmp_path / "x.csv").write_bytes(text)
    limit = csv.field_size_limit(131_072)  # Python's own, which other packages change
    try:
        with pytest.raises(InputError, match=message):
            list(read_csv(tmp_path / "x.csv")[1])
    finally:
        csv.field_size_limit(limit)


def test_an_empty_file_has_neither_columns_nor_rows(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"")
    columns, rows = read_csv(tmp_path / "x.csv")
    assert (columns, list(rows)) == ((), [])
