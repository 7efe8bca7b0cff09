"""What is written from the declarations of keys, and that it is up to date."""

import dataclasses
import re
from typing import Annotated, Literal

import pytest
import yaml
from annotated_types import Interval

from mindaudio_ext.config import KEYS, load_config, make_config
from mindaudio_ext.config.config import OPTIONS_OF
from mindaudio_ext.config.options import known_options
from mindaudio_ext.config.reference import ROOT, base_yaml, main, read_chinese, undocumented, written
from mindaudio_ext.registry import SEPARATORS


@pytest.mark.parametrize("name", ["conf/base.yaml", "docs/config.md", "docs/config.zh.md"])
def test_files_are_what_is_written_now(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == written()[ROOT / name], "run python -m mindaudio_ext.config.reference"


def test_base_says_the_defaults():
    assert list(yaml.safe_load(base_yaml())) == list(KEYS)
    assert load_config(ROOT / "conf/base.yaml", None) == load_config(None, None) == make_config({}, "x")
    assert max(map(len, base_yaml().splitlines())) <= 120


@pytest.mark.parametrize(
    "line",
    [
        "sample_rate: 8000          # sample rate of the whole recipe, Hz; 1000 to 192000",
        "train_set: train           # folder below data/ and dump/ to train on [train_dir]",
        "decode_checkpoint: best    # what is decoded and exported; for average see average_best; best or average",
    ],
)
def test_lines_of_base_tell_unit_limits_choices_and_the_references_name(line):
    assert line in base_yaml().splitlines()


@pytest.mark.parametrize(
    "row",
    [
        "| `train_set` | `train_dir` | `train` | | | folder below data/ and dump/ to train on |",
        "| `n_filters` | `in_channels`, `out_channels` | `64` | 1 to 65536 | | features of the encoder, the "
        "separator's input size |",
        "| `chunk_size` [K] | `250` | 2 to 65536 | frames in a chunk, K; about sqrt(2 L) is the paper's advice |",
        "| `K` | `separator_conf.chunk_size` |",
        "| `l2` | `weight_decay` |",
        "| `dropout` | `0.3` | at least 0 and below 1 | between two layers |",
        "| `epochs` | `[15, 45, 75]` | at least 2 | counted from 1 |",
    ],
)
def test_rows_of_the_tables(row):
    assert row in written()[ROOT / "docs/config.md"].splitlines()


def test_both_languages_have_the_same_tables():
    english, chinese = (
        [
            re.findall(r"`[^`]*`|\d+", row.rpartition(" | ")[0])
            for row in written()[ROOT / name].splitlines()
            if "|" in row
        ]
        for name in ("docs/config.md", "docs/config.zh.md")
    )
    assert english == chinese
    assert len(english) > len(KEYS)


def test_every_key_and_option_of_ours_has_a_meaning():
    assert undocumented() == []


def test_a_key_without_a_meaning_is_named(monkeypatch, capsys):
    monkeypatch.setitem(KEYS, "seed", dataclasses.replace(KEYS["seed"], zh=""))
    assert main(["--check"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "reference.py: seed has no meaning"


def test_chinese_is_of_options_that_there_are():
    for owner, names in read_chinese().items():
        mapping = next(mapping for mapping, key in OPTIONS_OF.items() if key == owner)
        for name, meanings in names.items():
            assert set(meanings) - {"causal_with"} <= set(known_options(mapping, name)), name


def test_another_separators_options_are_told_without_a_change_here(monkeypatch):
    monkeypatch.setattr(SEPARATORS, "_registered", dict(SEPARATORS._registered))
    monkeypatch.setattr(SEPARATORS, "_modules", {**SEPARATORS._modules, "zz_test": __name__})

    @SEPARATORS.register("zz_test")
    class Toy:
        """A toy.

        Args:
            depth: layers,
                one on the other.
        """

        def __init__(
            self,
            input_size,
            num_spks,
            *,
            depth: Annotated[int, Interval(ge=2, le=4)] = 3,
            kind: Literal["a", "b"] = "a",
        ):
            pass

    text = written()[ROOT / "docs/config.md"]
    assert "| `depth` | `3` | 2 to 4 | layers, one on the other |\n| `kind` | `a` | `a` or `b` | |" in text
    assert " or zz_test" in base_yaml()
