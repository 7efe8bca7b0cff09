"""Makes a small copy of an experiment: what separating, scoring and exporting need, the parameters in float16.

OUT gets config.yaml, model.json, history.jsonl and checkpoints/best.ckpt, in which is the checkpoint that is decoded.
"""

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.config import save_config
from mindaudio_ext.decode.separate import Separator
from mindaudio_ext.errors import InputError, command


def _run(args: argparse.Namespace) -> None:
    if args.out.exists():
        raise InputError(f"{args.out}: is already there; nothing was written")
    separator = Separator.from_expdir(args.expdir, args.model_path, device_target="CPU")
    from mindaudio_ext.models.checkpoint import save_parameters

    begun_with = separator.config.init_from  # a path of one machine: its name is kept
    config = dataclasses.replace(
        separator.config,
        model_path=None,
        decode_checkpoint="best",
        init_from=begun_with and Path(begun_with).name,
        shifts=args.shifts or separator.config.shifts,
    )
    save_parameters(separator.model, args.out / "checkpoints" / "best.ckpt", half=True)
    for name in ("model.json", "history.jsonl"):
        if (args.expdir / name).is_file():
            shutil.copyfile(args.expdir / name, args.out / name)
    save_config(config, args.out / "config.yaml")
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB, of {separator.checkpoint}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("expdir", type=Path, metavar="EXPDIR", help="the experiment, with config.yaml and checkpoints/")
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that is made; its name is the model's")
    parser.add_argument("--model_path", type=Path, metavar="CKPT", help="another checkpoint than the experiment's best")
    parser.add_argument("--shifts", type=int, metavar="N", help="what the copy's config says; default: as there")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
