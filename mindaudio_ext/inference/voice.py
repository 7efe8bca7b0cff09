"""What a voice is like, as a vector: near for the same person, far for others. NumPy alone.

Mel cepstra and pitch of the frames in which somebody speaks, their means and spreads, brought by linear discriminant
analysis to 16 numbers whose spread for one person is 1. `tools/train_voices.py` makes the matrix from speech of many.

Cepstra: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition in
continuously spoken sentences", IEEE TASSP 1980. Discriminant analysis: Fisher, "The use of multiple measurements in
taxonomic problems", Annals of Eugenics 1936.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soxr

RATE = 8000  # Hz, at which voices are looked at
_SIZE, _HOP = 256, 80  # samples of a frame, and from one to the next
_MELS, _CEPSTRA = 26, 20
_LOWEST, _HIGHEST = 80.0, 3800.0  # Hz
_LOWEST_PITCH, _HIGHEST_PITCH = 65, 400  # Hz
_VOICED = 0.45  # of a frame's power, at the lag of its pitch
_LOUD, _RANGE = 95, 30.0  # frames of speech are at most 30 dB below the loud ones
_DOMINANT = 10.0  # times the power of all others together
LEAST = 20  # frames, 0.2 s
UNIT = 250  # frames of what the spread of 1 is of, 2.5 s
PARAMETERS = Path(__file__).with_name("voices.npz")


def voices_of(tracks: np.ndarray, sample_rate: int) -> list[tuple[np.ndarray, float] | None]:
    """Returns of each track the vector [16] of its voice and its weight, in units of 2.5 s.

    Args:
        tracks: [C, T], of people who may speak at once; only frames are looked at in which one is alone.
        sample_rate: Hz.

    Returns:
        For each track the two, or None when nobody speaks in it alone for 0.2 s.
    """
    if sample_rate != RATE:
        tracks = soxr.resample(tracks.T, sample_rate, RATE).T
    framed = [_frames(np.asarray(track, np.float64)) for track in tracks]
    powers = np.stack([np.square(frames).sum(axis=1) for frames in framed])  # [C, F]
    found: list[tuple[np.ndarray, float] | None] = []
    for track, frames in enumerate(framed):
        others = np.delete(powers, track, axis=0).sum(axis=0)
        chosen = _speech(powers[track], powers) & (powers[track] > _DOMINANT * others)
        values = statistics_of(frames, chosen)
        found.append(None if values is None else (_projected(values), chosen.sum() / UNIT))
    return found


def statistics(samples: np.ndarray) -> np.ndarray | None:
    """Returns the numbers that describe a voice, [63], of speech of one person at 8 kHz, [T]; None of too little."""
    frames = _frames(np.asarray(samples, np.float64))
    power = np.square(frames).sum(axis=1)
    return statistics_of(frames, _speech(power, power[None]))


def _frames(samples: np.ndarray) -> np.ndarray:
    """Cuts [T] into frames [F, n]."""
    if len(samples) < _SIZE:
        samples = np.pad(samples, (0, _SIZE - len(samples)))
    return np.lib.stride_tricks.sliding_window_view(samples, _SIZE)[::_HOP]


def _speech(power: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Tells which frames, [F], are speech: not far below the loud ones of all tracks, [C, F]."""
    loudest = powers.max(axis=0)
    if not loudest.any():
        return np.zeros(len(power), bool)
    return power > np.percentile(loudest[loudest > 0], _LOUD) * 10 ** (-_RANGE / 10)


def statistics_of(frames: np.ndarray, chosen: np.ndarray) -> np.ndarray | None:
    """Returns the numbers that describe the voice of the frames [F, n] that are `chosen`, [F]; None of too few."""
    if chosen.sum() < LEAST:
        return None
    spectra = np.square(np.abs(np.fft.rfft(frames * np.hanning(_SIZE))))
    cepstra = np.log(spectra @ _mel_filters().T + 1e-8) @ _cosines().T  # [F, cepstra]
    changes = np.gradient(cepstra, axis=0)[chosen]
    lags, voicing = _pitch(frames[chosen])
    voiced = voicing > _VOICED
    log_pitch = np.log(RATE / lags[voiced]) if voiced.sum() > 5 else np.array([5.0])
    cepstra = cepstra[chosen]
    parts = [cepstra[:, 1:].mean(axis=0), cepstra[:, 1:].std(axis=0), cepstra[:, :1].std(axis=0), changes.std(axis=0)]
    return np.concatenate([*parts, np.percentile(log_pitch, [20, 50, 80]), [voiced.mean()]])


def _pitch(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lag in samples at which each frame is most alike itself, and how much, as a share of its power."""
    spectra = np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), 2 * _SIZE)
    products = np.fft.irfft(np.square(np.abs(spectra)))
    shortest, longest = RATE // _HIGHEST_PITCH, RATE // _LOWEST_PITCH
    shares = products[:, shortest:longest] / (products[:, :1] + 1e-12)
    return shares.argmax(axis=1) + shortest, shares.max(axis=1)


@cache
def _mel_filters() -> np.ndarray:
    """Triangles over the frequencies of a frame, [mels, n / 2 + 1]."""
    low, high = (1127 * np.log(1 + frequency / 700) for frequency in (_LOWEST, _HIGHEST))
    edges = 700 * (np.exp(np.linspace(low, high, _MELS + 2) / 1127) - 1)
    frequencies = np.arange(_SIZE // 2 + 1) * RATE / _SIZE
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


@cache
def _cosines() -> np.ndarray:
    return np.cos(np.pi * np.outer(np.arange(_CEPSTRA), (np.arange(_MELS) + 0.5) / _MELS))


def _projected(values: np.ndarray) -> np.ndarray:
    mean, scale, matrix = _parameters()
    return ((values - mean) / scale) @ matrix


@cache
def _parameters() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(PARAMETERS) as stored:
        return stored["mean"], stored["scale"], stored["matrix"]


def discriminants(values: np.ndarray, speakers: Sequence[str], size: int = 16) -> dict[str, np.ndarray]:
    """Returns what `voices.npz` holds: `mean` [D], `scale` [D], `matrix` [D, size].

    Args:
        values: of `statistics`, of 2.5 s of speech each, [N, D].
        speakers: whose each is, [N]; those with one alone only take part in mean and scale.
        size: numbers of a vector.
    """
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    values = (values - mean) / scale
    _, place, count = np.unique(np.asarray(speakers), return_inverse=True, return_counts=True)
    several = count[place] > 1
    values, (_, place, count) = values[several], np.unique(place[several], return_inverse=True, return_counts=True)
    means = np.zeros((len(count), values.shape[1]))
    np.add.at(means, place, values)
    means /= count[:, None]
    rest = values - means[place]
    within = rest.T @ rest / (len(values) - len(count))
    between = np.cov(means.T) - within * np.mean(1 / count)
    whitening = np.linalg.cholesky(np.linalg.inv(within + 1e-4 * np.eye(len(within))))
    strengths, directions = np.linalg.eigh(whitening.T @ between @ whitening)
    matrix = whitening @ directions[:, np.argsort(-strengths)[:size]]
    return {name: part.astype(np.float32) for name, part in (("mean", mean), ("scale", scale), ("matrix", matrix))}
