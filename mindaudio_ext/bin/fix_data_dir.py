"""Makes a data directory consistent: sorted files without double lines, with the mixtures that all of them have."""

import argparse
import logging

from mindaudio_ext.bin.arguments import not_empty
from mindaudio_ext.data.fix import fix_data_dir
from mindaudio_ext.errors import command
from mindaudio_ext.files import BACKUP

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> None:
    """Mends the directory and prints what was left out; raises InputError for what cannot be mended."""
    fixed = fix_data_dir(args.dir)
    for line in fixed.left_out:
        log.info("fix_data_dir: left out: %s", line)
    kept = f"all {fixed.total}" if fixed.kept == fixed.total else f"{fixed.kept} of {fixed.total}"
    changed = f"changed {', '.join(fixed.changed)}; old files are in {args.dir}/{BACKUP}" if fixed.changed else ""
    print(f"{args.dir}: kept {kept} mixtures, {changed or 'nothing to change'}")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="fix_data_dir", description=__doc__)
    arguments.add_argument("dir", type=not_empty, help="the data directory")
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
