"""Options of the commands that make a set from speech in LibriSpeech's layout, and that speech."""

import argparse
from dataclasses import dataclass

from mindaudio_ext.bin.arguments import add_nj, add_num_spks, add_sample_rate, add_seed, not_empty
from mindaudio_ext.corpora.librispeech import Utterance, find_utterances, list_subsets, read_sexes, split_speakers


@dataclass(frozen=True)
class Speech:
    """What a set is made of.

    Attributes:
        utterances: of single speakers.
        corpus: what they are, for RESULTS.md.
        sexes: speaker -> f or m, as far as known.
    """

    utterances: list[Utterance]
    corpus: str
    sexes: dict[str, str]


def add_speech_set(arguments: argparse.ArgumentParser) -> None:
    """Adds the options of a set: its speech, its name and folder, and what all draws depend on."""
    arguments.add_argument(
        "--librispeech", type=not_empty, required=True, help="folder in LibriSpeech's layout, any rate"
    )
    arguments.add_argument(
        "--data", type=not_empty, required=True, help="the wavs go to DATA/wav/SET, the data directory is DATA/SET"
    )
    arguments.add_argument("--set", type=not_empty, required=True, help="name of the set")
    arguments.add_argument("--subsets", default="", help="subsets to use, separated by spaces (all)")
    arguments.add_argument(
        "--split_speakers",
        choices=("true", "false"),
        default="false",
        help="take only the speakers of this set, which is train, dev (10 %% of them) or test (10 %%)",
    )
    arguments.add_argument(
        "--corpus", default="", metavar="TEXT", help="what the speech is, for RESULTS.md (the subsets)"
    )
    add_num_spks(arguments)
    add_sample_rate(arguments)
    add_seed(arguments, "of every draw")
    add_nj(arguments)


def read_speech(args: argparse.Namespace) -> Speech:
    """Finds the speech that these options name; raises InputError when there is none."""
    subsets = args.subsets.split() or list_subsets(args.librispeech)
    utterances = find_utterances(args.librispeech, subsets)
    if args.split_speakers == "true":
        utterances = split_speakers(utterances, args.set, args.seed)
    return Speech(utterances, args.corpus or " ".join(subsets), read_sexes(args.librispeech))
