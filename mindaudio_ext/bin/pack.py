"""Makes a small copy of an experiment: what separating, scoring and exporting need, the parameters in float16.

OUT gets config.yaml, model.json, history.jsonl and checkpoints/best.ckpt, in which is the checkpoint that is decoded;
config.yaml says the shifts that are given.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path

from mindaudio_ext.bin.arguments import add_shifts, path
from mindaudio_ext.config import save_config
from mindaudio_ext.errors import command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.output_folder import new_folder, require_new


def run(args: argparse.Namespace) -> None:
    """Writes the copy; raises InputError for a folder that is there."""
    require_new(args.out)
    separator = Separator.from_expdir(args.expdir, args.model_path, device_target="CPU", shifts=args.shifts)
    from mindaudio_ext.models.parameters import save_parameters

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
    given = Experiment(args.expdir)
    with new_folder(args.out) as folder:
        packed = Experiment(folder)
        save_parameters(separator.model, packed.checkpoint(config.decode_checkpoint), half=True)
        for file, copy in ((given.facts, packed.facts), (given.history, packed.history)):
            if file.is_file():
                shutil.copyfile(file, copy)
        save_config(config, packed.config_file)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB, of {separator.checkpoint}")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(
        prog="pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "expdir", type=path, metavar="EXPDIR", help="the experiment, with config.yaml and checkpoints/"
    )
    arguments.add_argument("out", type=path, metavar="OUT", help="a folder that is made; its name is the model's")
    arguments.add_argument("--model_path", type=path, metavar="CKPT", help="another checkpoint than the one it decodes")
    add_shifts(arguments)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
