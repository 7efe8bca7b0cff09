"""Separates a test set with an experiment's model into EXPDIR/separated_<set>."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.decode.decode_set import CORES_A_PROCESS, decode_set
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    decoded = decode_set(
        args.expdir,
        args.data,
        model_path=args.model_path,
        device_target=args.device_target,
        nj=args.nj,
        ngpu=args.ngpu,
        allow_pipes=args.allow_pipes == "true",
    )
    print(f"{args.data}: {decoded.summary}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="decode", description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True, help="the experiment, with config.yaml and checkpoints/")
    parser.add_argument("--data", type=Path, required=True, help="the data directory; its last part names the set")
    parser.add_argument(
        "--model_path", type=Path, help="checkpoint; default: the config's model_path, or else checkpoints/best.ckpt"
    )
    parser.add_argument("--device_target", choices=("CPU", "Ascend"), help="default: what the config says")
    parser.add_argument(
        "--nj", type=int, default=1, help=f"processes at most, one for every {CORES_A_PROCESS} cores (%(default)s)"
    )
    parser.add_argument("--ngpu", type=int, default=1, help="devices, when they are not the CPU (%(default)s)")
    add_allow_pipes(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
