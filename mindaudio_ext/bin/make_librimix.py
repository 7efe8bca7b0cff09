"""Makes LibriMix from LibriSpeech, WHAM's noise and the published metadata; goes on where it was interrupted."""

import argparse
from pathlib import Path

from mindaudio_ext.data.librimix import MODES, TYPES
from mindaudio_ext.data.librimix_tree import Request, make_librimix
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    request = Request(
        Path(args.out),
        args.n_src,
        *(tuple(dict.fromkeys(value.lower() for value in given)) for given in (args.freqs, args.modes, args.types)),
    )
    made = make_librimix(request, metadata=args.metadata, librispeech=args.librispeech, wham=args.wham, nj=args.nj)
    print(f"{request.root}: {', '.join(f'{name} {count}' for name, count in made.items())} mixtures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make_librimix", description=__doc__)
    parser.add_argument("--librispeech", required=True, help="LibriSpeech's folder, with dev-clean and so on in it")
    parser.add_argument("--wham", help="folder wham_noise; not needed for mix_clean alone")
    parser.add_argument(
        "--metadata", required=True, help="folder of the csv files; all without 'info' in their name are made"
    )
    parser.add_argument("--out", required=True, help="Libri<n_src>Mix is made in it")
    parser.add_argument("--n_src", type=int, required=True, help="sources a mixture")
    parser.add_argument("--freqs", nargs="+", default=["8k", "16k"], help="rates (8k 16k)")
    parser.add_argument("--modes", nargs="+", default=list(MODES), help="lengths: of the shortest or longest (min max)")
    parser.add_argument("--types", nargs="+", default=list(TYPES), help=f"mixtures ({' '.join(TYPES)})")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
