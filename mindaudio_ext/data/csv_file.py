"""Tables of comma-separated values, whoever wrote them: with a byte order mark or not, with any ends of lines."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mindaudio_ext.errors import InputError


@dataclass(frozen=True)
class CsvRow:
    """A row of a csv file: its place, `<file>:<line>`, and column -> field; None for a field that the row lacks."""

    place: str
    fields: dict[str, str | None]


def read_csv(path: str | os.PathLike) -> tuple[Sequence[str], Iterator[CsvRow]]:
    """Returns the columns of a UTF-8 csv file and, as they are read, its rows.

    Raises:
        InputError: naming the file, when it is not one, and the line with more fields than there are columns.
    """
    rows = _rows(path)
    return tuple(next(rows).fields), rows


def _rows(path: str | os.PathLike) -> Iterator[CsvRow]:
    """Yields the head, whose fields are empty, and then the rows."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            yield CsvRow(str(path), dict.fromkeys(reader.fieldnames or ()))
            for fields in reader:
                if None in fields:
                    raise InputError(f"{path}:{reader.line_num}: has more fields than the head has columns")
                yield CsvRow(f"{path}:{reader.line_num}", fields)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: is not a csv file in UTF-8 ({error})") from error
