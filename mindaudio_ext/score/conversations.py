"""Scores of conversations: silence where nobody speaks, tracks that stay, how many people, and who spoke when.

Stage 4 computes them for a set whose data directory has an RTTM file. Estimates are in the references' order.
"""

import csv
import importlib.util
import io
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from mindaudio_ext.data.rttm import Turn
from mindaudio_ext.files import write_text
from mindaudio_ext.metrics._permutation import best_permutation

ALONE = 1.0  # seconds of a window in which one speaks, for the leakage
ORDER = 5.0  # seconds of a window in which the order of the tracks is looked at
COLLARS = (0.0, 0.25)  # seconds before and after each start and end of the reference, which are not scored
CLASSES = (0, 20, 40, 60, 80, 100)  # per cent of the speech that is overlapped
_FAINT = 0.05  # of a window: with less speech of a reference, it says nothing of the order
_SOFT = 0.02  # of a reference's largest sample: what is below tells nothing of when it is heard
SILENCE = 100.0  # dB under the mixture, which stands for digital silence


@dataclass(frozen=True)
class ErrorTimes:
    """Diarization errors in seconds, and the seconds of speech they are of."""

    speech: float
    missed: float
    false_alarm: float
    confusion: float

    @property
    def rate(self) -> float:
        """The diarization error rate, 0 to 1 and more; NaN without speech."""
        return (self.missed + self.false_alarm + self.confusion) / self.speech if self.speech else math.nan

    def __add__(self, other: "ErrorTimes") -> "ErrorTimes":
        return ErrorTimes(
            self.speech + other.speech,
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
        )


@dataclass(frozen=True)
class ConversationScores:
    """The scores of one recording.

    Attributes:
        key: of it.
        seconds: its length.
        overlap: share of the time with speech in which several speak, 0 to 1.
        n_speakers: people who speak.
        n_counted: tracks with speech in the estimates' RTTM; None when there is none.
        leakage: of each window of 1 s in which one speaks alone, by how many dB the loudest other track is below the
            mixture; 100 for silence.
        leakage_silenced: the same with tracks silenced outside of the turns of the estimates' RTTM.
        n_windows: windows of 5 s in which the order of the tracks can be told.
        n_other_order: those in which it is another than the recording's.
        n_changes: changes of order from one of these windows to the next.
        errors: collar in seconds -> diarization errors; empty when they cannot be computed.
        reference: the turns of the reference.
        hypothesis: of the estimates; None when there are none.
        speakers: whose each source is in `reference`; empty text for nobody's.
        tracks: what `hypothesis` calls the estimate of each source; none when there is no `hypothesis`.
    """

    key: str
    seconds: float
    overlap: float
    n_speakers: int
    n_counted: int | None
    leakage: tuple[float, ...]
    leakage_silenced: tuple[float, ...]
    n_windows: int
    n_other_order: int
    n_changes: int
    errors: Mapping[float, ErrorTimes]
    reference: tuple[Turn, ...]
    hypothesis: tuple[Turn, ...] | None
    speakers: tuple[str, ...]
    tracks: tuple[str, ...]

    @property
    def overlap_class(self) -> str:
        """The class of overlap, such as "20 to 40 %"."""
        if self.overlap == 0:
            return "none"
        place = min(int(100 * self.overlap // 20), len(CLASSES) - 2)
        return f"{CLASSES[place]} to {CLASSES[place + 1]} %"


def score_conversation(
    key: str,
    *,
    mixture: np.ndarray,
    references: np.ndarray,
    estimates: np.ndarray,
    sample_rate: int,
    turns: Sequence[Turn],
    found: Sequence[Turn] | None,
    tracks: Sequence[str] = (),
) -> ConversationScores:
    """Scores one recording.

    Args:
        key: of it.
        mixture: [T].
        references: [C, T].
        estimates: [C, T], in the references' order.
        sample_rate: Hz.
        turns: who speaks when.
        found: who speaks when as told from the estimates; None when that was not told.
        tracks: the name that `found` gives to each estimate's speaker, in the references' order.
    """
    names = sorted({turn.speaker for turn in turns})
    heard = _activity(turns, names, len(mixture), sample_rate)  # [N, T]
    count = heard.sum(axis=0)
    windows = _alone(count, round(ALONE * sample_rate))
    leakage = _leakage(windows, mixture, references, estimates)
    silenced: tuple[float, ...] = ()
    if found is not None and tracks:
        said = _activity(found, tracks, len(mixture), sample_rate)
        silenced = _leakage(windows, mixture, references, estimates * said)
    orders = _orders(references, estimates, round(ORDER * sample_rate))
    spoken = (count > 0).sum()
    return ConversationScores(
        key=key,
        seconds=len(mixture) / sample_rate,
        overlap=float((count > 1).sum() / spoken) if spoken else 0.0,
        n_speakers=len(heard),
        n_counted=None if found is None else len({turn.speaker for turn in found}),
        leakage=leakage,
        leakage_silenced=silenced,
        n_windows=len(orders),
        n_other_order=sum(orders),
        n_changes=sum(a != b for a, b in itertools.pairwise(orders)),
        errors={}
        if found is None or not can_diarize()
        else diarization_errors(turns, found, len(mixture) / sample_rate),
        reference=tuple(turns),
        hypothesis=None if found is None else tuple(found),
        speakers=_speakers_of(references, names, heard),
        tracks=() if found is None else tuple(tracks),
    )


def _activity(turns: Sequence[Turn], names: Sequence[str], n_samples: int, sample_rate: int) -> np.ndarray:
    """Returns when each of the speakers speaks, bool [N, T]."""
    heard = np.zeros((len(names), n_samples), bool)
    for turn in turns:
        if turn.speaker in names:
            heard[names.index(turn.speaker), round(turn.start * sample_rate) : round(turn.end * sample_rate)] = True
    return heard


def _speakers_of(references: np.ndarray, names: Sequence[str], heard: np.ndarray) -> tuple[str, ...]:
    """Tells whose each reference, [C, T], is: that of the speaker who is `heard`, [N, T], when it is loud."""
    levels = np.abs(references)
    loud = levels > _SOFT * levels.max(axis=1, keepdims=True)  # [C, T]
    both = loud.astype(np.float32) @ heard.astype(np.float32).T  # [C, N]
    alike = both / np.sqrt(np.maximum(1, np.outer(loud.sum(axis=1), heard.sum(axis=1))))
    found = [""] * len(references)
    for source, speaker in zip(*linear_sum_assignment(alike, maximize=True)):
        found[source] = names[speaker] if alike[source, speaker] > 0 else ""
    return tuple(found)


def _alone(count: np.ndarray, size: int) -> list[slice]:
    """Lists the windows, side by side, in which one speaks from first to last; `count` is how many speak, [T]."""
    edges = np.flatnonzero(np.diff(np.r_[False, count == 1, False]))
    return [
        slice(first, first + size)
        for start, end in zip(edges[::2], edges[1::2])
        for first in range(int(start), int(end) - size + 1, size)
    ]


def _leakage(
    windows: Sequence[slice], mixture: np.ndarray, references: np.ndarray, estimates: np.ndarray
) -> tuple[float, ...]:
    """Returns by how many dB the loudest track of another is below the mixture in each window."""
    found = []
    for window in windows:
        speaking = int(_power(references[:, window]).argmax())
        others = np.delete(_power(estimates[:, window]), speaking)
        total = float(_power(mixture[window]))
        if total > 0 and len(others):
            ratio = float(others.max()) / total
            found.append(min(SILENCE, -10 * math.log10(ratio)) if ratio > 0 else SILENCE)
    return tuple(found)


def _power(signals: np.ndarray) -> np.ndarray:
    return np.square(signals, dtype=np.float64).mean(axis=-1)


def _orders(references: np.ndarray, estimates: np.ndarray, size: int) -> list[bool]:
    """Tells of each window in which it can be told whether its order of tracks is another than the recording's."""
    found = []
    loud = _power(references).sum()
    for first in range(0, references.shape[1] - size + 1, size):
        window = slice(first, first + size)
        powers = _power(references[:, window])
        if powers.max() <= _FAINT * loud:
            continue
        products = estimates[:, window].astype(np.float64) @ references[:, window].astype(np.float64).T  # [C, C]
        heard = powers > _FAINT * powers.max()
        best = best_permutation(products[:, heard])
        found.append(best.tolist() != np.flatnonzero(heard).tolist())
    return found


def can_diarize() -> bool:
    """Whether pyannote.metrics, of the extra `diarization`, is installed."""
    return importlib.util.find_spec("pyannote") is not None and importlib.util.find_spec("pyannote.metrics") is not None


def diarization_errors(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], seconds: float
) -> dict[float, ErrorTimes]:
    """Returns collar -> diarization errors of a recording, by pyannote.metrics; overlapped speech is scored.

    A collar is of so many seconds before and after each start and end of the reference, as in NIST's md-eval.
    """
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(turns: Sequence[Turn]) -> Any:
        found = Annotation()
        for number, turn in enumerate(turns):
            found[Segment(turn.start, turn.end), number] = turn.speaker
        return found

    whole = Timeline([Segment(0, seconds)])
    errors = {}
    for collar in COLLARS:
        metric = DiarizationErrorRate(collar=2 * collar)  # pyannote's is both sides together
        parts = metric.compute_components(annotation(reference), annotation(hypothesis), uem=whole)
        errors[collar] = ErrorTimes(
            *(float(parts[name]) for name in ("total", "missed detection", "false alarm", "confusion"))
        )
    return errors


def write_conversation_scores(scores: Sequence[ConversationScores], path: str | os.PathLike) -> None:
    """Writes a row for each recording, atomically; what is not known is empty. Same scores, same bytes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = [f"der_collar_{collar:g}" for collar in COLLARS]
    head = ["key", "seconds", "overlap", "speakers", "counted", "leakage_median", "leakage_tenth", "windows"]
    table.writerow([*head, "other_order", "changes_of_order", *names])
    for one in scores:
        rates = [one.errors[collar].rate if collar in one.errors else math.nan for collar in COLLARS]
        numbers = [one.seconds, one.overlap]
        table.writerow(
            [
                one.key,
                *map(_number, numbers),
                one.n_speakers,
                "" if one.n_counted is None else one.n_counted,
                *map(_number, (quantile(one.leakage, 0.5), quantile(one.leakage, 0.1))),
                one.n_windows,
                one.n_other_order,
                one.n_changes,
                *map(_number, rates),
            ]
        )
    write_text(path, text.getvalue())


def quantile(values: Sequence[float], share: float) -> float:
    """Returns a quantile of values; NaN of none."""
    return float(np.quantile(values, share)) if len(values) else math.nan


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{round(value, 6) + 0.0:.6f}"
