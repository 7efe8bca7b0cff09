"""The doctor: reads all of a data directory, says what is in it and everything that is wrong with it.

Of a full published test set of LibriMix the unprocessed mixtures are scored too, and compared with what is known.
"""

import argparse

from mindaudio_ext.bin.arguments import add_allow_pipes, add_nj, not_empty, path
from mindaudio_ext.data.check_data import PICTURE, check_data_dir, draw_snr, report_folder
from mindaudio_ext.data.kaldi_dir import DataDir, read_data_dir
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.score.mixture_baseline import ALLOWED, TABLE, published_set, read_table, score_mixtures

_SHOWN = 20  # faults; of more, the number is said


def run(args: argparse.Namespace) -> None:
    """Prints what is in a data directory and what is wrong with it; raises InputError for faults."""
    if args.before_training == "true":
        _compare(read_data_dir(args.dir, allow_pipes=args.allow_pipes == "true", unwritten=True), args)
        return
    checked = check_data_dir(args.dir, nj=args.nj, allow_pipes=args.allow_pipes == "true")
    for line in checked.statistics:
        print(f"{args.dir}: {line}")
    if checked.snr:
        picture = report_folder(args.dir) / PICTURE
        draw_snr(checked, picture)
        print(f"{args.dir}: histogram of the SNR: {picture}")
    for line in checked.warnings:
        print(f"warning: {line}")
    for line in checked.faults[:_SHOWN]:
        print(f"fault: {line}")
    if checked.faults:
        raise InputError(f"{args.dir}: {len(checked.faults)} faults; the first: {checked.faults[0]}")
    _compare(checked.data, args)
    print(f"{args.dir}: no faults")


def _compare(data: DataDir, args: argparse.Namespace) -> None:
    """Compares the unprocessed mixtures of a full published set with its known scores."""
    published = published_set(data, read_table(args.golden))
    if published is None:
        print(f"{args.dir}: is no full published test set; scores of its mixtures are not known beforehand")
        return
    scores = score_mixtures(data, report_folder(args.dir), nj=args.nj)
    found = f"{args.dir}: {published.name}: the mixtures have {scores}; known: {published.known}"
    if not scores.misses(published.known):
        print(found)
    elif args.force == "true":
        print(f"warning: {found}")
    else:
        raise InputError(
            f"{found}; they are more than {ALLOWED} apart, so these are not LibriMix's data; --force true goes on"
        )


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="check_data", description=__doc__)
    arguments.add_argument("dir", type=not_empty, help="the data directory")
    add_nj(arguments)
    arguments.add_argument(
        "--before_training",
        choices=("true", "false"),
        default="false",
        help="only compare the scores, and only of a full published test set (%(default)s)",
    )
    arguments.add_argument(
        "--force",
        choices=("true", "false"),
        default="false",
        help="accept scores that are not the known ones (%(default)s)",
    )
    arguments.add_argument("--golden", type=path, default=TABLE, help="the table of known scores (the package's)")
    add_allow_pipes(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
