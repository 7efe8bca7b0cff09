"""Checks a config, saves it resolved, or prints values of it, one a line, for the shell."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindaudio_ext.config import Config, load_config, refuse_other_training, save_config
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.registry import near


def parser() -> argparse.ArgumentParser:
    """Gives the command's arguments."""
    arguments = argparse.ArgumentParser(prog="python -m mindaudio_ext.bin.config", description=__doc__)
    arguments.add_argument("--base", type=Path, required=True, metavar="FILE", help="conf/base.yaml: every key")
    arguments.add_argument("--config", type=Path, metavar="FILE", help="a recipe's conf, or a resolved config.yaml")
    arguments.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar='"KEY=VALUE ..."',
        help="overrides; may be given several times, the last wins",
    )
    arguments.add_argument(
        "--trained", type=Path, metavar="FILE", help="refuse what differs in model or training from this config.yaml"
    )
    arguments.add_argument("--out", type=Path, metavar="FILE", help="save the resolved config here")
    arguments.add_argument("--print", dest="keys", nargs="+", default=[], metavar="KEY", help="print these values")
    return arguments


def run(args: argparse.Namespace) -> None:
    """Does what the arguments say; raises InputError for a wrong config or an unknown key."""
    config = load_config(args.base, args.config, args.overrides)
    if args.trained:
        refuse_other_training(args.trained, config)
    lines = [format_value(lookup(config, key)) for key in args.keys]
    if args.out:
        save_config(config, args.out)
    for line in lines:
        print(line)


def lookup(config: Config, key: str) -> Any:
    """Gives the value of a key, dotted for one of a mapping's (`separator_conf.chunk_size`)."""
    values = dataclasses.asdict(config)
    for mapping in ("separator_conf", "scheduler_conf"):
        values |= {f"{mapping}.{name}": value for name, value in values[mapping].items()}
    if key not in values:
        raise InputError(f"--print: unknown key '{key}'{near(key, values)}")
    return values[key]


def format_value(value: Any) -> str:
    """Gives a value as a line: lists separated by blanks, null empty, mappings as JSON.

    >>> format_value(("dev", "test")), format_value(None), format_value(True)
    ('dev test', '', 'true')
    """
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(map(format_value, value))
    return json.dumps(value) if isinstance(value, (bool, dict)) else str(value)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(parser(), run)(argv)


if __name__ == "__main__":
    main()
