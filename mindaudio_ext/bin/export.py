"""Exports an experiment's model as graphs for the host, an Ascend 310 and ONNX, and proves each."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.errors import command
from mindaudio_ext.export.kit import write_programs
from mindaudio_ext.export.mindir import SUFFIXES, export_graphs


def _run(args: argparse.Namespace) -> None:
    graphs = export_graphs(
        args.expdir,
        args.data,
        model_path=args.model_path,
        segments=args.export_segment,
        batch=args.export_batch,
        targets=args.export_targets,
        utterances=args.export_utterances,
        allow_pipes=args.allow_pipes == "true",
    )
    for graph in graphs:
        if not graph.proof.passed:
            name = graph.path.name
            print(f"export: error: {name} does not compute what the checkpoint does: {graph.proof}", file=sys.stderr)
            sys.exit(1)
        print(f"{graph.path}: {graph.proof}")
    print(f"{write_programs(args.expdir / 'export')}: runs them over a test set")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="export", description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True, help="the experiment, with config.yaml and checkpoints/")
    parser.add_argument("--data", type=Path, required=True, help="the test set on which the graphs are proved")
    parser.add_argument(
        "--model_path", type=Path, help="checkpoint; default: the config's model_path, or else checkpoints/best.ckpt"
    )
    lengths = {"type": float, "metavar": "SECONDS", "help": "input lengths; default: the config's, as those below"}
    parser.add_argument("--export_segment", nargs="+", **lengths)
    parser.add_argument("--export_batch", type=int, metavar="N", help="mixtures that a graph takes at once")
    parser.add_argument("--export_targets", nargs="+", choices=SUFFIXES, help="the graphs to make")
    parser.add_argument(
        "--export_utterances", type=int, metavar="N", help="test utterances on which the Ascend graph is proved"
    )
    add_allow_pipes(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
