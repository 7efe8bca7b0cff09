"""Checks a data directory and says what is in it, or what is the first thing wrong."""

import argparse

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.data.kaldi_dir import validate_data_dir
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    found = validate_data_dir(
        args.dir, check_audio=args.no_audio == "false", nj=args.nj, allow_pipes=args.allow_pipes == "true"
    )
    parts = [f"{found.num_utts} utterances"]
    parts += [f"{found.hours:.2f} h", f"{found.sample_rate} Hz"] if found.sample_rate else ["audio not checked"]
    parts += [f"{found.num_spks} sources"]
    parts += [f"{found.speakers} speakers"] if found.speakers else []
    print(f"{args.dir}: valid, {', '.join(parts)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="validate_data_dir", description=__doc__)
    parser.add_argument("dir", help="the data directory")
    parser.add_argument(
        "--no_audio", choices=("true", "false"), default="false", help="do not read the signals (false)"
    )
    parser.add_argument("--nj", type=int, default=1, help="processes that read (%(default)s)")
    add_allow_pipes(parser)
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
