"""Options that several commands share."""

import argparse


def add_allow_pipes(parser: argparse.ArgumentParser) -> None:
    """Adds `--allow_pipes`, "true" or "false", to a command that reads the signals of a data directory."""
    parser.add_argument(
        "--allow_pipes",
        choices=("true", "false"),
        default="false",
        help="run the commands that scp files hold, such as 'flac -dc x.flac |' (%(default)s)",
    )
