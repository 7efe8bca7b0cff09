"""Stage 2: trains the model of a config on MindRecord sets."""

import argparse
import sys
from contextlib import nullcontext

from mindaudio_ext import log
from mindaudio_ext.bin.arguments import path
from mindaudio_ext.config import read_resolved
from mindaudio_ext.errors import command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.lock import locked
from mindaudio_ext.train.launch import own_device


def run(args: argparse.Namespace) -> None:
    """Sets the device up and trains, as one of several ranks when `bin.launch` has started this process."""
    from mindaudio_ext.device import set_up_device

    config = read_resolved(args.config)
    set_up_device(config.device_target, *own_device(config.device_id))
    from mindaudio_ext.train.distributed import connect
    from mindaudio_ext.train.loop import Trainer  # MindSpore, after its environment is set
    from mindaudio_ext.train.stop import Stopped

    ranks = connect()
    with locked(args.expdir) if ranks.is_first else nullcontext():
        trainer = Trainer(config, train_dir=args.train, valid_dir=args.valid, expdir=args.expdir, ranks=ranks)
        log.of_training(Experiment(args.expdir).train_log if ranks.is_first else None)
        try:
            trainer.run()
        except Stopped as stopped:
            sys.exit(stopped.status)


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="train", description=__doc__)
    arguments.add_argument("--config", type=path, required=True, help="a whole config, as bin.config writes it")
    arguments.add_argument("--train", type=path, required=True, help="MindRecord directory to train on")
    arguments.add_argument("--valid", type=path, required=True, help="MindRecord directory to validate on")
    arguments.add_argument("--expdir", type=path, required=True, help="the experiment's folder")
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
