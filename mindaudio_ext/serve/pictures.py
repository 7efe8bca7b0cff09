"""What the page shows of a wav of any length: its outline, its spectrogram, and when somebody speaks in it."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mindaudio_ext.score.plots import draw_frames, frame_length, waveform

COLUMNS = 480  # of a picture
_FRAME = 0.05  # seconds of which the level is taken
_SPEECH_DB = -20  # of a frame's level, over that of the signal's loud frames
_LOUD = 95  # per cent of the frames are below that level
_SHORTEST_PAUSE = 0.2  # seconds; a shorter one is none


def draw(
    paths: Sequence[Path], *, turns: Sequence[Sequence[tuple[float, float]]] | None = None
) -> list[dict[str, Any]]:
    """Returns the pictures of wavs of the same length, with the first one's peak as the height of all.

    Args:
        paths: the mixture and the voices, of one channel.
        turns: of each voice, starts and ends in seconds; None when only loudness tells when somebody speaks.

    Returns:
        For each its `file`, `waveform` (SVG), `spectrogram` (a data URI), and `speech`: [start, end] in seconds each.
    """
    peak = 0.0
    drawn = []
    known = None if turns is None else [[turn for own in turns for turn in own], *turns]  # somebody's; each voice's
    for number, path in enumerate(paths):
        with soundfile.SoundFile(path) as sound:
            outline, frames = _columns(sound)
            peak = peak or float(np.abs(outline).max(initial=0))
            drawn.append(
                {
                    "file": path.name,
                    "waveform": waveform(outline, peak, columns=len(outline) // 2),
                    "spectrogram": draw_frames(frames),
                    "speech": speech(_levels(sound), _FRAME) if known is None else list(map(list, known[number])),
                }
            )
    return drawn


def speech(levels: np.ndarray, step: float) -> list[list[float]]:
    """Returns when a signal is loud enough to be speech.

    >>> speech(np.array([0, 1, 1, 0, 0, 1.0]), 0.5)
    [[0.5, 1.5], [2.5, 3.0]]

    Args:
        levels: root mean square of each frame.
        step: seconds of a frame.

    Returns:
        [start, end] in seconds each.
    """
    loud = levels[levels > 0]
    if not len(loud):
        return []
    is_speech = levels > np.percentile(loud, _LOUD) * 10 ** (_SPEECH_DB / 20)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_speech, [False])).astype(int)))
    spans: list[list[float]] = []
    for start, end in (edges.reshape(-1, 2) * step).tolist():
        if spans and start - spans[-1][1] < _SHORTEST_PAUSE:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    return [[round(start, 3), round(end, 3)] for start, end in spans]


def _columns(sound: soundfile.SoundFile) -> tuple[np.ndarray, np.ndarray]:
    """Returns the least and the largest sample of each column in turn, [2 S], and a frame from its middle, [S, K]."""
    length = frame_length(sound.samplerate)
    edges = np.linspace(0, sound.frames, min(COLUMNS, sound.frames) + 1).astype(int)
    outline, frames = [], []
    for start, end in itertools.pairwise(edges):
        sound.seek(start)
        samples = sound.read(end - start)
        outline += [samples.min(), samples.max()]
        sound.seek(max(0, (start + end - length) // 2))
        frames.append(sound.read(length, fill_value=0))
    return np.array(outline), np.array(frames)


def _levels(sound: soundfile.SoundFile) -> np.ndarray:
    """Returns the root mean square of each frame of `_FRAME` seconds."""
    sound.seek(0)
    size = max(1, round(_FRAME * sound.samplerate))
    return np.array([np.sqrt(np.mean(np.square(block))) for block in sound.blocks(size)])
