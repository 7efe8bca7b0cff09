"""Scores the estimates of an experiment and writes `scores_<set>.csv`, RESULTS.md and report.html."""

import argparse
import shlex
from contextlib import ExitStack
from pathlib import Path

from mindaudio_ext.bin.arguments import add_allow_pipes, add_config, add_nj, path, run_config
from mindaudio_ext.config import Config, read_resolved
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.keys import set_name
from mindaudio_ext.lock import locked
from mindaudio_ext.score.conversations import write_conversation_scores
from mindaudio_ext.score.report import write_report
from mindaudio_ext.score.results import format_score, format_silent, write_results
from mindaudio_ext.score.score import SetScores, chosen_metrics, score_set, write_scores
from mindaudio_ext.score.summary import summarise
from mindaudio_ext.score.windows import windows_dir


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="python -m mindaudio_ext.bin.score", description=__doc__)
    arguments.add_argument("--expdir", type=path, required=True, help="the experiment, with separated_<set>/")
    add_config(arguments, "what to score")
    arguments.add_argument("--data", type=path, nargs="+", required=True, help="data directories of the test sets")
    add_nj(arguments)
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
    experiment = Experiment(args.expdir)
    config = run_config(read_resolved(experiment.config_file), args, "scoring")
    with ExitStack() as locks:
        for part in ("score", *(experiment.separated(name).path.name for name in names)):
            locks.enter_context(locked(args.expdir, part))
        sets = [scores for folder in args.data for scores in _score_protocols(folder, args, config)]
        command_line = args.command_line or shlex.join(["python", "-m", "mindaudio_ext.bin.score", *args.words])
        write_results(args.expdir, config, sets, command_line=command_line)
        write_report(args.expdir, config, sets, command_line=command_line, nj=args.nj)


def _score_protocols(folder: Path, args: argparse.Namespace, config: Config) -> list[SetScores]:
    """Scores a set whole and, when stage 3 made its windows, by the reference protocol; writes the csv files."""
    experiment = Experiment(args.expdir)
    folders = {folder: chosen_metrics(config)}
    if config.reference_protocol and windows_dir(folder).is_dir():
        folders[windows_dir(folder)] = ()  # the reference scored SI-SNR alone
    scored = []
    for data_dir, wanted in folders.items():
        name = set_name(data_dir)
        scores = score_set(
            separated_dir=experiment.separated(name).path,
            data_dir=data_dir,
            num_spks=config.num_spks,
            sample_rate=config.sample_rate,
            metrics=wanted,
            nj=args.nj,
            allow_pipes=args.allow_pipes == "true",
        )
        write_scores(scores, experiment.scores(name))
        if scores.conversations:
            write_conversation_scores(scores.conversations, experiment.conversation_scores(name))
        summary = summarise(scores)
        si_snri = format_score(summary.improvements["si_snr"].mean)
        print(f"{name}: {summary.n_scored} scored of {summary.n_utts}, SI-SNRi {si_snri} dB{format_silent(scores)}")
        scored.append(scores)
    return scored


main = command(parser, run)

if __name__ == "__main__":
    main()
