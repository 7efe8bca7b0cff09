"""Converts checkpoints of other toolkits into an experiment, and an experiment into Asteroid's checkpoint.

IN is Asteroid's .pth as its `serialize()` or `save_publishable()` writes it, a model of SpeechBrain's, ESPnet's or
TDANet's authors as they publish it, a .ckpt of the DPRNN for MindSpore of 2022, or, with --mapping, any PyTorch state
dict, a folder of them, or any MindSpore .ckpt. OUT becomes a folder like exp/NAME, with which decoding, scoring, export
and mindaudio-separate go on. IN may also be the name of a public model, hf:ORG/NAME[@REVISION]; without OUT it is kept
in the cache then, and where is printed. PyTorch is not needed, and nothing in a file is ever run.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.bin.arguments import add_sample_rate, path
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.hub.name import is_hub_name
from mindaudio_ext.output_folder import new_folder, require_new


def run(args: argparse.Namespace) -> None:
    """Converts in the direction that the arguments say; raises InputError for wrong input."""
    if is_hub_name(str(args.input)):
        _public(args)
        return
    if args.output is None:
        raise InputError("needs OUT; see --help")
    if args.to:
        if args.mapping or args.sample_rate:
            raise InputError("--mapping and --sample_rate belong to the other direction; leave them out with --to")
        _to_asteroid(args.input, args.output)
    else:
        _from_elsewhere(args)


def _public(args: argparse.Namespace) -> None:
    from mindaudio_ext.hub.model import public_model

    if args.to or args.mapping:
        raise InputError(f"{args.input}: --to and --mapping are for files; leave them out with a public model's name")
    if args.output is not None:
        require_new(args.output)
    expdir = public_model(str(args.input), sample_rate=args.sample_rate)
    if args.output is None:
        print(expdir)
        return
    with new_folder(args.output) as folder:
        shutil.copytree(expdir, folder, dirs_exist_ok=True)
    print(f"{args.output}: {Experiment(args.output).read_config().separator}, from {args.input}")


def _from_elsewhere(args: argparse.Namespace) -> None:
    from mindaudio_ext.convert.torch_file import is_torch_file

    source, zeros = str(args.input), ()  # type: str, tuple[str, ...]
    if args.mapping:
        values, parameters, zeros = _by_mapping(args)
    elif args.input.is_dir() or is_torch_file(args.input):
        values, parameters = _published(args)
    else:
        values, parameters = _references(args)
    _set_up_mindspore()
    from mindaudio_ext.convert.transfer import write_experiment

    n_parameters = write_experiment(args.output, values, parameters, source=source, zeros=zeros)
    print(f"{args.output}: {values.get('separator', 'model')}, {n_parameters} parameters, from {source}")


def _by_mapping(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, np.ndarray], tuple[str, ...]]:
    """Returns config values, parameters by our names, and the names of those that become 0."""
    from mindaudio_ext.convert.mapping import mapped_parameters, read_mapping

    mapping = read_mapping(args.mapping)
    values = dict(mapping.config)
    if args.sample_rate:
        values["sample_rate"] = args.sample_rate
    _set_up_mindspore()
    return values, mapped_parameters(args.input, mapping), mapping.zeros


def _published(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from mindaudio_ext.convert.public import convert_public

    _set_up_mindspore()  # the separators, which are asked whose model this is, import it
    return convert_public(args.input, sample_rate=args.sample_rate)


def _references(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from mindaudio_ext.convert import dprnn_2022
    from mindaudio_ext.convert.mapping import read_mindspore

    source = str(args.input)
    if args.input.suffix != ".ckpt":
        raise InputError(f"{source}: not a whole PyTorch file; see --help")
    _set_up_mindspore()
    stored = read_mindspore(args.input)
    if not dprnn_2022.is_reference(stored):
        raise InputError(f"{source}: not a .ckpt of the 2022 DPRNN; any other needs --mapping FILE, see --help")
    values = dprnn_2022.config_values(stored, source, sample_rate=args.sample_rate)
    return values, dprnn_2022.our_parameters(stored, source)


def _to_asteroid(expdir: Path, output: Path) -> None:
    if output.exists():
        raise InputError(f"{output}: is already there; give another name, or remove it")
    if not Experiment(expdir).has_config:
        raise InputError(f"{expdir}: no model here: config.yaml is missing")
    _set_up_mindspore()
    from mindaudio_ext.convert.asteroid import to_asteroid
    from mindaudio_ext.convert.torch_writer import write_torch_file
    from mindaudio_ext.convert.transfer import read_model

    config, parameters = read_model(expdir)
    content = to_asteroid(config, parameters, str(expdir))
    write_torch_file(output, content)
    print(f"{output}: {content['model_name']}, {len(content['state_dict'])} tensors, from {expdir}")


def _set_up_mindspore() -> None:
    """MindSpore only holds the parameters here, so a CPU will always do."""
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    from mindaudio_ext.convert import mapping  # for the help, which is that module's text

    arguments = argparse.ArgumentParser(
        prog="python -m mindaudio_ext.bin.convert",
        description=__doc__,
        epilog=f"Mapping files. {mapping.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument(
        "input", type=path, metavar="IN", help="a checkpoint, hf:ORG/NAME, or with --to an experiment"
    )
    arguments.add_argument(
        "output",
        type=path,
        nargs="?",
        metavar="OUT",
        help="the experiment, or with --to a .pth; not there yet; may be left out with hf:ORG/NAME",
    )
    arguments.add_argument("--to", choices=("asteroid",), help="convert an experiment to this toolkit")
    arguments.add_argument("--mapping", type=path, metavar="FILE.yaml", help="what the model is, and how names change")
    add_sample_rate(arguments, "for a file that does not say it", default=None)
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
