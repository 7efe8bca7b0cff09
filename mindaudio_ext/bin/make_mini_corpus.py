"""Makes the mini corpus: synthetic voices in LibriSpeech's layout."""

import argparse

from mindaudio_ext.data.mini_corpus import make_mini_corpus, voices
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    root = make_mini_corpus(
        args.out,
        sample_rate=args.sample_rate,
        utts_per_speaker=args.utts_per_speaker,
        seed=args.seed,
        nj=args.nj,
    )
    speakers = len(voices())
    print(f"{root}: {speakers} speakers, {speakers * args.utts_per_speaker} utterances at {args.sample_rate} Hz")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make_mini_corpus", description=__doc__)
    parser.add_argument("--out", required=True, help="the corpus becomes OUT/LibriSpeech")
    parser.add_argument("--sample_rate", type=int, default=8000, help="Hz (%(default)s)")
    parser.add_argument("--utts_per_speaker", type=int, default=30, help="utterances of 3-6 s a speaker (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the sentences (%(default)s)")
    parser.add_argument("--nj", type=int, default=1, help="processes (%(default)s)")
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
