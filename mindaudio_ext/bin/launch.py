"""Runs a module of this package, such as mindaudio_ext.bin.train, in several processes on one or several machines."""

import argparse
import sys

from mindaudio_ext.bin.arguments import MOST_PROCESSES, path, whole_number
from mindaudio_ext.errors import command
from mindaudio_ext.train.launch import Cluster, launch


def run(args: argparse.Namespace) -> None:
    """Launches and leaves with the status of the processes."""
    log_dir = args.log_dir.absolute()
    if args.slurm:
        cluster = Cluster.of_slurm(args.ngpu)
    else:
        cluster = Cluster(
            args.ngpu,
            num_nodes=args.num_nodes,
            node_rank=args.node_rank,
            master_addr=args.master_addr,
            master_port=args.master_port,
        )
    if cluster.num_nodes > 1:  # they may share the folder, and each removes the logs of an earlier launch
        log_dir = log_dir / f"node_{cluster.node_rank}"
    sys.exit(launch(args.module, args.arguments, cluster=cluster, log_dir=log_dir))


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="launch", description=__doc__)
    arguments.add_argument(
        "--ngpu",
        type=whole_number(1, MOST_PROCESSES),
        metavar="N",
        required=True,
        help="processes on each machine, one for a device",
    )
    arguments.add_argument("--num_nodes", type=whole_number(1, MOST_PROCESSES), metavar="N", default=1, help="machines")
    arguments.add_argument(
        "--node_rank", type=whole_number(0, MOST_PROCESSES - 1), metavar="N", default=0, help="this machine, from 0"
    )
    arguments.add_argument("--master_addr", default="127.0.0.1", help="address of machine 0")
    arguments.add_argument(
        "--master_port",
        type=whole_number(1024, 65534),
        metavar="PORT",
        help="a port of machine 0, the next one is used too; needed for several",
    )
    arguments.add_argument(
        "--slurm", action="store_true", help="this is a task of srun, one on each node: Slurm says which machines"
    )
    arguments.add_argument("--log_dir", type=path, required=True, help="folder of the processes' logs")
    arguments.add_argument("module", help="as after python -m")
    arguments.add_argument("arguments", nargs=argparse.REMAINDER, help="of the module")
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
