"""Stage 2: trains the model of a config on MindRecord sets."""

import argparse
import sys
from pathlib import Path

from mindaudio_ext.config import read_resolved
from mindaudio_ext.errors import command
from mindaudio_ext.train.launch import own_device


def act(args: argparse.Namespace) -> None:
    """Sets the device up and trains, as one of several ranks when `bin.launch` has started this process."""
    from mindaudio_ext.device import set_up_device

    config = read_resolved(args.config)
    set_up_device(config.device_target, *own_device(config.device_id))
    from mindaudio_ext.train.distributed import connect
    from mindaudio_ext.train.experiment import log_to
    from mindaudio_ext.train.loop import Trainer  # MindSpore, after its environment is set
    from mindaudio_ext.train.stop import Stopped

    ranks = connect()
    trainer = Trainer(config, train_dir=args.train, valid_dir=args.valid, expdir=args.expdir, ranks=ranks)
    log_to(args.expdir / "train.log" if ranks.is_first else None)
    try:
        trainer.run()
    except Stopped as stopped:
        sys.exit(stopped.status)


parser = argparse.ArgumentParser(prog="train", description=__doc__)
parser.add_argument("--config", type=Path, required=True, help="a whole config, as bin.config writes it")
parser.add_argument("--train", type=Path, required=True, help="MindRecord directory to train on")
parser.add_argument("--valid", type=Path, required=True, help="MindRecord directory to validate on")
parser.add_argument("--expdir", type=Path, required=True, help="the experiment's folder")
main = command(parser, act)

if __name__ == "__main__":
    main()
