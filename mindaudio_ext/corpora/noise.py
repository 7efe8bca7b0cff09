"""Noise under simulated conversations: of a colour, of the speech of others, or of a folder of recordings."""

import itertools
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from mindaudio_ext.data.conversation_statistics import HIGHEST_SNR, LOWEST_SNR
from mindaudio_ext.data.noise import BABBLE, COLOURS, FEWEST_TALKERS, TALKERS
from mindaudio_ext.data.sound import open_sound
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import is_file

_ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
_SHORTEST_FILE = 5.0  # seconds: with shorter ones the noise repeats itself
_SEAM = 0.02  # seconds of cross-fade between two pieces


@dataclass(frozen=True)
class Piece:
    """A piece of a recording: its file and its samples at the set's rate, all when they are not given."""

    path: str
    start: int = 0
    stop: int = sys.maxsize


Voices = tuple[tuple[Piece, ...], ...]  # what is heard at a time, of each what is heard in turn


def check_noise(kind: str, snr: tuple[float, float]) -> None:
    """Raises InputError when there is no such noise, or it cannot have these SNRs."""
    if kind and kind not in (*COLOURS, BABBLE):
        noise_files(kind)
    if not LOWEST_SNR <= snr[0] <= snr[1] <= HIGHEST_SNR:
        raise InputError(
            f"snr: from {LOWEST_SNR:g} to {HIGHEST_SNR:g} dB, the lower first, are expected; got {snr[0]:g} {snr[1]:g}"
        )


def noise_files(folder: str) -> list[str]:
    """Lists the recordings below a folder, sorted; raises InputError when there are none."""
    if not os.path.isdir(folder):
        known = ", ".join((*COLOURS, BABBLE))
        raise InputError(f"noise: {folder}: no such folder; one of recordings is expected, or {known}")
    found = sorted(str(path) for path in Path(folder).rglob("*") if path.suffix.lower() in _ENDINGS and is_file(path))
    if not found:
        raise InputError(f"noise: {folder}: has no recordings ({', '.join(_ENDINGS)})")
    return found


def draw_babble(rng: np.random.Generator, others: Sequence[tuple[Piece, ...]]) -> Voices:
    """Draws six of the other speakers, or as many as there are, and where each begins.

    Raises:
        InputError: when there are fewer than three.
    """
    if len(others) < FEWEST_TALKERS:
        raise InputError(
            f"noise: babble is of {FEWEST_TALKERS} speakers or more who are not in the conversation; "
            f"there are {len(others)}"
        )
    chosen = [others[i] for i in rng.permutation(len(others))[:TALKERS]]
    starts = [int(rng.integers(len(pieces))) for pieces in chosen]
    return tuple(pieces[start:] + pieces[:start] for pieces, start in zip(chosen, starts))


def draw_files(rng: np.random.Generator, files: Sequence[str], seconds: float) -> Voices:
    """Draws as many files as give so many seconds, when each has five or more."""
    wanted = math.ceil(seconds / _SHORTEST_FILE)
    return (tuple(Piece(files[i]) for i in rng.permutation(len(files))[:wanted]),)


def recorded(voices: Voices, n_samples: int, sample_rate: int) -> np.ndarray:
    """Returns the sum, float64 [T], of voices of the same power, each of which begins anew when it has ended.

    Raises:
        InputError: naming a file, when it cannot be read, or a voice's first one, when the voice is silent.
    """
    total = np.zeros(n_samples)
    for pieces in voices:
        signal = _in_turn(pieces, n_samples, sample_rate)
        power = np.square(signal).mean()
        if power == 0:
            raise InputError(f"{pieces[0].path}: the noise is silent")
        total += signal / np.sqrt(power)
    return total


def _in_turn(pieces: Sequence[Piece], n_samples: int, sample_rate: int) -> np.ndarray:
    """Puts pieces one after the other, again and again, to float64 [T]; each fades into the next."""
    signal, end, seam = np.zeros(n_samples), 0, round(_SEAM * sample_rate)
    for piece in itertools.cycle(pieces):
        samples = _first_channel(piece.path, sample_rate)[piece.start : piece.stop].astype(np.float64)
        size = min(seam, len(samples) // 2)
        ramp = (np.arange(size) + 0.5) / max(1, size)
        samples[len(samples) - size :] *= ramp[::-1]
        if end:
            samples[:size] *= ramp
        part = samples[: n_samples - end]
        signal[end : end + len(part)] += part
        end += max(1, len(samples) - size)
        if end >= n_samples:
            return signal
    raise AssertionError("a voice has pieces")


@lru_cache(maxsize=2)  # pieces of one file follow each other
def _first_channel(path: str, sample_rate: int) -> np.ndarray:
    with open_sound(path) as sound:
        samples = sound.read()[:, 0]
        if not np.isfinite(samples).all():
            raise InputError(f"{path}: has NaN or infinity at sample {int(np.argmin(np.isfinite(samples)))}")
        return samples if sound.sample_rate == sample_rate else resample_poly(samples, sample_rate, sound.sample_rate)
