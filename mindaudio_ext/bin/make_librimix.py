"""Makes LibriMix from LibriSpeech, WHAM's noise and the published metadata; goes on where it was interrupted."""

import argparse
from pathlib import Path

from mindaudio_ext.bin.arguments import add_nj, not_empty, whole_number
from mindaudio_ext.corpora.librimix import MODES, TYPES
from mindaudio_ext.corpora.librimix_tree import Request, make_librimix
from mindaudio_ext.errors import command


def run(args: argparse.Namespace) -> None:
    """Makes the tree; raises InputError for wrong input."""
    request = Request(
        Path(args.out),
        args.n_src,
        *(tuple(dict.fromkeys(value.lower() for value in given)) for given in (args.freqs, args.modes, args.types)),
    )
    made = make_librimix(request, metadata=args.metadata, librispeech=args.librispeech, wham=args.wham, nj=args.nj)
    print(f"{request.root}: {', '.join(f'{name} {count}' for name, count in made.items())} mixtures")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="make_librimix", description=__doc__)
    arguments.add_argument(
        "--librispeech", type=not_empty, required=True, help="LibriSpeech's folder, with dev-clean and so on in it"
    )
    arguments.add_argument("--wham", type=not_empty, help="folder wham_noise; not needed for mix_clean alone")
    arguments.add_argument(
        "--metadata",
        type=not_empty,
        required=True,
        help="folder of the csv files; all without 'info' in their name are made",
    )
    arguments.add_argument("--out", type=not_empty, required=True, help="Libri<n_src>Mix is made in it")
    arguments.add_argument("--n_src", type=whole_number(2, 3), metavar="N", required=True, help="sources per mixture")
    arguments.add_argument("--freqs", nargs="+", default=["8k", "16k"], help="rates (8k 16k)")
    arguments.add_argument(
        "--modes", nargs="+", default=list(MODES), help="lengths: of the shortest or longest (min max)"
    )
    arguments.add_argument("--types", nargs="+", default=list(TYPES), help=f"mixtures ({' '.join(TYPES)})")
    add_nj(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
