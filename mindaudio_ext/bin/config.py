"""Checks a config, saves it resolved, or prints values of it for the shell."""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from mindaudio_ext.bin.arguments import path
from mindaudio_ext.config import Config, load_config, read_resolved, refuse_other_training, save_config
from mindaudio_ext.config.config import OPTIONS_OF
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.registry import near


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="python -m mindaudio_ext.bin.config", description=__doc__)
    arguments.add_argument("--base", type=path, metavar="FILE", help="conf/base.yaml: every key; default: the defaults")
    arguments.add_argument("--config", type=path, metavar="FILE", help="a recipe's conf, or a resolved config.yaml")
    arguments.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar='"KEY=VALUE ..."',
        help="overrides; may be given several times, the last wins",
    )
    arguments.add_argument(
        "--text",
        dest="texts",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an override whose value is text, of any characters; wins over --set",
    )
    arguments.add_argument(
        "--trained", type=path, metavar="FILE", help="refuse what differs in model or training from this config.yaml"
    )
    arguments.add_argument("--out", type=path, metavar="FILE", help="save the resolved config here")
    arguments.add_argument(
        "--print", dest="keys", nargs="+", default=[], metavar="KEY", help="print these values, one per line"
    )
    arguments.add_argument(
        "--print0",
        dest="named",
        nargs="+",
        default=[],
        metavar="KEY",
        help="print KEY=VALUE of these, each ended by a zero byte: a list as several, null not at all",
    )
    return arguments


def run(args: argparse.Namespace) -> None:
    """Does what the arguments say; raises InputError for a wrong config or an unknown key."""
    if args.out:
        _require_own(args.out)
    config = load_config(args.base, args.config, [*args.overrides, *map(_text, args.texts)])
    if args.trained and Experiment(args.trained.parent).is_trained:
        refuse_other_training(args.trained, config)
    lines = [format_value(lookup(config, key)) for key in args.keys]
    named = [f"{key}={value}" for key in args.named for value in several(lookup(config, key))]
    if args.out:
        save_config(config, args.out)
    for line in lines:
        print(line)
    print(*(f"{value}\0" for value in named), sep="", end="")


def _text(override: str) -> dict[str, str]:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError(f"--text: expected key=value, got '{override}'")
    return {key: value}


def _require_own(path: Path) -> None:
    """Raises InputError when something else than a resolved config is there, which would be replaced."""
    if not os.path.lexists(path):
        return
    problem = "is there and is no config of this command's; give another name"
    if path.is_symlink() or not path.is_file():
        raise InputError(f"--out {path}: {problem}")
    try:
        read_resolved(path)
    except InputError as error:
        raise InputError(f"--out {path}: {problem}") from error


def lookup(config: Config, key: str) -> Any:
    """Returns the value of a key, dotted for one of a mapping's (`separator_conf.chunk_size`, `model_conf.R`)."""
    values = dataclasses.asdict(config)
    for mapping in OPTIONS_OF:
        values |= {f"{mapping}.{name}": value for name, value in values[mapping].items()}
    if key not in values:
        raise InputError(f"--print: unknown key '{key}'{near(key, values)}")
    return values[key]


def several(value: Any) -> list[str]:
    """Returns the values of a list, or a value alone; none of null.

    >>> several(("dev", "test")), several(None), several(8000)
    (['dev', 'test'], [], ['8000'])
    """
    if value is None:
        return []
    return [format_value(each) for each in (value if isinstance(value, (list, tuple)) else [value])]


def format_value(value: Any) -> str:
    """Returns a value as a line: lists separated by blanks, null empty, mappings as JSON.

    >>> format_value(("dev", "test")), format_value(None), format_value(True)
    ('dev test', '', 'true')
    """
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(map(format_value, value))
    return json.dumps(value) if isinstance(value, (bool, dict)) else str(value)


main = command(parser, run)

if __name__ == "__main__":
    main()
