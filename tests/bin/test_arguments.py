"""Every option of every command has bounds; what is no number within them gets one line."""

import argparse
import importlib
import pkgutil
from pathlib import Path

import pytest

from mindaudio_ext import bin as commands
from mindaudio_ext.bin import arguments
from mindaudio_ext.config import load_config
from mindaudio_ext.errors import InputError

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"
# Options and arguments that are neither numbers, files nor a choice.
TEXTS = {
    "config": {"overrides", "texts", "keys", "named"},
    "convert": set(),
    "folders_data": {"corpus"},
    "infer_310": {"positional", "need_preprocess"},
    "launch": {"master_addr", "module", "arguments"},
    "librimix_data": {"sets", "librimix", "librispeech", "wham", "metadata", "out"},  # empty: not given
    "make_librimix": {"freqs", "modes", "types"},
    "make_conversations": {"subsets", "corpus", "noise"},
    "make_mixtures": {"subsets", "corpus"},
    "score": {"command_line"},
}


def parsers():
    """Name and parser of every command."""
    for module in pkgutil.iter_modules(commands.__path__):
        if module.name in ("arguments", "rank", "shard", "stage_job"):  # no commands of a user's
            continue
        found = importlib.import_module(f"mindaudio_ext.bin.{module.name}")
        yield module.name, found.parser()


def test_no_option_takes_any_number_or_an_empty_path():
    found = dict(parsers())
    assert len(found) >= 19
    for name, parser in found.items():
        taking = [action for action in parser._actions if action.nargs != 0 and not action.choices]
        assert {action.dest for action in taking if action.type is None} == TEXTS.get(name, set()), name
        for action in taking:
            assert action.type not in (int, float, str, Path), f"{name}: {action.dest}"


@pytest.mark.parametrize("text", ["", "0", "11", "-1", "1.0", "1_0", "\u0662", "nan", "1e1", 401 * "1", "0x1", " 2"])
def test_what_is_no_whole_number_of_1_to_10(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"^must be a whole number of 1 to 10, got ") as caught:
        arguments.whole_number(1, 10)(text)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("text", ["", "0", "-1", "60.001", "inf", "nan", "1e400", 401 * "1", "a"])
def test_what_is_no_positive_number_up_to_60(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"^must be a number above 0 and at most 60, got ") as caught:
        arguments.positive_number(60)(text)
    assert len(str(caught.value)) < 130


def test_numbers_and_names_within_bounds():
    assert [arguments.whole_number(1, 10)(text) for text in ("1", "10", "+7", "007")] == [1, 10, 7, 7]
    assert [arguments.positive_number(60)(text) for text in ("60", "1e-3", ".5")] == [60, 0.001, 0.5]
    assert arguments.path("a b") == Path("a b")
    for text in ("", " ", "\n"):
        with pytest.raises(argparse.ArgumentTypeError, match="must not be empty"):
            arguments.path(text)


@pytest.mark.parametrize(
    ("key", "bounds"),
    [
        ("sample_rate", arguments.SAMPLE_RATES),
        ("num_spks", (2, 5)),
        ("seed", (0, arguments.LARGEST_SEED)),
        ("shifts", (1, arguments.MOST_SHIFTS)),
        ("export_batch", (1, 65536)),
    ],
)
def test_options_have_the_bounds_of_the_config(key, bounds):
    for value in bounds:
        load_config(BASE, None, [f"{key}={value}"])
    for value in (bounds[0] - 1, bounds[1] + 1):
        with pytest.raises(InputError, match=f"{key}: must be "):
            load_config(BASE, None, [f"{key}={value}"])
