"""Converts checkpoints of other toolkits into an experiment, and an experiment into Asteroid's checkpoint.

IN is Asteroid's .pth as its `serialize()` writes it, a .ckpt of the DPRNN for MindSpore of 2022, or, with --mapping,
any PyTorch state dict, a folder of them (SpeechBrain), or any MindSpore .ckpt. OUT becomes a folder like exp/NAME, with
which decoding, scoring, export and mindaudio-separate go on. PyTorch is not needed, and nothing in a file is ever run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.errors import InputError, command


def run(args: argparse.Namespace) -> None:
    """Converts in the direction that the arguments say; raises InputError for wrong input."""
    if args.to:
        if args.mapping or args.sample_rate:
            raise InputError("--mapping and --sample_rate belong to the other direction; leave them out with --to")
        _to_asteroid(args.input, args.output)
    else:
        _from_elsewhere(args)


def _from_elsewhere(args: argparse.Namespace) -> None:
    from mindaudio_ext.convert.torch_file import is_torch_file

    source, zeros = str(args.input), ()
    if args.mapping:
        values, parameters, zeros = _by_mapping(args)
    elif is_torch_file(args.input):
        values, parameters = _asteroids(args)
    else:
        values, parameters = _references(args)
    _set_up_mindspore()
    from mindaudio_ext.convert.experiment import write_experiment

    n_parameters = write_experiment(args.output, values, parameters, source=source, zeros=zeros)
    print(f"{args.output}: {values.get('separator', 'model')}, {n_parameters} parameters, from {source}")


def _by_mapping(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, np.ndarray], tuple[str, ...]]:
    """Gives config values, parameters by our names, and the names of those that become 0."""
    from mindaudio_ext.convert.mapping import mapped_parameters, read_mapping

    mapping = read_mapping(args.mapping)
    values = dict(mapping.config)
    if args.sample_rate:
        values["sample_rate"] = args.sample_rate
    _set_up_mindspore()
    return values, mapped_parameters(args.input, mapping), mapping.zeros


def _asteroids(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from mindaudio_ext.convert import asteroid
    from mindaudio_ext.convert.torch_file import read_torch_file

    source, content = str(args.input), read_torch_file(args.input)
    if not asteroid.is_asteroid(content):
        raise InputError(f"{source}: no checkpoint of Asteroid's serialize(); give --mapping FILE, see --help")
    values = asteroid.config_values(content, source, sample_rate=args.sample_rate)
    return values, asteroid.our_parameters(content, source)


def _references(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from mindaudio_ext.convert import reference
    from mindaudio_ext.convert.mapping import read_mindspore

    source = str(args.input)
    if args.input.suffix != ".ckpt":
        raise InputError(f"{source}: not a whole PyTorch file; a folder of several needs --mapping FILE, see --help")
    _set_up_mindspore()
    stored = read_mindspore(args.input)
    if not reference.is_reference(stored):
        raise InputError(f"{source}: not a .ckpt of the 2022 DPRNN; any other needs --mapping FILE, see --help")
    values = reference.config_values(stored, source, sample_rate=args.sample_rate)
    return values, reference.our_parameters(stored, source)


def _to_asteroid(expdir: Path, output: Path) -> None:
    if output.exists():
        raise InputError(f"{output}: is already there; give another name, or remove it")
    if not (expdir / "config.yaml").is_file():
        raise InputError(f"{expdir}: no model here: config.yaml is missing")
    _set_up_mindspore()
    from mindaudio_ext.convert.asteroid import to_asteroid
    from mindaudio_ext.convert.experiment import read_experiment
    from mindaudio_ext.convert.torch_writer import write_torch_file

    config, parameters = read_experiment(expdir)
    content = to_asteroid(config, parameters, str(expdir))
    write_torch_file(output, content)
    print(f"{output}: {content['model_name']}, {len(content['state_dict'])} tensors, from {expdir}")


def _set_up_mindspore() -> None:
    """MindSpore only holds the parameters here, so a CPU will always do."""
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU")


def parser() -> argparse.ArgumentParser:
    """Gives the command's arguments."""
    from mindaudio_ext.convert import mapping  # for the help, which is that module's text

    arguments = argparse.ArgumentParser(
        prog="python -m mindaudio_ext.bin.convert",
        description=__doc__,
        epilog=f"Mapping files. {mapping.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("input", type=Path, metavar="IN", help="a checkpoint, or with --to an experiment")
    arguments.add_argument(
        "output", type=Path, metavar="OUT", help="the experiment, or with --to a .pth; not there yet"
    )
    arguments.add_argument("--to", choices=("asteroid",), help="convert an experiment to this toolkit")
    arguments.add_argument("--mapping", type=Path, metavar="FILE.yaml", help="what the model is, and how names change")
    arguments.add_argument("--sample_rate", type=int, metavar="HZ", help="for a file that does not say it")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(parser(), run)(argv)


if __name__ == "__main__":
    main()
