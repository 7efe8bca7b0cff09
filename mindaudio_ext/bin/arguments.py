"""Options that several commands share, and the types of all: numbers within bounds, and paths that are not empty."""

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mindaudio_ext.config import KEYS, MOST_SHIFTS, Config, read_resolved, with_settings
from mindaudio_ext.config.config import first_difference, plain_values
from mindaudio_ext.errors import InputError, shown
from mindaudio_ext.keys import MAX_SOURCES

if TYPE_CHECKING:
    from mindaudio_ext.corpora.librispeech import Utterance

MOST_PROCESSES = 1024  # more on one machine is a slip of the finger
SAMPLE_RATES = (1000, 192000)  # Hz
LARGEST_SEED = 2**31 - 1


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns the type, for argparse, of a whole number within bounds.

    >>> whole_number(1, 3)("2")
    2
    """

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number of {low} to {high}, got {shown(text)}")
        return int(text)

    return parse


def positive_number(high: float) -> Callable[[str], float]:
    """Returns the type, for argparse, of a number above 0 and at most `high`.

    >>> positive_number(60)("0.5")
    0.5
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= high:
            raise argparse.ArgumentTypeError(f"must be a number above 0 and at most {high:g}, got {shown(text)}")
        return value

    return parse


def not_empty(text: str) -> str:
    """Is the type, for argparse, of a name, also of a file or folder: an empty one would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def path(text: str) -> Path:
    """Is the type, for argparse, of a file or folder, as a Path."""
    return Path(not_empty(text))


def add_nj(parser: argparse.ArgumentParser, what: str = "processes", default: int = 1) -> None:
    """Adds `--nj`, CPU jobs."""
    number = whole_number(1, MOST_PROCESSES)
    parser.add_argument("--nj", type=number, metavar="N", default=default, help=f"{what} (%(default)s)")


def add_sample_rate(parser: argparse.ArgumentParser, what: str = "Hz", default: int | None = 8000) -> None:
    """Adds `--sample_rate`."""
    number = whole_number(*SAMPLE_RATES)
    shows = "" if default is None else " (%(default)s)"
    parser.add_argument("--sample_rate", type=number, metavar="HZ", default=default, help=f"{what}{shows}")


def add_num_spks(parser: argparse.ArgumentParser, what: str = "sources per mixture", *, low: int = 2) -> None:
    """Adds `--num_spks`, of `low` to 5."""
    number = whole_number(low, MAX_SOURCES)
    parser.add_argument("--num_spks", type=number, metavar="N", default=2, help=f"{what}, {low} to 5 (%(default)s)")


def add_seed(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds `--seed`."""
    number = whole_number(0, LARGEST_SEED)
    parser.add_argument("--seed", type=number, metavar="N", default=0, help=f"{what} (%(default)s)")


def add_allow_pipes(parser: argparse.ArgumentParser) -> None:
    """Adds `--allow_pipes`, "true" or "false", to a command that reads the signals of a data directory."""
    parser.add_argument(
        "--allow_pipes",
        choices=("true", "false"),
        default="false",
        help="run the commands that scp files hold, such as 'flac -dc x.flac |' (%(default)s)",
    )


def add_shifts(parser: argparse.ArgumentParser) -> None:
    """Adds `--shifts` to a command that separates, or says how a model is to."""
    parser.add_argument(
        "--shifts",
        type=whole_number(1, MOST_SHIFTS),
        metavar="N",
        help="separate N times, each time a little later, and take the mean; 1 is the fastest; default: the config's",
    )


@dataclass(frozen=True)
class Speech:
    """What a set is made of.

    Attributes:
        utterances: of single speakers.
        corpus: what they are, for RESULTS.md.
        sexes: speaker -> f or m, as far as known.
    """

    utterances: "list[Utterance]"
    corpus: str
    sexes: dict[str, str]


def add_speech_set(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a set: its speech, its name and folder, and what all draws depend on."""
    parser.add_argument("--librispeech", type=not_empty, required=True, help="folder in LibriSpeech's layout, any rate")
    parser.add_argument(
        "--data", type=not_empty, required=True, help="the wavs go to DATA/wav/SET, the data directory is DATA/SET"
    )
    parser.add_argument("--set", type=not_empty, required=True, help="name of the set")
    parser.add_argument("--subsets", default="", help="subsets to use, separated by spaces (all)")
    parser.add_argument(
        "--split_speakers",
        choices=("true", "false"),
        default="false",
        help="take only the speakers of this set, which is train, dev (10 %% of them) or test (10 %%)",
    )
    parser.add_argument("--corpus", default="", metavar="TEXT", help="what the speech is, for RESULTS.md (the subsets)")
    add_num_spks(parser)
    add_sample_rate(parser)
    add_seed(parser, "of every draw")
    add_nj(parser)


def read_speech(args: argparse.Namespace) -> Speech:
    """Finds the speech that these options name; raises InputError when there is none."""
    from mindaudio_ext.corpora.librispeech import find_utterances, list_subsets, read_sexes, split_speakers

    subsets = args.subsets.split() or list_subsets(args.librispeech)
    utterances = find_utterances(args.librispeech, subsets)
    if args.split_speakers == "true":
        utterances = split_speakers(utterances, args.set, args.seed)
    return Speech(utterances, args.corpus or " ".join(subsets), read_sexes(args.librispeech))


def add_config(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds `--config`, the resolved config of this run.

    Args:
        parser: of the command.
        what: the command takes from there.
    """
    parser.add_argument(
        "--config", type=path, metavar="FILE", help=f"a whole config, as bin.config writes it, for {what}"
    )


def run_config(config: Config, args: argparse.Namespace, *sections: str) -> Config:
    """Returns an experiment's config with what a run says of it: sections of `--config`, then options of keys' names.

    Args:
        config: the experiment's.
        args: has `config`, and for each option of the command that is a key its value, None when it was not given.
        sections: of the config that the command reads.

    Raises:
        InputError: `--config` cannot be read or is of another model or training, or an option has a wrong value.
    """
    if args.config:
        settings = read_resolved(args.config)
        difference = first_difference(plain_values(config), plain_values(settings), said_only=True)
        if difference:
            raise InputError(f"--config {args.config}: the experiment was trained with {difference}")
        config = with_settings(config, settings, *sections)
    given = {name: value for name, value in vars(args).items() if name in KEYS and value is not None}
    plain = {"true": True, "false": False}
    values = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return config.changed("--", **{n: plain.get(v, v) if isinstance(v, str) else v for n, v in values.items()})
