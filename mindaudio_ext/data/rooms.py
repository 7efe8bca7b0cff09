"""Rooms: responses of shoebox rooms by image sources (Allen and Berkley, JASA 1979), which pyroomacoustics makes.

The walls take as much of the sound as it takes for the reverberation time asked for: Sabine's and Eyring's formulas are
up to 60 % off in rooms in which the sound is not diffuse, so the images' energies are added up and the absorption is
found by bisection.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.signal import fftconvolve

from mindaudio_ext.data.conversation_statistics import LONGEST_RT60, SHORTEST_RT60
from mindaudio_ext.errors import InputError

REVERBERANT, EARLY, ANECHOIC = "reverberant", "early", "anechoic"
REFERENCES = (REVERBERANT, EARLY, ANECHOIC)
EARLY_SECONDS = 0.05  # after the direct sound, what counts as early
_LIMITS = {"rt60": (SHORTEST_RT60, LONGEST_RT60), "length": (2, 20), "width": (2, 20), "height": (2, 10)}
_UNITS = {"rt60": "s", "length": "m", "width": "m", "height": "m", "distance": "m"}
_SHORTEST_DISTANCE = 0.1
_MARGIN = 0.5  # metres between a wall and the microphone or a mouth
_LOWEST, _HIGHEST = 1.0, 1.8  # metres, of the microphone; a mouth is at most this much above or below it:
_LIFT = 0.3
_DRAWS = 1000
_SPEED = 343.0  # metres a second
_FILTER = 81  # samples of the filter by which pyroomacoustics places an image between samples
_BIN = 0.001  # seconds, of the images' energies
_FIRST, _LAST = -5.0, -35.0  # dB of the decay, between which its slope is taken: T30 of ISO 3382
_STEPS = 25  # of the bisection


@dataclass(frozen=True)
class Rooms:
    """What rooms are drawn from; each the least and the most.

    Attributes:
        rt60: reverberation time, s: in which the sound falls by 60 dB.
        length: of the room, m.
        width: of it, m.
        height: of it, m.
        distance: from a mouth to the microphone, m.
    """

    rt60: tuple[float, float]
    length: tuple[float, float] = (5.0, 10.0)
    width: tuple[float, float] = (5.0, 10.0)
    height: tuple[float, float] = (2.5, 4.0)
    distance: tuple[float, float] = (0.7, 2.0)

    def problem(self) -> str | None:
        """Says what no room can have; None when all can be had."""
        farthest = max(self.length[0], self.width[0]) / 2 - _MARGIN
        limits = _LIMITS | {"distance": (_SHORTEST_DISTANCE, farthest)}
        for one in fields(self):
            low, high = getattr(self, one.name)
            if not limits[one.name][0] <= low <= high <= limits[one.name][1]:
                least, most = limits[one.name]
                name = one.name if one.name in ("rt60", "distance") else f"room_{one.name}"
                why = " (half of the smallest room's longer side, less 0.5 m)" if one.name == "distance" else ""
                return (
                    f"{name}: from {least:g} to {most:g} {_UNITS[one.name]}{why}, the less first, are expected; "
                    f"got {low:g} {high:g}"
                )
        return None

    def require(self) -> None:
        """Raises InputError when there are no such rooms, or pyroomacoustics is not installed."""
        if problem := self.problem():
            raise InputError(problem)
        if not can_make_rooms():
            raise InputError("rt60: rooms need the package pyroomacoustics: pip install 'mindaudio-ext[rooms]'")


@dataclass(frozen=True)
class Room:
    """A room with people in it.

    Attributes:
        rt60: reverberation time, s.
        size: length, width and height, m.
        microphone: where it is, m.
        mouths: where each person speaks, m.
    """

    rt60: float
    size: tuple[float, float, float]
    microphone: tuple[float, float, float]
    mouths: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Response:
    """A room's response to one person, with an energy of 1.

    Attributes:
        samples: [n].
        direct: the sample of the direct sound; the few before it are of the filter that places it between samples.
    """

    samples: np.ndarray
    direct: int


def can_make_rooms() -> bool:
    """Whether pyroomacoustics, of the extra `rooms`, is installed."""
    return importlib.util.find_spec("pyroomacoustics") is not None


def draw_room(rng: np.random.Generator, rooms: Rooms, n_speakers: int) -> Room:
    """Draws a room, where the microphone is, and where each speaker."""
    size = np.array([rng.uniform(*rooms.length), rng.uniform(*rooms.width), rng.uniform(*rooms.height)])
    rt60 = rng.uniform(*rooms.rt60)
    top = min(_HIGHEST, size[2] - _MARGIN)
    microphone = np.array([*rng.uniform(_MARGIN, size[:2] - _MARGIN), rng.uniform(_LOWEST, top)])
    mouths = tuple(_place(rng, size, microphone, rng.uniform(*rooms.distance)) for _ in range(n_speakers))
    return Room(float(rt60), _triple(size), _triple(microphone), mouths)


def _place(
    rng: np.random.Generator, size: np.ndarray, microphone: np.ndarray, distance: float
) -> tuple[float, float, float]:
    """Draws a place at a distance from the microphone, off the walls."""
    for _ in range(_DRAWS):
        lift, angle = min(_LIFT, distance / 2) * rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi)
        level = np.sqrt(distance**2 - lift**2)
        place = microphone + np.array([level * np.cos(angle), level * np.sin(angle), lift])
        if ((place[:2] >= _MARGIN) & (place[:2] <= size[:2] - _MARGIN)).all():
            return _triple(place)
    raise AssertionError("half of the longer side has room for the distance")


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


def responses(room: Room, sample_rate: int, references: str = REVERBERANT) -> Iterator[tuple[Response, Response]]:
    """Yields the response of each speaker and what the reference holds of it, the same when that is all.

    Args:
        room: with the speakers.
        sample_rate: Hz.
        references: "reverberant", all of it; "early", 50 ms from the direct sound on; "anechoic", the direct sound.
    """
    order = _order(room)
    for mouth in room.mouths:
        absorption = _absorption(room, mouth, order)
        delay = round(float(np.linalg.norm(np.subtract(mouth, room.microphone))) / _SPEED * sample_rate)
        direct = _FILTER // 2
        whole = _response(room, mouth, sample_rate, absorption, order)[delay:]
        whole = whole[: 2 * direct + round(room.rt60 * sample_rate)]
        scale = 1 / np.sqrt(np.square(whole).sum())
        found = wanted = Response(scale * whole, direct)
        if references == EARLY:
            wanted = Response(found.samples[: direct + round(EARLY_SECONDS * sample_rate)], direct)
        elif references == ANECHOIC:
            wanted = Response(scale * _response(room, mouth, sample_rate, absorption, 0)[delay:], direct)
        yield found, wanted


def _order(room: Room) -> int:
    """Returns how often a sound is reflected at least in half of the reverberation time, by when it fell by 30 dB.

    Later images are there where the walls are far apart; they are ever fewer, and would be most of the work.
    """
    length, width, height = room.size
    pairs = ((length, width), (length, height), (width, height))
    nearest = min(a * b / np.hypot(a, b) for a, b in pairs)
    return int(np.ceil(_SPEED * room.rt60 / 2 / nearest))


def _response(
    room: Room, mouth: tuple[float, float, float], sample_rate: int, absorption: float, order: int
) -> np.ndarray:
    """Returns the response, float64 [n], to a mouth with walls that take so much of the energy."""
    import pyroomacoustics

    pyroomacoustics.constants.set("num_threads", 1)  # the same sums in the same order; processes share the cores
    walls = pyroomacoustics.Material(absorption)
    made = pyroomacoustics.ShoeBox(room.size, fs=sample_rate, materials=walls, max_order=order)
    made.add_source(mouth)
    made.add_microphone(room.microphone)
    made.compute_rir()
    return np.asarray(made.rir[0][0], np.float64)


def _absorption(room: Room, mouth: tuple[float, float, float], order: int) -> float:
    """Returns the share of the energy that the walls take, with which the decay has the reverberation time."""
    energies = _energies(room, mouth, order)
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        slow = reverberation_time((1 - middle) ** np.arange(order + 1) @ energies, 1 / _BIN) > room.rt60
        low, high = (middle, high) if slow else (low, middle)
    return (low + high) / 2


def _energies(room: Room, mouth: tuple[float, float, float], order: int) -> np.ndarray:
    """Adds up the energies of the images of an empty room without absorption, [reflections, milliseconds]."""
    numbers = np.arange(-order, order + 1)
    squares = []
    for size, place, microphone in zip(room.size, mouth, room.microphone):
        images = np.where(numbers % 2 == 0, numbers * size + place, (numbers + 1) * size - place)
        squares.append((images - microphone) ** 2)
    x, y, z = np.ix_(*[np.abs(numbers)] * 3)
    n_reflections = x + y + z
    is_made = n_reflections <= order
    x, y, z = np.ix_(*squares)
    square = (x + y + z)[is_made]
    later = np.rint((np.sqrt(square) - np.sqrt(square.min())) / _SPEED / _BIN).astype(np.int64)
    n_bins = int(later.max()) + 1
    places = n_reflections[is_made] * n_bins + later
    return np.bincount(places, 1 / square, (order + 1) * n_bins).reshape(order + 1, n_bins)


def reverberation_time(energies: np.ndarray, rate: float) -> float:
    """Returns the reverberation time in s: of the line through what is left, from -5 to -35 dB (T30 of ISO 3382).

    >>> round(reverberation_time(10 ** (-6 * np.arange(1000) / 1000 / 0.4), 1000), 3)
    0.4

    Args:
        energies: [n].
        rate: of them a second.
    """
    left = np.cumsum(energies[::-1])[::-1]
    level = 10 * np.log10(np.maximum(left / left[0], 1e-12))
    places = np.flatnonzero((level <= _FIRST) & (level >= _LAST))
    if len(places) < 2:
        return 0.0
    slope = np.polyfit(places / rate, level[places], 1)[0]
    return float(-60 / slope) if slope < 0 else np.inf


def reverberate(signal: np.ndarray, stretches: Sequence[tuple[int, int]], response: Response) -> np.ndarray:
    """Returns a signal, [T], as it is heard in a room, float64 [T].

    The direct sound comes when it came without a room. Where neither sound nor reverberation is, there are zeros.

    Args:
        signal: [T], zero beside the stretches.
        stretches: first sample and end of each.
        response: of the room.
    """
    heard = np.zeros(len(signal))
    for start, end in stretches:
        image = fftconvolve(np.asarray(signal[start:end], np.float64), response.samples)
        first = start - response.direct
        image = image[max(0, -first) : len(signal) - first]
        heard[max(0, first) : max(0, first) + len(image)] += image
    return heard
