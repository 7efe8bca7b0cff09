"""Makes one set of mixtures from speech in LibriSpeech's layout."""

import argparse
import logging

from mindaudio_ext.bin.arguments import add_nj, add_num_spks, add_sample_rate, add_seed, not_empty, whole_number
from mindaudio_ext.corpora.librispeech import find_utterances, list_subsets, read_sexes, split_speakers
from mindaudio_ext.corpora.mixture_plan import Parameters
from mindaudio_ext.corpora.mixture_sets import make_mixtures
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import shared_speakers
from mindaudio_ext.errors import command

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> None:
    """Makes the set; raises InputError for wrong input."""
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
        log.warning("%s shares %d speakers with %s; scores will be optimistic", args.set, count, other)
    print(f"{data_dir}: {len(read_data_dir(data_dir).keys)} mixtures of {args.num_spks} speakers")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="make_mixtures", description=__doc__)
    arguments.add_argument(
        "--librispeech", type=not_empty, required=True, help="folder in LibriSpeech's layout, any rate"
    )
    arguments.add_argument(
        "--data", type=not_empty, required=True, help="the wavs go to DATA/wav/SET, the data directory is DATA/SET"
    )
    arguments.add_argument("--set", type=not_empty, required=True, help="name of the set")
    arguments.add_argument("--subsets", default="", help="subsets to mix, separated by spaces (all)")
    arguments.add_argument(
        "--split_speakers",
        choices=("true", "false"),
        default="false",
        help="take only the speakers of this set, which is train, dev (10 %% of them) or test (10 %%)",
    )
    arguments.add_argument(
        "--corpus", default="", metavar="TEXT", help="what the speech is, for RESULTS.md (the subsets)"
    )
    number = whole_number(1, 10_000_000)
    arguments.add_argument("--n_mixtures", type=number, metavar="N", required=True, help="mixtures to make")
    add_num_spks(arguments)
    add_sample_rate(arguments)
    add_seed(arguments, "of every draw")
    add_nj(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
