"""Runs an exported graph over a test set, on an Ascend 310 or without one, and scores what it separates.

Three steps: preprocess cuts every utterance into chunks of the graph's length and writes them as .bin; infer runs the
graph; postprocess joins the estimates to whole utterances and scores them as stage 4 does.
"""

import argparse
import os
import shlex
from pathlib import Path

from mindaudio_ext.bin.arguments import add_allow_pipes, add_nj, not_empty, path, whole_number
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.export.backends import BACKENDS, infer
from mindaudio_ext.export.infer_310 import Result, Work, open_test_set, postprocess, preprocess
from mindaudio_ext.export.kit import COMMAND, Kit, KitGraph, find_graph, read_kit
from mindaudio_ext.export.lite import RUNNERS, LiteDevice
from mindaudio_ext.keys import set_name
from mindaudio_ext.lock import locked

POSITIONAL = ("mindir", "test", "need_preprocess")
STEPS = ("preprocess", "infer", "postprocess")


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(
        prog=COMMAND,
        usage="%(prog)s [MINDIR_PATH] [TEST_PATH] [NEED_PREPROCESS] [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    arguments.add_argument("positional", nargs="*", help="the first three options, in their order")
    arguments.add_argument(
        "--mindir", type=not_empty, metavar="MINDIR_PATH", help="a graph of the kit, or what was converted from it"
    )
    arguments.add_argument(
        "--test", type=not_empty, metavar="TEST_PATH", help="a Kaldi directory, or a set folder of LibriMix"
    )
    arguments.add_argument("--need_preprocess", "--need-preprocess", metavar="y|n", help="n: .bin are there (y)")
    arguments.add_argument(
        "--backend",
        choices=(*RUNNERS, *BACKENDS),
        default="lite",
        help="lite: C++ runner; lite_python: the same in Python; host: the host graph on this CPU; "
        "numpy: the graph for Ascend in NumPy; checkpoint: what the graphs were made from, on this CPU (%(default)s)",
    )
    arguments.add_argument(
        "--device", choices=("ascend", "cpu"), default="ascend", help="of lite and lite_python (%(default)s)"
    )
    arguments.add_argument(
        "--device_id", "--device-id", type=whole_number(0, 1023), metavar="N", default=0, help="the card (%(default)s)"
    )
    arguments.add_argument("--step", choices=STEPS, help="only this step; default: all of them")
    arguments.add_argument(
        "--out", type=not_empty, metavar="DIR", help="for all that is made; default: infer_<set> in the kit"
    )
    add_nj(arguments, "processes to preprocess and postprocess")
    add_allow_pipes(arguments)
    arguments.add_argument(
        "--kit", type=path, required=True, metavar="DIR", help=f"the kit's folder, which {COMMAND} gives"
    )
    return arguments


def run(args: argparse.Namespace) -> None:
    """Runs the steps; raises InputError for wrong input."""
    _take_positional(args)
    kit = read_kit(args.kit)
    graph = find_graph(kit, Path(args.mindir))
    folder = Path(args.out or kit.folder / f"infer_{set_name(args.test)}")
    with locked(folder):
        _run_steps(args, kit=kit, graph=graph, folder=folder)


def _run_steps(args: argparse.Namespace, *, kit: Kit, graph: KitGraph, folder: Path) -> None:
    mindir = Path(args.mindir)
    work = open_test_set(
        Path(args.test),
        folder,
        graph=graph,
        backend=_backend(args, "_"),
        num_spks=kit.config.num_spks,
        allow_pipes=args.allow_pipes == "true",
    )
    steps = [args.step] if args.step else STEPS[args.need_preprocess == "n" :]
    if "preprocess" in steps:
        preprocess(work, graph=graph, kit=kit, nj=args.nj)
    if "infer" in steps:
        infer(
            args.backend,
            kit=kit,
            graph=graph,
            mindir=mindir,
            device=LiteDevice(args.device, args.device_id),
            inputs=work.inputs,
            outputs=work.outputs,
        )
    if "postprocess" in steps:
        result = postprocess(
            work,
            kit=kit,
            mindir=mindir,
            backend=_backend(args, " on "),
            device_target="Ascend" if args.backend in RUNNERS and args.device == "ascend" else "CPU",
            command_line=_command_line(args),
            nj=args.nj,
        )
        _report(result, kit, work, f"{mindir.name} by {_backend(args, ' on ')}")


def _backend(args: argparse.Namespace, joint: str) -> str:
    """The backend's name, with the device where that is not the one of its own."""
    return f"{args.backend}{joint}cpu" if args.device == "cpu" else args.backend


def _take_positional(args: argparse.Namespace) -> None:
    """Spreads MINDIR_PATH TEST_PATH NEED_PREPROCESS over the options of the same meaning."""
    if len(args.positional) > len(POSITIONAL):
        raise InputError(f"unexpected argument '{args.positional[len(POSITIONAL)]}'; --help lists the options")
    for name, value in zip(POSITIONAL, args.positional):
        if getattr(args, name) is not None:
            raise InputError(f"--{name} is given twice, as '{value}' too")
        setattr(args, name, value)
    if not args.mindir or not args.test:
        raise InputError("needs MINDIR_PATH and TEST_PATH; --help lists the options")
    args.need_preprocess = {None: "y"}.get(args.need_preprocess, args.need_preprocess)
    if args.need_preprocess not in ("y", "n"):
        raise InputError(f"NEED_PREPROCESS {args.need_preprocess}: y or n is expected")
    if args.device == "cpu" and args.backend not in RUNNERS:
        raise InputError(f"--device cpu: is of {' and '.join(RUNNERS)}; --backend {args.backend} needs no device")


def _command_line(args: argparse.Namespace) -> str:
    """The command for RESULTS.md, without this machine's folders."""
    words = [COMMAND, Path(args.mindir).name, set_name(args.test), args.need_preprocess, "--backend", args.backend]
    words += ["--device", "cpu"] if args.device == "cpu" else []
    return shlex.join(words)


def _report(result: Result, kit: Kit, work: Work, what: str) -> None:
    name = set_name(work.data)
    print(
        f"{name}: {result.audio_seconds:.0f} s of speech in {result.seconds:.1f} s of inference, "
        f"RTF {result.seconds / result.audio_seconds:.3f}"
    )
    print(
        f"{name}: {result.n_scored} scored of {result.n_utts}, chunks joined, {what}: {os.path.relpath(work.results)}"
    )
    scores = kit.scores.get(name, {})
    same = scores.get("utterances") == result.n_utts  # another set may have this one's name
    shifts = f", mean of {scores['shifts']} shifts" if "shifts" in scores else ""
    known = f"{scores['si_snri']:.2f} dB ({result.n_utts} utterances{shifts})" if same else "not known"
    print(f"{name}: the checkpoint on whole utterances (stage 4): {known}")
    print(f"Average SISNR improvement: {round(result.si_snri, 2) + 0.0:.2f}")  # never -0.00


main = command(parser, run)

if __name__ == "__main__":
    main()
