"""Runs a module of this package, such as mindaudio_ext.bin.train, in several processes on one or several machines."""

import argparse
import sys
from pathlib import Path

from mindaudio_ext.errors import command
from mindaudio_ext.train.launch import Cluster, launch


def act(args: argparse.Namespace) -> None:
    """Launches and leaves with the status of the processes."""
    cluster = Cluster(
        args.ngpu,
        num_nodes=args.num_nodes,
        node_rank=args.node_rank,
        master_addr=args.master_addr,
        master_port=args.master_port,
    )
    sys.exit(launch(args.module, args.arguments, cluster=cluster, log_dir=args.log_dir.absolute()))


parser = argparse.ArgumentParser(prog="launch", description=__doc__)
parser.add_argument("--ngpu", type=int, required=True, help="processes on each machine, one for a device")
parser.add_argument("--num_nodes", type=int, default=1, help="machines")
parser.add_argument("--node_rank", type=int, default=0, help="this machine, from 0")
parser.add_argument("--master_addr", default="127.0.0.1", help="address of machine 0")
parser.add_argument("--master_port", type=int, help="a port of machine 0, the next one is used too; needed for several")
parser.add_argument("--log_dir", type=Path, required=True, help="folder of the processes' logs")
parser.add_argument("module", help="as after python -m")
parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the module")
main = command(parser, act)

if __name__ == "__main__":
    main()
