"""Scores the estimates of an experiment and writes `scores_<set>.csv`, RESULTS.md and report.html."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.config import Config, read_resolved
from mindaudio_ext.data.windows import windows_dir
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.score.report import write_report
from mindaudio_ext.score.results import told, write_results
from mindaudio_ext.score.score import SetScores, chosen_metrics, score_set, set_name, write_scores
from mindaudio_ext.score.summary import summarise


def parser() -> argparse.ArgumentParser:
    """Gives the command's arguments."""
    arguments = argparse.ArgumentParser(prog="python -m mindaudio_ext.bin.score", description=__doc__)
    arguments.add_argument("--expdir", type=Path, required=True, help="the experiment, with separated_<set>/")
    arguments.add_argument("--data", type=Path, nargs="+", required=True, help="data directories of the test sets")
    arguments.add_argument("--nj", type=int, default=1, help="processes")
    arguments.add_argument(
        "--cal_sdr", choices=("true", "false"), help="SDR, SIR, SAR and STOI too; default: the config's"
    )
    arguments.add_argument("--cal_pesq", choices=("true", "false"), help="PESQ too; default: the config's")
    arguments.add_argument("--reference_protocol", choices=("true", "false"), help="windows too; default: the config's")
    add_allow_pipes(arguments)
    arguments.add_argument("--command_line", metavar="TEXT", help="for RESULTS.md: the command; default: this one")
    return arguments


def run(args: argparse.Namespace) -> None:
    """Scores every set; raises InputError for wrong input."""
    names = [set_name(folder) for folder in args.data]
    if len(set(names)) < len(names):
        raise InputError(f"--data: two sets have one name in {', '.join(names)}")
    if args.nj < 1:
        raise InputError(f"--nj: must be at least 1, got {args.nj}")
    config = read_resolved(args.expdir / "config.yaml")
    switches = {name: getattr(args, name) for name in ("cal_sdr", "cal_pesq", "reference_protocol")}
    config = dataclasses.replace(config, **{name: value == "true" for name, value in switches.items() if value})
    sets = [scores for folder in args.data for scores in _score_protocols(folder, args, config)]
    command_line = args.command_line or _own_command()
    write_results(args.expdir, config, sets, command_line=command_line)
    write_report(args.expdir, config, sets, command_line=command_line, nj=args.nj)


def _score_protocols(folder: Path, args: argparse.Namespace, config: Config) -> list[SetScores]:
    """Scores a set whole and, when stage 3 made its windows, by the reference protocol; writes the csv files."""
    folders = {folder: chosen_metrics(cal_sdr=config.cal_sdr, cal_pesq=config.cal_pesq)}
    if config.reference_protocol and windows_dir(folder).is_dir():
        folders[windows_dir(folder)] = chosen_metrics(cal_sdr=False, cal_pesq=False)  # the reference told no other
    scored = []
    for data_dir, wanted in folders.items():
        name = set_name(data_dir)
        scores = score_set(
            separated_dir=args.expdir / f"separated_{name}",
            data_dir=data_dir,
            num_spks=config.num_spks,
            sample_rate=config.sample_rate,
            metrics=wanted,
            nj=args.nj,
            allow_pipes=args.allow_pipes == "true",
        )
        write_scores(scores, args.expdir / f"scores_{name}.csv")
        summary = summarise(scores)
        si_snri = told(summary.improvements["si_snr"].mean)
        print(f"{name}: {summary.n_scored} scored of {summary.n_utts}, SI-SNRi {si_snri} dB")
        scored.append(scores)
    return scored


def _own_command() -> str:
    return shlex.join(["python", "-m", "mindaudio_ext.bin.score", *sys.argv[1:]])


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(parser(), run)(argv)


if __name__ == "__main__":
    main()
