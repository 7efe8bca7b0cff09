"""Exports an experiment's model as a MindIR graph for the host and compares it with the checkpoint."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.errors import command
from mindaudio_ext.export.mindir import export_mindir


def _run(args: argparse.Namespace) -> None:
    path, parity = export_mindir(
        args.expdir,
        args.data,
        model_path=args.model_path,
        segment=args.export_segment,
        allow_pipes=args.allow_pipes == "true",
    )
    if not parity.passed:
        print(f"export: error: {path.name} does not compute what the checkpoint does: {parity}", file=sys.stderr)
        sys.exit(1)
    print(f"{path}: {parity}")
    print("This graph holds the LSTM operator and is for the host; the graph for Ascend is a later step.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="export", description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True, help="the experiment, with config.yaml and checkpoints/")
    parser.add_argument("--data", type=Path, required=True, help="data directory; its first mixture is compared")
    parser.add_argument(
        "--model_path", type=Path, help="checkpoint; default: the config's model_path, or else checkpoints/best.ckpt"
    )
    parser.add_argument("--export_segment", type=float, metavar="SECONDS", help="input length; default: the config's")
    add_allow_pipes(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
