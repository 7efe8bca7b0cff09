"""Makes a data directory from folders of mixtures and of sources, matched by file name."""

import argparse
import os
from functools import partial

from mindaudio_ext.bin.arguments import add_nj, add_num_spks, add_sample_rate, not_empty, whole_number
from mindaudio_ext.corpora.folders import (
    make_folders_data,
    match_folders,
    speakers_of_librispeech,
    speakers_of_wsj0,
)
from mindaudio_ext.errors import command
from mindaudio_ext.keys import MAX_SOURCES, require_name

_SPEAKERS = {"librispeech": speakers_of_librispeech, "wsj0": speakers_of_wsj0}


def run(args: argparse.Namespace) -> None:
    """Makes the data directory; raises InputError for files that do not match."""
    require_name(args.set, "--set")
    signals = match_folders(args.mixtures, args.sources, args.noise, num_spks=args.num_spks)
    # A mixture's name may tell of more sources than are separated.
    speakers = partial(_first_speakers, args.speakers, args.named or args.num_spks, args.num_spks)
    count = make_folders_data(
        os.path.join(args.data, args.set),
        signals,
        sample_rate=args.sample_rate,
        corpus=args.corpus or f"{args.set}, mixtures in a folder {os.path.basename(os.path.abspath(args.mixtures))}",
        speakers=speakers if args.speakers else None,
        nj=args.nj,
    )
    print(f"{os.path.join(args.data, args.set)}: {count} mixtures of {args.num_spks} sources")


def _first_speakers(kind: str, named: int, num_spks: int, key: str) -> tuple[str, ...] | None:
    found = _SPEAKERS[kind](key, named)
    return found and found[:num_spks]


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="folders_data", description=__doc__)
    arguments.add_argument("--mixtures", type=not_empty, required=True, help="folder of the mixtures, wav or flac")
    arguments.add_argument(
        "--sources",
        type=not_empty,
        required=True,
        nargs="+",
        help="a folder for each source, with files of the mixtures' names; or one of <mixture>_s1, <mixture>_s2, ...",
    )
    arguments.add_argument("--noise", type=not_empty, help="folder of the noises, when the mixtures have some")
    arguments.add_argument("--data", type=not_empty, required=True, help="the data directory is DATA/SET")
    arguments.add_argument("--set", type=not_empty, required=True, help="name of the set")
    add_num_spks(arguments, low=1)
    add_sample_rate(arguments, "Hz, of all files")
    arguments.add_argument("--corpus", default="", metavar="TEXT", help="what the set is, for RESULTS.md")
    arguments.add_argument("--speakers", choices=tuple(_SPEAKERS), help="whose utterances the mixtures are named after")
    arguments.add_argument(
        "--named", type=whole_number(1, MAX_SOURCES), metavar="N", help="sources a mixture's name tells of (--num_spks)"
    )
    add_nj(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
