"""Makes a test set of SparseLibriMix, of its metadata and LibriSpeech's test-clean."""

import argparse

from mindaudio_ext.bin.arguments import add_nj, add_num_spks, add_sample_rate, not_empty, path
from mindaudio_ext.corpora.sparse_librimix import Parameters, make_sparse, read_sparse
from mindaudio_ext.errors import command
from mindaudio_ext.files import sha256_of


def run(args: argparse.Namespace) -> None:
    """Makes the set; raises InputError for wrong input."""
    mixtures = read_sparse(args.metadata, args.librispeech, args.wham)
    parameters = Parameters(
        set_name=args.set,
        num_spks=args.num_spks,
        sample_rate=args.sample_rate,
        noise=args.wham is not None,
        metadata=sha256_of(args.metadata),
    )
    data_dir = make_sparse(mixtures, args.data, parameters, nj=args.nj)
    print(f"{data_dir}: {len(mixtures)} mixtures of {args.num_spks} speakers")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="sparse_librimix_data", description=__doc__)
    arguments.add_argument("--metadata", type=path, required=True, metavar="FILE", help="the set's metadata.json")
    arguments.add_argument(
        "--librispeech", type=path, required=True, metavar="DIR", help="LibriSpeech's test-clean, or what holds it"
    )
    arguments.add_argument("--wham", type=path, metavar="DIR", help="WHAM's test noises, wham_noise/tt (no noise)")
    arguments.add_argument(
        "--data", type=not_empty, required=True, help="the wavs go to DATA/wav/SET, the data directory is DATA/SET"
    )
    arguments.add_argument("--set", type=not_empty, required=True, help="name of the set")
    add_num_spks(arguments)
    add_sample_rate(arguments)
    add_nj(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
