"""Makes a MindRecord directory of a data directory."""

import argparse

from mindaudio_ext.bin.options import add_allow_pipes
from mindaudio_ext.data.mindrecord import dump
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    manifest, written = dump(args.data, args.out, name=args.name, nj=args.nj, allow_pipes=args.allow_pipes == "true")
    size = sum(size for size, _ in manifest.digests.values())
    hours = sum(manifest.num_samples) / manifest.sample_rate / 3600
    print(
        f"{args.out}: {len(manifest.keys)} mixtures, {hours:.2f} h, {manifest.sample_rate} Hz, "
        f"{manifest.num_spks} sources, {size / 1e6:.0f} MB{'' if written else ' (was there)'}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dump", description=__doc__)
    parser.add_argument("--data", required=True, help="the data directory")
    parser.add_argument("--out", required=True, help="the MindRecord directory; its last part names the set")
    parser.add_argument("--name", help="name of the files; by default the set's")
    parser.add_argument("--nj", type=int, default=1, help="processes that read (%(default)s)")
    add_allow_pipes(parser)
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
