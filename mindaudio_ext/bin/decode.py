"""Separates a test set, and its windows for the reference protocol, into EXPDIR/separated_<set>."""

import argparse
from pathlib import Path

from mindaudio_ext.bin.arguments import (
    MOST_PROCESSES,
    add_allow_pipes,
    add_config,
    add_nj,
    add_shifts,
    path,
    run_config,
    whole_number,
)
from mindaudio_ext.config import Config
from mindaudio_ext.errors import command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.inference.decode_info import count_for, note_decoding
from mindaudio_ext.inference.decode_set import CORES_A_PROCESS, decode_set
from mindaudio_ext.keys import set_name
from mindaudio_ext.lock import locked
from mindaudio_ext.score.windows import make_windows, windows_dir


def run(args: argparse.Namespace) -> None:
    """Separates the set and its windows; raises InputError for wrong input."""
    experiment = Experiment(args.expdir)
    config = run_config(experiment.read_config(), args, "decoding", "scoring", "device")
    for data in (args.data, *_windows(args, config)):
        separated = experiment.separated(set_name(data))
        with locked(args.expdir, separated.path.name):
            decoded = decode_set(
                args.expdir,
                data,
                config=config,
                nj=args.nj,
                ngpu=args.ngpu,
                allow_pipes=args.allow_pipes == "true",
            )
            if decoded.num_made:
                note_decoding(separated, decoded, config, multiply_adds=count_for(config))
        print(f"{data}: {decoded.summary}")


def _windows(args: argparse.Namespace, config: Config) -> list[Path]:
    """Makes the set's windows for the reference protocol; gives their data directory when there are any."""
    if not config.reference_protocol:
        return []
    with locked(windows_dir(args.data).parent / "wav", windows_dir(args.data).name):
        counts = make_windows(
            args.data, sample_rate=config.sample_rate, nj=args.nj, allow_pipes=args.allow_pipes == "true"
        )
    used = f"{counts.num_used} of {counts.num_utts} mixtures are 4 to 12 s long"
    print(f"{windows_dir(args.data)}: {counts.num_windows} windows; {used}")
    return [windows_dir(args.data)] if counts.num_windows > counts.num_silent else []


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="decode", description=__doc__)
    arguments.add_argument(
        "--expdir", type=path, required=True, help="the experiment, with config.yaml and checkpoints/"
    )
    add_config(arguments, "how often, from which checkpoint and where to decode")
    arguments.add_argument("--data", type=path, required=True, help="the data directory; its last part names the set")
    arguments.add_argument(
        "--model_path", type=path, help="checkpoint; default: the config's model_path, or else its decode_checkpoint"
    )
    arguments.add_argument("--device_target", choices=("CPU", "Ascend"), help="default: what the config says")
    add_shifts(arguments)
    arguments.add_argument(
        "--reference_protocol", choices=("true", "false"), help="4 s windows too; default: what the config says"
    )
    add_nj(arguments, f"processes at most, one for every {CORES_A_PROCESS} cores")
    number = whole_number(1, MOST_PROCESSES)
    arguments.add_argument("--ngpu", type=number, default=1, help="devices, when they are not the CPU (%(default)s)")
    add_allow_pipes(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
