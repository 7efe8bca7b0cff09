"""Scores the estimates of an experiment and writes `scores_<set>.csv` and RESULTS.md."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.config import read_resolved
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.score.results import summarise, write_results
from mindaudio_ext.score.score import score_set, set_name, write_scores


def parser() -> argparse.ArgumentParser:
    """Gives the command's arguments."""
    arguments = argparse.ArgumentParser(prog="python -m mindaudio_ext.bin.score", description=__doc__)
    arguments.add_argument("--expdir", type=Path, required=True, help="the experiment, with separated_<set>/")
    arguments.add_argument("--data", type=Path, nargs="+", required=True, help="data directories of the test sets")
    arguments.add_argument("--nj", type=int, default=1, help="processes")
    arguments.add_argument("--cal_sdr", choices=("true", "false"), help="SDR too; default: what the config says")
    arguments.add_argument("--command_line", metavar="TEXT", help="for RESULTS.md: the command; default: this one")
    add_allow_pipes(arguments)
    return arguments


def run(args: argparse.Namespace) -> None:
    """Scores every set; raises InputError for wrong input."""
    names = [set_name(folder) for folder in args.data]
    if len(set(names)) < len(names):
        raise InputError(f"--data: two sets have one name in {', '.join(names)}")
    if args.nj < 1:
        raise InputError(f"--nj: must be at least 1, got {args.nj}")
    config = read_resolved(args.expdir / "config.yaml")
    if args.cal_sdr:
        config = dataclasses.replace(config, cal_sdr=args.cal_sdr == "true")
    sets = []
    for name, folder in zip(names, args.data):
        scores = score_set(
            separated_dir=args.expdir / f"separated_{name}",
            data_dir=folder,
            num_spks=config.num_spks,
            sample_rate=config.sample_rate,
            cal_sdr=config.cal_sdr,
            nj=args.nj,
            allow_pipes=args.allow_pipes == "true",
        )
        write_scores(scores, args.expdir / f"scores_{name}.csv")
        summary = summarise(scores)
        print(f"{name}: {summary.n_scored} scored of {summary.n_utts}, SI-SNRi {summary.si_snri:.2f} dB")
        sets.append(scores)
    write_results(args.expdir, config, sets, command_line=args.command_line or _own_command())


def _own_command() -> str:
    return shlex.join(["python", "-m", "mindaudio_ext.bin.score", *sys.argv[1:]])


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(parser(), run)(argv)


if __name__ == "__main__":
    main()
