"""Makes a data directory from folders of mixtures and of sources, matched by file name."""

import argparse
import os
from functools import partial

from mindaudio_ext.data.folders import (
    make_data_dir,
    match_folders,
    speakers_of_librispeech,
    speakers_of_wsj0,
)
from mindaudio_ext.errors import command

_SPEAKERS = {"librispeech": speakers_of_librispeech, "wsj0": speakers_of_wsj0}


def _run(args: argparse.Namespace) -> None:
    signals = match_folders(args.mixtures, args.sources, args.noise, num_spks=args.num_spks)
    # A mixture's name may tell of more sources than are separated.
    speakers = partial(_first_speakers, args.speakers, args.named or args.num_spks, args.num_spks)
    count = make_data_dir(
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="folders_data", description=__doc__)
    parser.add_argument("--mixtures", required=True, help="folder of the mixtures, wav or flac")
    parser.add_argument(
        "--sources",
        required=True,
        nargs="+",
        help="a folder for each source, with files of the mixtures' names; or one of <mixture>_s1, <mixture>_s2, ...",
    )
    parser.add_argument("--noise", help="folder of the noises, when the mixtures have some")
    parser.add_argument("--data", required=True, help="the data directory is DATA/SET")
    parser.add_argument("--set", required=True, help="name of the set")
    parser.add_argument("--num_spks", type=int, default=2, help="sources a mixture (%(default)s)")
    parser.add_argument("--sample_rate", type=int, default=8000, help="Hz, of all files (%(default)s)")
    parser.add_argument("--corpus", default="", metavar="TEXT", help="what the set is, for RESULTS.md")
    parser.add_argument("--speakers", choices=tuple(_SPEAKERS), help="whose utterances the mixtures are named after")
    parser.add_argument("--named", type=int, help="sources a mixture's name tells of (--num_spks)")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
