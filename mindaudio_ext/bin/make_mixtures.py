"""Makes one set of mixtures from speech in LibriSpeech's layout."""

import argparse
import sys

from mindaudio_ext.data.kaldi_dir import read_data_dir, shared_speakers
from mindaudio_ext.data.librispeech import find_utterances, list_subsets, read_sexes, split_speakers
from mindaudio_ext.data.mixture import Parameters, make_mixtures
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    subsets = args.subsets.split() or list_subsets(args.librispeech)
    utterances = find_utterances(args.librispeech, subsets)
    if args.split_speakers == "true":
        utterances = split_speakers(utterances, args.set, args.seed)
    parameters = Parameters(args.set, args.n_mixtures, args.num_spks, args.sample_rate, args.seed)
    sexes = read_sexes(args.librispeech)
    data_dir = make_mixtures(
        utterances, args.data, parameters, corpus=args.corpus or " ".join(subsets), sexes=sexes, nj=args.nj
    )
    for other, count in shared_speakers(data_dir).items():
        print(f"warning: {args.set} shares {count} speakers with {other}; scores will flatter", file=sys.stderr)
    print(f"{data_dir}: {len(read_data_dir(data_dir).keys)} mixtures of {args.num_spks} speakers")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make_mixtures", description=__doc__)
    parser.add_argument("--librispeech", required=True, help="folder in LibriSpeech's layout, any rate")
    parser.add_argument("--data", required=True, help="the wavs go to DATA/wav/SET, the data directory is DATA/SET")
    parser.add_argument("--set", required=True, help="name of the set")
    parser.add_argument("--subsets", default="", help="subsets to mix, separated by spaces (all)")
    parser.add_argument(
        "--split_speakers",
        choices=("true", "false"),
        default="false",
        help="take only the speakers of this set, which is train, dev (10 %% of them) or test (10 %%)",
    )
    parser.add_argument("--corpus", default="", metavar="TEXT", help="what the speech is, for RESULTS.md (the subsets)")
    parser.add_argument("--n_mixtures", type=int, required=True, help="mixtures to make")
    parser.add_argument("--num_spks", type=int, default=2, help="sources a mixture, 2 to 5 (%(default)s)")
    parser.add_argument("--sample_rate", type=int, default=8000, help="Hz (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (%(default)s)")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
