"""Makes the data directories of LibriMix, from a tree of wavs or from LibriSpeech and the published metadata."""

import argparse
from pathlib import Path

from mindaudio_ext.data.librimix import MODES, TYPES
from mindaudio_ext.data.librimix_dirs import Variant, dirs_from_librispeech, dirs_from_tree, metadata_folder
from mindaudio_ext.errors import InputError, command


def _run(args: argparse.Namespace) -> None:
    variant = Variant(args.n_src, args.sample_rate, args.mode, args.mix_type)
    sets = list(dict.fromkeys(args.sets.split()))
    if not sets:
        raise InputError("--sets: at least one set is expected, such as train-100")
    if bool(args.librimix) == bool(args.librispeech):
        raise InputError("give either --librimix DIR, a tree of wavs, or --librispeech DIR to make the mixtures")
    if args.librimix:
        if args.write_wavs == "false":
            raise InputError("--write_wavs false: is for --librispeech; the wavs of --librimix are there already")
        dirs_from_tree(args.librimix, args.data, sets, variant, nj=args.nj)
        return
    data = Path(args.data)
    dirs_from_librispeech(
        data,
        sets,
        variant,
        librispeech=args.librispeech,
        metadata=metadata_folder(args.metadata, args.n_src, fetched=data / "librimix_repository"),
        wham=args.wham or None,
        out=args.out or data / "librimix",
        # Stages 3 to 5 read the test sets' wavs.
        unwritten=[name for name in sets if args.write_wavs == "false" and not name.startswith("test")],
        nj=args.nj,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="librimix_data", description=__doc__)
    parser.add_argument("--data", required=True, help="the data directories are DATA/<set>")
    parser.add_argument("--sets", required=True, help="names, separated by spaces: train-100 train-360 dev test")
    parser.add_argument("--librimix", default="", help="a tree of wavs: the folder that holds Libri2Mix or Libri3Mix")
    parser.add_argument("--librispeech", default="", help="LibriSpeech, to make the mixtures from")
    parser.add_argument("--wham", default="", help="folder wham_noise, for mix_both and mix_single")
    parser.add_argument("--metadata", default="", help="folder of LibriMix's metadata (fetched by git)")
    parser.add_argument("--out", default="", help="the wavs that are made go to OUT/Libri<n_src>Mix (DATA/librimix)")
    parser.add_argument("--n_src", type=int, default=2, help="sources a mixture (%(default)s)")
    parser.add_argument("--sample_rate", type=int, default=8000, help="Hz, 8000 or 16000 (%(default)s)")
    parser.add_argument("--mode", choices=MODES, default="min", help="length of the shortest or longest (%(default)s)")
    parser.add_argument("--mix_type", choices=TYPES, default="mix_clean", help="(%(default)s)")
    parser.add_argument(
        "--write_wavs",
        choices=("true", "false"),
        default="true",
        help="false: stage 1 mixes what is not named test...; it gets no wavs but a mix.csv",
    )
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
