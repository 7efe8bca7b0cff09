"""Makes the data directories of LibriMix, from a tree of wavs or from LibriSpeech and the published metadata."""

import argparse
from pathlib import Path

from mindaudio_ext.bin.arguments import add_nj, add_sample_rate, not_empty, whole_number
from mindaudio_ext.corpora.librimix import MODES, TYPES
from mindaudio_ext.corpora.librimix_dirs import Variant, dirs_from_librispeech, dirs_from_tree, metadata_folder
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.keys import require_name


def run(args: argparse.Namespace) -> None:
    """Makes the data directories; raises InputError for wrong input."""
    variant = Variant(args.n_src, args.sample_rate, args.mode, args.mix_type)
    sets = list(dict.fromkeys(args.sets.split()))
    if not sets:
        raise InputError("--sets: at least one set is expected, such as train-100")
    for name in sets:
        require_name(name, "--sets")
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


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="librimix_data", description=__doc__)
    arguments.add_argument("--data", type=not_empty, required=True, help="the data directories are DATA/<set>")
    arguments.add_argument("--sets", required=True, help="names, separated by spaces: train-100 train-360 dev test")
    arguments.add_argument(
        "--librimix", default="", help="a tree of wavs: the folder that holds Libri2Mix or Libri3Mix"
    )
    arguments.add_argument("--librispeech", default="", help="LibriSpeech, to make the mixtures from")
    arguments.add_argument("--wham", default="", help="folder wham_noise, for mix_both and mix_single")
    arguments.add_argument("--metadata", default="", help="folder of LibriMix's metadata (fetched by git)")
    arguments.add_argument("--out", default="", help="the wavs that are made go to OUT/Libri<n_src>Mix (DATA/librimix)")
    arguments.add_argument(
        "--n_src", type=whole_number(2, 3), metavar="N", default=2, help="sources per mixture (%(default)s)"
    )
    add_sample_rate(arguments, "Hz, 8000 or 16000")
    arguments.add_argument(
        "--mode", choices=MODES, default="min", help="length of the shortest or longest (%(default)s)"
    )
    arguments.add_argument("--mix_type", choices=TYPES, default="mix_clean", help="(%(default)s)")
    arguments.add_argument(
        "--write_wavs",
        choices=("true", "false"),
        default="true",
        help="false: stage 1 mixes what is not named test...; it gets no wavs but a mix.csv",
    )
    add_nj(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
