"""Makes one set of mixtures from speech in LibriSpeech's layout."""

import argparse
import logging

from mindaudio_ext.bin.arguments import add_speech_set, read_speech, whole_number
from mindaudio_ext.corpora.mixture_plan import Parameters
from mindaudio_ext.corpora.mixture_sets import make_mixtures
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import shared_speakers
from mindaudio_ext.errors import command

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> None:
    """Makes the set; raises InputError for wrong input."""
    speech = read_speech(args)
    parameters = Parameters(args.set, args.n_mixtures, args.num_spks, args.sample_rate, args.seed)
    data_dir = make_mixtures(
        speech.utterances, args.data, parameters, corpus=speech.corpus, sexes=speech.sexes, nj=args.nj
    )
    for other, count in shared_speakers(data_dir).items():
        log.warning("%s shares %d speakers with %s; scores will be optimistic", args.set, count, other)
    print(f"{data_dir}: {len(read_data_dir(data_dir).keys)} mixtures of {args.num_spks} speakers")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="make_mixtures", description=__doc__)
    add_speech_set(arguments)
    number = whole_number(1, 10_000_000)
    arguments.add_argument("--n_mixtures", type=number, metavar="N", required=True, help="mixtures to make")
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
