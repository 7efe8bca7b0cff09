"""Separates the speakers of recordings of any format, rate, length and number of channels.

For each recording it writes DIR/<name>_s1.wav, DIR/<name>_s2.wav, ...: 16-bit wav of the recording's length and rate,
at its level, never clipped. FILE may be a folder (all audio below it; its folders are kept below DIR), a pattern in
quotes, or - for standard input. What cannot be separated is named in one line, the rest is done, and the status is 2.
Files of these names that are already there are replaced, whole; nothing else is touched.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindaudio_ext.bin.options import add_shifts
from mindaudio_ext.decode.chunking import Chunking
from mindaudio_ext.errors import InputError, command, one_line
from mindaudio_ext.registry import list_separators

if TYPE_CHECKING:
    from mindaudio_ext.decode.find_audio import Input
    from mindaudio_ext.decode.recording import Recording
    from mindaudio_ext.decode.separate import Separator


def _run(args: argparse.Namespace) -> None:
    if args.list:
        print("\n".join(list_separators()))
        return
    if not args.files or not args.out_dir:
        raise InputError("needs files to separate and -o DIR; see --help")
    from mindaudio_ext.decode.find_audio import find_audio
    from mindaudio_ext.decode.separate import Separator, find_checkpoint, find_model, read_experiment

    if args.stream is not None and not args.stream > 0:
        raise InputError(f"--stream: must be above 0 ms, got {args.stream:g}")
    if args.stream is not None and args.shifts is not None:
        raise InputError("--shifts: a stream is separated once; leave it out with --stream")
    chunking = Chunking(args.longest_whole, args.chunk, args.overlap, args.chunk_batch)
    expdir, checkpoint = find_model(args.model, streaming=args.stream is not None)
    config = read_experiment(expdir)
    checkpoint = find_checkpoint(expdir, config, args.model_path or checkpoint)
    inputs, errors = find_audio(args.files, args.out_dir, config.num_spks)
    _make_folder(args.out_dir)
    for error in errors:
        _tell(error)
    readable = [one for one in inputs if _is_readable(one, args.channel)]  # before the model is loaded: that takes long
    n_failed = len(errors) + len(inputs) - len(readable)
    if readable:
        separator = Separator.from_expdir(expdir, checkpoint, device_target=args.device_target, shifts=args.shifts)
        n_failed += sum(not _separate(separator, one, args, chunking) for one in readable)
    if n_failed:
        sys.exit(2)


def _is_readable(one: "Input", channel: int | None) -> bool:
    from mindaudio_ext.decode.find_audio import STDIN
    from mindaudio_ext.decode.recording import Recording

    try:
        if str(one.path) != STDIN:
            Recording(one.path, channel)
    except (InputError, OSError) as error:
        return _tell(error)
    return True


def _separate(separator: "Separator", one: "Input", args: argparse.Namespace, chunking: Chunking) -> bool:
    """Separates one recording and prints a line; tells whether that went well."""
    from mindaudio_ext.decode.separate_file import separate_file

    outputs = one.outputs(args.out_dir, separator.config.num_spks)
    try:
        with _recording(one.path, args.channel) as recording:
            done = separate_file(separator, recording, outputs, chunking=chunking, stream_ms=args.stream)
    except InputError as error:
        return _tell(error)
    except OSError as error:
        return _tell(OSError(f"{one.path}: {error}"))
    print(one_line(f"{one.path}: {done.summary} -> {' '.join(map(str, outputs))}"), flush=True)
    return True


@contextlib.contextmanager
def _recording(path: Path, channel: int | None) -> Iterator["Recording"]:
    """Opens a recording; standard input is kept in a file, because formats need to go back and forth."""
    from mindaudio_ext.decode.find_audio import STDIN
    from mindaudio_ext.decode.recording import Recording

    if str(path) != STDIN:
        yield Recording(path, channel)
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Recording(copy.name, channel, name="standard input")


def _tell(error: Exception) -> bool:
    print(one_line(f"mindaudio-separate: error: {error}"), file=sys.stderr, flush=True)
    return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be made a folder ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"-o {folder}: is not writable")


def _parser() -> argparse.ArgumentParser:
    default = Chunking()
    parser = argparse.ArgumentParser(
        prog="mindaudio-separate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="audio (wav, flac, ogg, mp3, ...), a folder, or -")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="exp/NAME, a checkpoint in such a folder, or a built-in model's name; default: dprnn_2spk_8k, "
        "with --stream dprnn_2spk_8k_causal",
    )
    parser.add_argument("-o", "--out_dir", type=Path, metavar="DIR", help="folder for the estimates; made when missing")
    parser.add_argument("--channel", type=int, metavar="N", help="channel to separate, from 1; default: their mean")
    parser.add_argument(
        "--model_path", type=Path, metavar="CKPT", help="another checkpoint than the experiment's checkpoints/best.ckpt"
    )
    parser.add_argument("--device_target", choices=("CPU", "Ascend"), help="default: what the model was trained on")
    add_shifts(parser)
    long_form = parser.add_argument_group("long recordings")
    for option, kind, unit, text in (
        ("longest_whole", float, "S", "what is longer goes in chunks, seconds"),
        ("chunk", float, "S", "length of a chunk, seconds"),
        ("overlap", float, "S", "of two chunks, seconds, in which speakers are told apart"),
        ("chunk_batch", int, "N", "chunks at once; changes speed and memory, not the result"),
    ):
        value = getattr(default, option.removeprefix("chunk_"))
        long_form.add_argument(
            f"--{option}", type=kind, metavar=unit, default=value, help=f"{text} (default: %(default)g)"
        )
    long_form.add_argument(
        "--stream", type=float, metavar="MS", help="stream in blocks of MS milliseconds instead, through a causal model"
    )
    parser.add_argument("--list", action="store_true", help="list the registered separators and stop")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    command(_parser(), _run)(argv)


if __name__ == "__main__":
    main()
