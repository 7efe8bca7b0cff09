"""What a table says of a set's scores: means, medians, intervals, and how they depend on the mixture."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mindaudio_ext.score.score import SetScores, UtteranceScores
from mindaudio_ext.score.windows import mixture_of

N_RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 100  # bounds the memory: 100 x 3000 utterances are 2.4 MB

_SHORT, _LONG = 4, 8  # seconds
_ALIKE, _UNLIKE = 2, 5  # dB


@dataclass(frozen=True)
class Spread:
    """A value's mean over utterances (each the mean over its sources), median and 95 % interval of the mean."""

    mean: float
    median: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """A set's scores in a few numbers.

    Attributes:
        n_scored, n_utts: utterances (or windows) that were scored, and that there are.
        mixtures: metric -> mean of the unprocessed mixture.
        estimates: metric -> of the estimates.
        improvements: metric -> of the differences of the two.
        share_worse: share of utterances with SI-SNRi below 0 dB, 0 to 1.
    """

    n_scored: int
    n_utts: int
    mixtures: dict[str, float]
    estimates: dict[str, Spread]
    improvements: dict[str, Spread]
    share_worse: float


@dataclass(frozen=True)
class Group:
    """Utterances of one kind; `si_snri` in dB, `share_worse` as in `Summary`."""

    by: str
    name: str
    n_utts: int
    si_snri: Spread
    share_worse: float


def bootstrap_interval(
    values: np.ndarray, *, groups: Sequence[str] | None = None, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean of values.

    >>> bootstrap_interval(np.array([2.0, 2.0, 2.0]))
    (2.0, 2.0)

    Args:
        values: [N].
        groups: what each value belongs to. Whole groups are drawn, because values of one are not independent: windows
            of one mixture overlap. Without, each value is its own group.
        level: the share of resampled means inside.
        seed: of the resampling; the same values give the same interval.

    Raises:
        ValueError: there are no values.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"expected values [N], N at least 1, got shape {values.shape}")
    members = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(members, weights=values), np.bincount(members)  # [G]
    rng = np.random.default_rng(seed)
    shape = (_RESAMPLES_AT_ONCE, len(sums))
    draws = (rng.integers(len(sums), size=shape) for _ in range(N_RESAMPLES // _RESAMPLES_AT_ONCE))
    means = np.concatenate([sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1) for drawn in draws])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def utterance_means(values: Iterable[Sequence[float]]) -> np.ndarray:
    """Returns the mean over its sources of each utterance, [N]; silent ones, which are NaN, do not count."""
    return np.array([np.nanmean(of_one) for of_one in values])


def si_snri_of(utterances: Sequence[UtteranceScores]) -> np.ndarray:
    """Returns the SI-SNRi of each utterance, dB, [N]."""
    return utterance_means(utterance.improvements("si_snr") for utterance in utterances)


def summarise(scores: SetScores) -> Summary:
    """Returns a set's means, medians, intervals and share of confusions."""
    utterances, metrics = scores.utterances, scores.metrics
    groups = [mixture_of(utterance.key) for utterance in utterances] if scores.windows else None
    mixtures = {name: utterance_means(one.mixtures[name] for one in utterances) for name in metrics}
    estimates = {name: utterance_means(one.estimates[name] for one in utterances) for name in metrics}
    return Summary(
        n_scored=len(utterances),
        n_utts=scores.n_utts,
        mixtures={name: float(mixtures[name].mean()) for name in metrics},
        estimates={name: _spread(estimates[name], groups) for name in metrics},
        improvements={name: _spread(estimates[name] - mixtures[name], groups) for name in metrics},
        share_worse=float((si_snri_of(utterances) < 0).mean()),
    )


def _spread(values: np.ndarray, groups: Sequence[str] | None = None) -> Spread:
    return Spread(float(values.mean()), float(np.median(values)), bootstrap_interval(values, groups=groups))


def break_down(scores: SetScores) -> list[Group]:
    """Returns the SI-SNRi by the speakers' sexes, the length and the difference of the sources' levels.

    Kinds that no utterance has are left out; so are the sexes when they are not known, and the levels where only one
    source is not silent.
    """
    kinds = {"sexes": _sexes_kind, "duration": _duration_kind, "level difference": _level_kind}
    return [
        _group(by, name, members)
        for by, kind in kinds.items()
        for name, members in sorted(_sorted_by_kind(scores.utterances, kind).items())
    ]


def _sorted_by_kind(
    utterances: Sequence[UtteranceScores], kind: Callable[[UtteranceScores], tuple[int, str] | None]
) -> dict[tuple[int, str], list[UtteranceScores]]:
    found: dict[tuple[int, str], list[UtteranceScores]] = {}
    for utterance in utterances:
        if (name := kind(utterance)) is not None:
            found.setdefault(name, []).append(utterance)
    return found


def _group(by: str, name: tuple[int, str], members: Sequence[UtteranceScores]) -> Group:
    si_snri = si_snri_of(members)
    return Group(by, name[1], len(members), _spread(si_snri), float((si_snri < 0).mean()))


def _sexes_kind(utterance: UtteranceScores) -> tuple[int, str] | None:
    return None if utterance.sexes is None else (0, utterance.sexes.replace(" ", " + "))


def _duration_kind(utterance: UtteranceScores) -> tuple[int, str]:
    return _kind(utterance.seconds, _SHORT, _LONG, "s")


def _level_kind(utterance: UtteranceScores) -> tuple[int, str] | None:
    return None if np.isnan(utterance.level_difference) else _kind(utterance.level_difference, _ALIKE, _UNLIKE, "dB")


def _kind(value: float, low: float, high: float, unit: str) -> tuple[int, str]:
    if value < low:
        return 0, f"below {low} {unit}"
    return (1, f"{low} to {high} {unit}") if value < high else (2, f"{high} {unit} or more")
