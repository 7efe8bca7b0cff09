"""Makes a MindRecord directory of a data directory."""

import argparse
import os

from mindaudio_ext.bin.arguments import add_allow_pipes, add_config, add_nj, not_empty
from mindaudio_ext.config import read_resolved
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.data.silence import describe_silent, name_some
from mindaudio_ext.errors import command


def run(args: argparse.Namespace) -> None:
    """Makes the MindRecord directory; raises InputError for wrong input."""
    name, config = args.name, read_resolved(args.config) if args.config else None
    if config and not name:
        name = config.dump_name(os.path.basename(os.path.abspath(args.out)))
    manifest, written = dump(args.data, args.out, name=name, nj=args.nj, allow_pipes=args.allow_pipes == "true")
    size = sum(size for size, _ in manifest.digests.values())
    hours = sum(manifest.num_samples) / manifest.sample_rate / 3600
    print(
        f"{args.out}: {len(manifest.keys)} mixtures, {hours:.2f} h, {manifest.sample_rate} Hz, "
        f"{manifest.num_spks} sources, {size / 1e6:.0f} MB{'' if written else ' (was there)'}"
    )
    if manifest.silent:
        print(f"warning: {args.out}: {describe_silent(manifest.silent)}; they cannot be scored")
    if config and (short := manifest.shorter_than(config.kernel_size)):
        print(
            f"warning: {args.out}: {len(short)} of {len(manifest.keys)} mixtures are shorter than a filter "
            f"(kernel_size, {config.kernel_size} samples) and cannot be separated: {name_some(short)}"
        )


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="dump", description=__doc__)
    arguments.add_argument("--data", type=not_empty, required=True, help="the data directory")
    arguments.add_argument(
        "--out", type=not_empty, required=True, help="the MindRecord directory; its last part names the set"
    )
    add_config(arguments, "the name of a set's files, and the length of filters")
    arguments.add_argument("--name", type=not_empty, help="name of the files; default: the config's, or else the set's")
    add_nj(arguments, "processes that read")
    add_allow_pipes(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
