"""Separates the speakers of recordings of any format, rate, length and number of channels.

For each recording it writes DIR/<name>_s1.wav, DIR/<name>_s2.wav, ...: 16-bit wav of the recording's length and rate,
at its level, never clipped. FILE may be a folder (all audio below it; its folders are kept below DIR), a pattern in
quotes, or - for standard input. What cannot be separated is named in one line, the rest is done, and the status is 2
(1 for an error of ours).
Files of these names are replaced when this command wrote them, as a list in their folder, .mindaudio-separate.jsonl,
tells. Any other file of such a name stays, and its recording is not separated, unless --overwrite is given.
"""

import argparse
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mindaudio_ext import __version__
from mindaudio_ext.bin.arguments import add_shifts, not_empty, path, positive_number, whole_number
from mindaudio_ext.errors import InputError, command, describe_error, one_line
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.inference.chunking import LONGEST, MOST_CHUNKS, Chunking
from mindaudio_ext.interrupt import removed_at_an_end, wait_for_the_end
from mindaudio_ext.keys import MAX_SOURCES
from mindaudio_ext.registry import list_separators

if TYPE_CHECKING:
    from mindaudio_ext.inference.find_audio import Input
    from mindaudio_ext.inference.recording import Recording
    from mindaudio_ext.inference.separator import Separator

log = logging.getLogger(__name__)
AUTO = "auto"  # as many tracks as people speak


def run(args: argparse.Namespace) -> None:
    """Separates every recording; raises InputError for wrong use. One that fails ends no other's separation."""
    if args.list:
        print("\n".join(list_separators()))
        return
    if args.list_models:
        from mindaudio_ext.inference.models import table

        print(table())
        return
    if args.serve:
        _serve(args)
        return
    if not args.files:
        raise InputError("needs files to separate; see --help")
    from mindaudio_ext.inference.find_audio import find_audio
    from mindaudio_ext.inference.separator import Separator, find_model, require_num_spks

    if args.stream is not None and args.shifts is not None:
        raise InputError("--shifts: a stream is separated once; leave it out with --stream")
    chunking = Chunking(args.longest_whole, args.chunk, args.overlap, args.chunk_batch)
    asked = None if args.num_spks == AUTO else args.num_spks
    expdir, checkpoint = find_model(
        args.model, streaming=args.stream is not None, device_target=args.device_target, num_spks=asked
    )
    config = Experiment(expdir).read_config()
    chosen = args.model_path or checkpoint
    checkpoint = Experiment(expdir).find_checkpoint(config, chosen)
    model_name = Experiment(expdir).name + (f" ({chosen.name})" if chosen else "")
    if not config.conversations:
        _refuse_for_conversations(args, model_name)
    num_spks = asked or config.num_spks
    require_num_spks(num_spks, config, model=model_name)
    inputs, errors = find_audio(args.files, args.out_dir, num_spks)
    _make_folder(args.out_dir)
    for error in errors:
        _tell(args, error)
    statuses = [2 for _ in errors]
    readable = []
    for one in inputs:  # before the model is loaded: that takes long
        statuses.append(_attempt(one, args, partial(_check, one, num_spks, config.conversations, args)))
        readable += [one] if statuses[-1] == 0 else []
    if readable:
        separator = Separator.from_expdir(expdir, checkpoint, device_target=args.device_target, shifts=args.shifts)
        work = partial(_separate, separator, args=args, chunking=chunking, model_name=model_name, num_spks=num_spks)
        statuses += [_attempt(one, args, partial(work, one)) for one in readable]
    failed = [status for status in statuses if status]
    if failed:
        sys.exit(min(failed))  # a bug before wrong input


def _serve(args: argparse.Namespace) -> None:
    """Serves the page for the browser until Ctrl-C."""
    if args.files:
        raise InputError("--serve: takes its recordings in the browser, no files")
    if args.num_spks:
        raise InputError("--num_spks: with --serve the model that is chosen in the browser says how many")
    if args.model_path:
        raise InputError("--model_path: with --serve give the checkpoint as --model")
    from mindaudio_ext.inference.separator import Separator
    from mindaudio_ext.serve.app import serve

    def load(expdir: Path, checkpoint: Path | None) -> Separator:
        return Separator.from_expdir(expdir, checkpoint, device_target=args.device_target, shifts=args.shifts)

    largest = round(1e6 * args.largest_file)
    serve(host=args.host, port=args.port, largest=largest, model=args.model, load=load)


def _refuse_for_conversations(args: argparse.Namespace, model: str) -> None:
    """Raises InputError for an option that only a model for conversations has."""
    for is_given, option in ((args.num_spks == AUTO, f"--num_spks {AUTO}"), (args.keep_residual, "--keep_residual")):
        if is_given:
            raise InputError(f"{option}: {model} does not tell who speaks; it is for people who all speak all the time")


def _attempt(one: "Input", args: argparse.Namespace, work: Callable[[], str | None]) -> int:
    """Does something with a recording and prints what it gives, or what went wrong: that ends no other's separation.

    Returns:
        The exit status: 0 done; 2 wrong input; 1 what nobody foresaw.
    """
    try:
        said = work()
    except InputError as error:
        _tell(args, error)
        return 2
    except Exception as error:
        wait_for_the_end()
        if args.debug:
            traceback.print_exception(error)
        said = describe_error(error)
        _tell(args, said if said.startswith(str(one.path)) else f"{one.path}: {said}")
        return 2 if isinstance(error, OSError) else 1
    if said:
        print(one_line(said), flush=True)
    return 0


def _check(one: "Input", num_spks: int, has_turns: bool, args: argparse.Namespace) -> None:
    """Raises InputError for a recording that cannot be read, or estimates that may not be written."""
    from mindaudio_ext.inference.find_audio import STDIN
    from mindaudio_ext.inference.recording import Recording
    from mindaudio_ext.inference.written import refuse_others

    if str(one.path) != STDIN:
        Recording(one.path, args.channel)
    if not args.overwrite:
        turns = [one.rttm(args.out_dir)] if has_turns else []
        refuse_others([*one.outputs(args.out_dir, num_spks), *turns], str(one.path))


def _separate(
    separator: "Separator",
    one: "Input",
    args: argparse.Namespace,
    chunking: Chunking,
    model_name: str,
    num_spks: int,
) -> str:
    """Separates one recording; gives the line that says so."""
    from mindaudio_ext.inference.separate_file import separate_file

    outputs = one.outputs(args.out_dir, num_spks)
    with _recording(one.path, args.channel) as recording:
        done = separate_file(
            separator,
            recording,
            outputs,
            chunking=chunking,
            stream_ms=args.stream,
            overwrite=args.overwrite,
            rttm=one.rttm(args.out_dir) if separator.config.conversations else None,
            keep_residual=args.keep_residual,
            keep_silent=args.num_spks not in (None, AUTO),
        )
    return f"{one.path}: {model_name}, {done.summary} -> {' '.join(map(str, done.outputs))}"


@contextlib.contextmanager
def _recording(path: Path, channel: int | None) -> Iterator["Recording"]:
    """Opens a recording; standard input is kept in a file, because formats need to go back and forth."""
    from mindaudio_ext.inference.find_audio import STDIN
    from mindaudio_ext.inference.recording import Recording

    if str(path) != STDIN:
        yield Recording(path, channel)
        return
    with tempfile.NamedTemporaryFile() as copy, removed_at_an_end(copy.name):
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Recording(copy.name, channel, name="standard input")


def _tell(args: argparse.Namespace, error: Exception | str) -> None:
    log.error("%s", one_line(f"{args.prog}: error: {error}"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be made a folder ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"-o {folder}: is not writable")


def _number_or_auto(text: str) -> int | str:
    """Reads 1 to 5, or auto."""
    return AUTO if text == AUTO else whole_number(1, MAX_SOURCES)(text)


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    default = Chunking()
    arguments = argparse.ArgumentParser(
        prog="mindaudio-separate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "files", type=not_empty, nargs="*", metavar="FILE", help="audio (wav, flac, ogg, mp3, ...), a folder, or -"
    )
    arguments.add_argument(
        "--model",
        type=not_empty,
        metavar="MODEL",
        help="exp/NAME, a checkpoint in such a folder, a built-in model's name, or hf:ORG/NAME[@REVISION], a public "
        "model; default: dprnn_2spk_8k, with --stream dprnn_2spk_8k_causal",
    )
    arguments.add_argument(
        "--num_spks",
        type=_number_or_auto,
        metavar="N",
        help="people in the recordings: takes a built-in model for so many, or checks that --model is one; auto: a "
        "model for conversations tells; default: auto, or what the model gives",
    )
    arguments.add_argument(
        "--keep_residual",
        action="store_true",
        help="of a model for conversations: keep what is in a track while its speaker is silent",
    )
    arguments.add_argument(
        "-o",
        "--out_dir",
        type=path,
        metavar="DIR",
        default=Path("separated"),
        help="folder for the estimates; made when missing (default: %(default)s)",
    )
    arguments.add_argument(
        "--overwrite", action="store_true", help="also replace files that this command did not write, or you changed"
    )
    arguments.add_argument(
        "--channel",
        type=whole_number(1, 1024),
        metavar="N",
        help="channel to separate, from 1; default: their mean",
    )
    arguments.add_argument(
        "--model_path", type=path, metavar="CKPT", help="another checkpoint than the one the experiment decodes"
    )
    arguments.add_argument("--device_target", choices=("CPU", "Ascend"), help="default: what the model was trained on")
    add_shifts(arguments)
    long_form = arguments.add_argument_group("long recordings")
    for option, kind, unit, text in (
        ("longest_whole", positive_number(LONGEST), "S", "what is longer goes in chunks, seconds"),
        ("chunk", positive_number(LONGEST), "S", "length of a chunk, seconds"),
        ("overlap", positive_number(LONGEST), "S", "of two chunks, seconds, in which speakers are told apart"),
        ("chunk_batch", whole_number(1, MOST_CHUNKS), "N", "chunks at once; changes speed and memory, not the result"),
    ):
        value = getattr(default, option.removeprefix("chunk_"))
        long_form.add_argument(
            f"--{option}", type=kind, metavar=unit, default=value, help=f"{text} (default: %(default)g)"
        )
    long_form.add_argument(
        "--stream",
        type=positive_number(60_000),
        metavar="MS",
        help="stream in blocks of MS milliseconds instead, through a causal model",
    )
    page = arguments.add_argument_group("a page in the browser")
    page.add_argument("--serve", action="store_true", help="serve the page until Ctrl-C; needs the extra demo")
    page.add_argument(
        "--host",
        type=not_empty,
        default="127.0.0.1",
        help="address to listen on (default: %(default)s: this machine)",
    )
    page.add_argument(
        "--port", type=whole_number(0, 65535), metavar="N", default=7860, help="0 for any (default: %(default)s)"
    )
    page.add_argument(
        "--largest_file",
        type=positive_number(100_000),
        metavar="MB",
        default=500,
        help="what is larger is refused (default: %(default)s)",
    )
    arguments.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    arguments.add_argument("--list_models", action="store_true", help="list the models in the package and stop")
    arguments.add_argument("--list", action="store_true", help="list the registered separators and stop")
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
