"""Makes a small copy of an experiment: what separating, scoring and exporting need, the parameters in float16.

OUT gets config.yaml, model.json, history.jsonl and checkpoints/best.ckpt, in which is the checkpoint that is decoded;
config.yaml says the shifts that are given.
"""

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.bin.options import add_shifts
from mindaudio_ext.config import save_config
from mindaudio_ext.decode.separate import Separator
from mindaudio_ext.errors import command
from mindaudio_ext.files import new_folder, require_new


def _run(args: argparse.Namespace) -> None:
    require_new(args.out)
    separator = Separator.from_expdir(args.expdir, args.model_path, device_target="CPU", shifts=args.shifts)
    from mindaudio_ext.models.checkpoint import save_parameters

    begun_with = separator.config.init_from  # like the folders below a path of one machine; its name is kept
    config = dataclasses.replace(
        separator.config,
        init_from=begun_with and Path(begun_with).name,
        corpus_dir=None,
        dump_dir="dump",
        model_path=None,
        decode_checkpoint="best",
        shifts=separator.shifts,
    )
    with new_folder(args.out) as folder:
        save_parameters(separator.model, folder / "checkpoints" / "best.ckpt", half=True)
        for name in ("model.json", "history.jsonl"):
            if (args.expdir / name).is_file():
                shutil.copyfile(args.expdir / name, folder / name)
        save_config(config, folder / "config.yaml")
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB, of {separator.checkpoint}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("expdir", type=Path, metavar="EXPDIR", help="the experiment, with config.yaml and checkpoints/")
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that is made; its name is the model's")
    parser.add_argument("--model_path", type=Path, metavar="CKPT", help="another checkpoint than the experiment's best")
    add_shifts(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
