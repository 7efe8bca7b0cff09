"""Separates a test set, and its windows for the reference protocol, into EXPDIR/separated_<set>."""

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_allow_pipes, add_shifts
from mindaudio_ext.config import Config
from mindaudio_ext.data.windows import make_windows, windows_dir
from mindaudio_ext.decode.decode_set import CORES_A_PROCESS, decode_set
from mindaudio_ext.decode.notes import count_for, note_decoding
from mindaudio_ext.decode.separate import read_experiment
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    config = read_experiment(args.expdir)
    config = dataclasses.replace(config, device_target=args.device_target or config.device_target)
    if args.shifts is not None:
        config = dataclasses.replace(config, shifts=args.shifts)
    if args.reference_protocol:
        config = dataclasses.replace(config, reference_protocol=args.reference_protocol == "true")
    for data in (args.data, *_windows(args, config)):
        decoded = decode_set(
            args.expdir,
            data,
            model_path=args.model_path,
            device_target=args.device_target,
            shifts=args.shifts,
            nj=args.nj,
            ngpu=args.ngpu,
            allow_pipes=args.allow_pipes == "true",
        )
        if decoded.num_made:
            note_decoding(
                args.expdir / f"separated_{os.path.basename(os.path.abspath(data))}",
                decoded,
                config,
                multiply_adds=count_for(config),
            )
        print(f"{data}: {decoded.summary}")


def _windows(args: argparse.Namespace, config: Config) -> list[Path]:
    """Makes the set's windows for the reference protocol; gives their data directory when there are any."""
    if not config.reference_protocol:
        return []
    counts = make_windows(args.data, sample_rate=config.sample_rate, nj=args.nj, allow_pipes=args.allow_pipes == "true")
    used = f"{counts.num_used} of {counts.num_utts} mixtures are 4 to 12 s long"
    print(f"{windows_dir(args.data)}: {counts.num_windows} windows; {used}")
    return [windows_dir(args.data)] if counts.num_windows > counts.num_silent else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="decode", description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True, help="the experiment, with config.yaml and checkpoints/")
    parser.add_argument("--data", type=Path, required=True, help="the data directory; its last part names the set")
    parser.add_argument(
        "--model_path", type=Path, help="checkpoint; default: the config's model_path, or else checkpoints/best.ckpt"
    )
    parser.add_argument("--device_target", choices=("CPU", "Ascend"), help="default: what the config says")
    add_shifts(parser)
    parser.add_argument(
        "--reference_protocol", choices=("true", "false"), help="4 s windows too; default: what the config says"
    )
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
