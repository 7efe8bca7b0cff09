"""Checks a data directory and says what is in it, or what is the first thing wrong."""

import argparse

from mindaudio_ext.bin.arguments import add_allow_pipes, add_nj, not_empty
from mindaudio_ext.data.silence import describe_silent
from mindaudio_ext.data.validate_data_dir import validate_data_dir
from mindaudio_ext.errors import command


def run(args: argparse.Namespace) -> None:
    """Prints what is in the directory; raises InputError for the first thing wrong."""
    found = validate_data_dir(
        args.dir, check_audio=args.no_audio == "false", nj=args.nj, allow_pipes=args.allow_pipes == "true"
    )
    parts = [f"{found.num_utts} utterances"]
    parts += [f"{found.hours:.2f} h", f"{found.sample_rate} Hz"] if found.sample_rate else ["audio not checked"]
    parts += [f"{found.num_spks} sources"]
    parts += [f"{found.speakers} speakers"] if found.speakers else []
    print(f"{args.dir}: valid, {', '.join(parts)}")
    if found.silent:
        print(f"warning: {args.dir}: {describe_silent(found.silent)}; they cannot be scored")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="validate_data_dir", description=__doc__)
    arguments.add_argument("dir", type=not_empty, help="the data directory")
    arguments.add_argument(
        "--no_audio", choices=("true", "false"), default="false", help="do not read the signals (false)"
    )
    add_nj(arguments, "processes that read")
    add_allow_pipes(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
