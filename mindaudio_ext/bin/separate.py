"""Separates the speakers of audio files with a trained model.

For each FILE it writes DIR/<name>_s1.wav, DIR/<name>_s2.wav, ...: 16-bit wav of the file's length and rate, which must
be the model's. Files of these names that are already there are replaced, whole, one by one; nothing else is touched.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mindaudio_ext.errors import InputError, command
from mindaudio_ext.registry import list_separators


def _run(args: argparse.Namespace) -> None:
    if args.list:
        print("\n".join(list_separators()))
        return
    if not args.files or not args.model or not args.out_dir:
        raise InputError("needs files to separate, --model exp/NAME and -o DIR; see --help")
    from mindaudio_ext.data.audio import read_wav, write_wav
    from mindaudio_ext.decode.separate import Separator, find_checkpoint, read_experiment, require_length

    config = read_experiment(args.model)
    find_checkpoint(args.model, config, args.model_path)
    outputs = _outputs(args.files, args.out_dir, config.num_spks)
    for file in args.files:  # all of them before the model is loaded, which takes long
        require_length(len(read_wav(file, sample_rate=config.sample_rate)), config, name=str(file))
    _make_folder(args.out_dir)
    separator = Separator.from_expdir(args.model, args.model_path, device_target=args.device_target)
    for file, paths in zip(args.files, outputs):
        estimates = separator(read_wav(file, sample_rate=config.sample_rate), name=str(file))  # [C, T]
        for path, estimate in zip(paths, estimates):
            write_wav(path, estimate, config.sample_rate)
        print(*paths)


def _outputs(files: Sequence[Path], out_dir: Path, num_spks: int) -> list[list[Path]]:
    """Gives each file's output paths; refuses two files with one name and an output that is one of the files."""
    outputs = [[out_dir / f"{file.stem}_s{source}.wav" for source in range(1, num_spks + 1)] for file in files]
    inputs = {os.path.realpath(file): file for file in files}
    owners: dict[Path, Path] = {}
    for file, paths in zip(files, outputs):
        for path in paths:
            if path.is_dir():
                raise InputError(f"{file} would become {path}, which is a folder; choose another -o")
            if path in owners:
                raise InputError(f"{file} and {owners[path]} would both become {path}; separate them into two folders")
            if os.path.realpath(path) in inputs:
                raise InputError(f"{file} would become {path}, which is an input itself; choose another folder")
            owners[path] = file
    return outputs


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be made a folder ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"-o {folder}: is not writable")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mindaudio-separate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="mono audio (wav, flac, ogg, mp3, ...)")
    parser.add_argument("--model", type=Path, metavar="exp/NAME", help="experiment with config.yaml and checkpoints/")
    parser.add_argument("-o", "--out_dir", type=Path, metavar="DIR", help="folder for the estimates; made when missing")
    parser.add_argument(
        "--model_path", type=Path, metavar="CKPT", help="another checkpoint than the experiment's checkpoints/best.ckpt"
    )
    parser.add_argument("--device_target", choices=("CPU", "Ascend"), help="default: what the model was trained on")
    parser.add_argument("--list", action="store_true", help="list the registered separators and stop")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
