"""Makes the mini corpus: synthetic voices in LibriSpeech's layout."""

import argparse

from mindaudio_ext.bin.arguments import add_nj, add_sample_rate, add_seed, not_empty, whole_number
from mindaudio_ext.corpora.mini_corpus import make_mini_corpus, voices
from mindaudio_ext.errors import command
from mindaudio_ext.lock import locked


def run(args: argparse.Namespace) -> None:
    """Makes the corpus; raises InputError for a folder that is not ours."""
    with locked(args.out, "LibriSpeech"):
        root = make_mini_corpus(
            args.out,
            sample_rate=args.sample_rate,
            utts_per_speaker=args.utts_per_speaker,
            seed=args.seed,
            nj=args.nj,
        )
    speakers = len(voices())
    print(f"{root}: {speakers} speakers, {speakers * args.utts_per_speaker} utterances at {args.sample_rate} Hz")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="make_mini_corpus", description=__doc__)
    arguments.add_argument("--out", type=not_empty, required=True, help="the corpus becomes OUT/LibriSpeech")
    add_sample_rate(arguments)
    number = whole_number(1, 10_000)
    arguments.add_argument(
        "--utts_per_speaker", type=number, metavar="N", default=30, help="utterances of 3-6 s a speaker (%(default)s)"
    )
    add_seed(arguments, "chooses the sentences")
    add_nj(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
