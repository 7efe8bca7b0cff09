"""`mix.csv`: mixtures that are not written but mixed whenever they are read, from LibriMix's metadata.

A line of `data/<set>/mix.csv` has the key, what is to be made of it (`sample_rate` in Hz, `mode`, `type`), and paths
and gains of the sources and the noise, as LibriMix's metadata have them.
"""

import csv
import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mindaudio_ext.corpora.librimix import MODES, TYPES, MixRow, mix_row, mixed_length, parse_gain
from mindaudio_ext.data.csv_file import read_csv
from mindaudio_ext.errors import InputError
from mindaudio_ext.keys import MAX_SOURCES, require_key

MIX_CSV = "mix.csv"


@dataclass(frozen=True)
class Mix:
    """A mixture to be: its row of metadata, the rate in Hz, min or max, and one of LibriMix's types."""

    row: MixRow
    sample_rate: int
    mode: str
    mix_type: str

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mixture int16 [T] and the sources int16 [C, T].

        Raises:
            InputError: naming the key and the file that is wrong.
        """
        return mix_row(self.row, sample_rate=self.sample_rate, mode=self.mode, mix_type=self.mix_type)

    def length(self) -> int:
        """Returns the samples of the mixture; raises as `read`."""
        return mixed_length(self.row, sample_rate=self.sample_rate, mode=self.mode)

    @property
    def source_paths(self) -> tuple[str, ...]:
        """The files of the sources that are separated; of mix_single the first alone."""
        return self.row.paths[:1] if self.mix_type == "mix_single" else self.row.paths


def format_mix_csv(mixes: Iterable[Mix]) -> str:
    """Returns the text of a mix.csv."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, mix in enumerate(mixes):
        signals = mix.row.files()
        if number == 0:
            names = [f"{name.replace(' ', '_')}_{what}" for name in signals for what in ("path", "gain")]
            writer.writerow(["key", "sample_rate", "mode", "type", *names])
        gains = (*mix.row.gains, mix.row.noise_gain)
        paths = [*mix.row.paths, *([mix.row.noise_path] if mix.row.noise_path else [])]
        fields = [field for path, gain in zip(paths, gains) for field in (os.path.abspath(path), repr(gain))]
        writer.writerow([mix.row.key, mix.sample_rate, mix.mode, mix.mix_type, *fields])
    return buffer.getvalue()


def read_mix_csv(path: str | os.PathLike) -> dict[str, Mix]:
    """Reads a mix.csv: key -> mixture, sorted by key.

    Raises:
        InputError: naming file, line and what is wrong.
    """
    mixes: dict[str, Mix] = {}
    columns, rows = read_csv(path)
    n_src = next((i for i in range(MAX_SOURCES + 1) if f"source_{i + 1}_path" not in columns), MAX_SOURCES)
    missing = {"key", "sample_rate", "mode", "type", "source_1_path"}.difference(columns)
    if missing:
        raise InputError(f"{path}: has no column {min(missing)}")
    for row in rows:
        mix = _parse(row.place, row.fields, n_src, noise="noise_path" in columns)
        if mix.row.key in mixes:
            raise InputError(f"{row.place}: the key {mix.row.key} is there twice")
        mixes[mix.row.key] = mix
    if not mixes:
        raise InputError(f"{path}: is empty")
    return {key: mixes[key] for key in sorted(mixes)}


def _parse(place: str, fields: dict[str, str | None], n_src: int, *, noise: bool) -> Mix:
    values = {name: value for name, value in fields.items() if value is not None}
    if len(values) < len(fields):
        raise InputError(f"{place}: has fewer fields than the head")
    key, rate, mode, mix_type = (values[name] for name in ("key", "sample_rate", "mode", "type"))
    require_key(key, place)
    if not re.fullmatch("0*[1-9][0-9]{0,8}", rate) or mode not in MODES or mix_type not in TYPES:
        raise InputError(f"{place}: {key}: '{rate},{mode},{mix_type}' is no rate in Hz, mode and type of LibriMix")
    if mix_type != "mix_clean" and not noise:
        raise InputError(f"{place}: {key}: is {mix_type}, but the file names no noise")
    names = [f"source_{i}" for i in range(1, n_src + 1)] + ["noise"] * noise
    gains = [parse_gain(values.get(f"{name}_gain"), f"{place}: {key}: {name}_gain") for name in names]
    paths = [values[f"{name}_path"] for name in names]
    noise_path, noise_gain = (paths[n_src], gains[n_src]) if noise else (None, 0.0)
    row = MixRow(key, tuple(paths[:n_src]), tuple(gains[:n_src]), noise_path, noise_gain, "")
    return Mix(row, int(rate), mode, mix_type)
