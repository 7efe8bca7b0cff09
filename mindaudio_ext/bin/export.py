"""Exports an experiment's model as graphs for the host, an Ascend 310 and ONNX, and proves each."""

import argparse
import logging
import sys
from typing import Any

from mindaudio_ext.bin.arguments import add_allow_pipes, add_config, path, positive_number, run_config, whole_number
from mindaudio_ext.config import Config
from mindaudio_ext.errors import command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.export.kit import write_programs
from mindaudio_ext.export.mindir import SUFFIXES, export_graphs
from mindaudio_ext.export.mindir_file import VERSIONS
from mindaudio_ext.lock import locked

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> None:
    """Exports the graphs; raises InputError for wrong input. One that computes something else ends with status 1."""
    experiment = Experiment(args.expdir)
    config = run_config(experiment.read_config(), args, "decoding", "export")
    with locked(args.expdir, experiment.export.name):
        _export(args, config)


def _export(args: argparse.Namespace, config: Config) -> None:
    graphs = export_graphs(
        args.expdir,
        args.data,
        config=config,
        mindir_version=args.mindir_version,
        allow_pipes=args.allow_pipes == "true",
    )
    for graph in graphs:
        if not graph.proof.passed:
            name = graph.path.name
            log.error("export: error: %s does not compute what the checkpoint does: %s", name, graph.proof)
            sys.exit(1)
        print(f"{graph.path}: {graph.proof}")
    print(f"{write_programs(Experiment(args.expdir).export)}: runs them over a test set")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="export", description=__doc__)
    arguments.add_argument(
        "--expdir", type=path, required=True, help="the experiment, with config.yaml and checkpoints/"
    )
    add_config(arguments, "what to export")
    arguments.add_argument("--data", type=path, required=True, help="the test set on which the graphs are proved")
    arguments.add_argument(
        "--model_path", type=path, help="checkpoint; default: the config's model_path, or else its decode_checkpoint"
    )
    lengths: dict[str, Any] = {
        "type": positive_number(600),
        "metavar": "SECONDS",
        "help": "input lengths; default: the config's, as those below",
    }
    arguments.add_argument("--export_segment", nargs="+", **lengths)
    arguments.add_argument(
        "--export_batch", type=whole_number(1, 65536), metavar="N", help="mixtures that a graph takes at once"
    )
    arguments.add_argument("--export_targets", nargs="+", choices=SUFFIXES, help="the graphs to make")
    arguments.add_argument(
        "--export_utterances",
        type=whole_number(1, 1_000_000),
        metavar="N",
        help="test utterances on which the Ascend graph is proved",
    )
    arguments.add_argument(
        "--mindir_version",
        type=int,
        choices=VERSIONS,
        default=1,
        help="of the Ascend graph's file: every MindSpore Lite reads 1, newer ones also 2 (%(default)s)",
    )
    add_allow_pipes(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
