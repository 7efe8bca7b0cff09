"""Makes one set of simulated conversations from speech in LibriSpeech's layout."""

import argparse
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from mindaudio_ext.bin.arguments import add_speech_set, path, read_speech, whole_number
from mindaudio_ext.config.layers import read_mapping
from mindaudio_ext.corpora.conversations import Parameters, make_conversations, read_statistics
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.rooms import REFERENCES, REVERBERANT, Rooms
from mindaudio_ext.errors import InputError, command
from mindaudio_ext.registry import near


def run(args: argparse.Namespace) -> None:
    """Makes the set; raises InputError for wrong input."""
    asked = Statistics() if args.statistics is None else _read_statistics(args.statistics)
    speech = read_speech(args)
    parameters = Parameters(
        set_name=args.set,
        n_conversations=args.n_conversations,
        num_spks=args.num_spks,
        speakers=tuple(args.speakers),
        seconds=args.seconds,
        sample_rate=args.sample_rate,
        seed=args.seed,
        asked=asked,
        noise=args.noise,
        snr=args.snr,
        rooms=_rooms(args),
        references=args.references,
    )
    data_dir = make_conversations(
        speech.utterances, args.data, parameters, corpus=speech.corpus, sexes=speech.sexes, nj=args.nj
    )
    print(f"{data_dir}:\n{read_statistics(data_dir)}", end="")


def _rooms(args: argparse.Namespace) -> Rooms | None:
    if args.rt60 is None:
        return None
    return Rooms(args.rt60, args.room_length, args.room_width, args.room_height, args.distance)


def _read_statistics(file: Path) -> Statistics:
    values = read_mapping(file)
    known = [field.name for field in dataclasses.fields(Statistics)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{file}: {name}: no such key{near(str(name), known)}; known: {', '.join(known)}")
        numbers = value if name == "talk" and isinstance(value, list) else [value]
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise InputError(f"{file}: {name}: a number is expected, got {value!r}")
        if name == "talk":
            values[name] = tuple(map(float, numbers))
    return Statistics(**values)


def _numbers(low: int, high: int) -> Callable[[str], list[int]]:
    """Returns the type of whole numbers within bounds, separated by spaces."""
    one = whole_number(low, high)

    def parse(text: str) -> list[int]:
        found = [one(word) for word in text.split()]
        if not found:
            raise argparse.ArgumentTypeError("at least one number is expected")
        return found

    return parse


def _span(unit: str) -> Callable[[str], tuple[float, float]]:
    """Returns the type of a number, or of the least and the most, separated by a space."""

    def parse(text: str) -> tuple[float, float]:
        words = text.split()
        if not 1 <= len(words) <= 2 or not all(re.fullmatch(r"-?[0-9]{1,5}(\.[0-9]{1,6})?", word) for word in words):
            raise argparse.ArgumentTypeError(f"{unit} are expected, or the least and the most of them")
        return float(words[0]), float(words[-1])

    return parse


def _span_or_none(unit: str) -> Callable[[str], tuple[float, float] | None]:
    """Returns the type of `_span`, of which an empty text is none."""
    one = _span(unit)
    return lambda text: one(text) if text.strip() else None


def parser() -> argparse.ArgumentParser:
    """Returns the command's arguments."""
    arguments = argparse.ArgumentParser(prog="make_conversations", description=__doc__)
    add_speech_set(arguments)
    number = whole_number(1, 1_000_000)
    arguments.add_argument("--n_conversations", type=number, metavar="N", required=True, help="conversations to make")
    arguments.add_argument(
        "--speakers",
        type=_numbers(1, 5),
        default=[2],
        metavar="N...",
        help="people in a conversation, 1 to num_spks; several numbers take turns (2)",
    )
    arguments.add_argument(
        "--seconds",
        type=_span("seconds"),
        default=(60.0, 120.0),
        metavar="S...",
        help="length, or the least and the most (60 120)",
    )
    arguments.add_argument(
        "--statistics", type=path, metavar="FILE", help="YAML of what conversations are to be like (the defaults)"
    )
    arguments.add_argument(
        "--noise",
        default="",
        metavar="NOISE",
        help="white, pink, brown, babble of speakers who are not in the conversation, or a folder of noise (none)",
    )
    arguments.add_argument(
        "--snr",
        type=_span("dB"),
        default=(5.0, 20.0),
        metavar="DB...",
        help="of the speech over the noise, or the least and the most (5 20)",
    )
    arguments.add_argument(
        "--rt60",
        type=_span_or_none("seconds"),
        metavar="S...",
        help="reverberation time of rooms, or the least and the most; needs the extra rooms (no rooms)",
    )
    for name, default, words in (
        ("room_length", Rooms.length, "length of a room"),
        ("room_width", Rooms.width, "its width"),
        ("room_height", Rooms.height, "its height"),
        ("distance", Rooms.distance, "from a mouth to the microphone"),
    ):
        arguments.add_argument(
            f"--{name}",
            type=_span("metres"),
            default=default,
            metavar="M...",
            help=f"{words}, or the least and the most ({default[0]:g} {default[1]:g})",
        )
    arguments.add_argument(
        "--references",
        choices=REFERENCES,
        default=REVERBERANT,
        help="what of the sound in a room the sources hold: all of it, the first 50 ms or the direct sound; the rest "
        "is in the noise (reverberant)",
    )
    return arguments


main = command(parser, run)

if __name__ == "__main__":
    main()
