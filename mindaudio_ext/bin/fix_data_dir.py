"""Makes a data directory consistent: sorted files without double lines, with the mixtures that all of them have."""

import argparse
import sys

from mindaudio_ext.data.fix import BACKUP, fix_data_dir
from mindaudio_ext.errors import command


def _run(args: argparse.Namespace) -> None:
    fixed = fix_data_dir(args.dir)
    for line in fixed.left_out:
        print(f"fix_data_dir: left out: {line}", file=sys.stderr)
    kept = f"all {fixed.total}" if fixed.kept == fixed.total else f"{fixed.kept} of {fixed.total}"
    changed = f"changed {', '.join(fixed.changed)}; old files are in {args.dir}/{BACKUP}" if fixed.changed else ""
    print(f"{args.dir}: kept {kept} mixtures, {changed or 'nothing to change'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fix_data_dir", description=__doc__)
    parser.add_argument("dir", help="the data directory")
    return parser


main = command(_parser(), _run)

if __name__ == "__main__":
    main()
