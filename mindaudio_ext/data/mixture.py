"""LibriMix's rules for a mixture (Cosentino et al., 2020): loudness of the sources, the shortest's length, peaks."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyloudnorm

from mindaudio_ext.data.audio import to_pcm16

QUIETEST, LOUDEST = -33.0, -25.0  # LUFS of a source
PEAK = 0.9  # of full scale: what a source or mixture that is too loud is scaled to
SHORTEST = 0.4  # seconds: a gating block of BS.1770, below which a signal has no loudness


def loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Returns the loudness of [T] in LUFS (ITU-R BS.1770); -inf for silence.

    Raises:
        ValueError: when it is shorter than 0.4 s.
    """
    return float(_meter(sample_rate).integrated_loudness(np.asarray(samples, np.float64)))


def at_level(pieces: Sequence[np.ndarray], target: float, sample_rate: int) -> list[np.ndarray]:
    """Brings a speaker's pieces, float32 [n], all alike, to a loudness in LUFS; without one they stay as they are."""
    joined = np.concatenate(pieces)
    level = loudness(joined, sample_rate) if len(joined) >= SHORTEST * sample_rate else -np.inf
    gain = np.float32(10 ** ((target - level) / 20)) if np.isfinite(level) else np.float32(1)
    return [gain * piece for piece in pieces]


def mix(
    signals: Sequence[np.ndarray], *, loudnesses: Sequence[float], targets: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes signals by LibriMix's rules.

    Args:
        signals: each [T_i], full scale 1.
        loudnesses: what they have, LUFS.
        targets: what they get, LUFS; less when a source's peak would reach full scale.

    Returns:
        the mixture int16 [T] and the sources int16 [C, T], T being the shortest length; the sources add up to the
        mixture within C - 1 steps.
    """
    shortest = min(len(signal) for signal in signals)
    sources = np.empty((len(signals), shortest))
    for i, signal in enumerate(signals):
        scaled = np.asarray(signal, np.float64) * 10 ** ((targets[i] - loudnesses[i]) / 20)
        peak = np.abs(scaled).max()
        sources[i] = (scaled * (PEAK / peak) if peak >= 1 else scaled)[:shortest]
    peak = np.abs(sources.sum(axis=0)).max()
    if peak > PEAK:
        sources *= PEAK / peak
    return to_pcm16(sources.sum(axis=0)), to_pcm16(sources)


@cache
def _meter(sample_rate: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(sample_rate)
