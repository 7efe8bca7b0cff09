"""Options that several commands share."""

import argparse

from mindaudio_ext.config import MOST_SHIFTS


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
        type=int,
        choices=range(1, MOST_SHIFTS + 1),
        metavar="N",
        help="separate N times, each time a little later, and take the mean; 1 is the fastest; default: the config's",
    )
