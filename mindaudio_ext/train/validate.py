"""How well a model separates the whole utterances of a validation set."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.dataset import whole_utterances
from mindaudio_ext.data.mindrecord import Manifest
from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.inference.level import fit_level, limit_peak
from mindaudio_ext.keys import file_name
from mindaudio_ext.metrics._permutation import assign_estimates
from mindaudio_ext.metrics.si_snr import ALONE_DB, si_snr
from mindaudio_ext.models.evaluation import WholeUtterance

N_EXAMPLES = 3
WORST_LOSS = 100.0  # dB; stands for what is not finite


class Score(NamedTuple):
    """The score of an utterance.

    Attributes:
        si_snr: mean over the sources that are not silent, dB; NaN when the estimates are not finite.
        si_snri: the same of the improvement; None for a source alone in its mixture, which cannot be improved.
        n_silent: silent sources, which cannot be scored.
        n_scored: the other ones.
        loss: what the training minimises, when that has a value for silent references too; None: minus SI-SNR is it.
    """

    si_snr: float
    si_snri: float | None
    n_silent: int
    n_scored: int
    loss: float | None = None


def rows_by_length(manifest: Manifest, *, shortest: int, longest: int | None) -> list[int]:
    """Returns the rows of the utterances of so many samples, by length: neighbours take equally long."""
    lengths = manifest.num_samples
    rows = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [row for row in rows if shortest <= lengths[row] and (longest is None or lengths[row] <= longest)]


def score_utterances(
    model: WholeUtterance, manifest: Manifest, rows: Sequence[int], criterion: nn.Cell | None = None
) -> Iterator[Score]:
    """Yields the scores of the utterances in these rows, in this order; with `criterion`, of its loss too."""
    for mixture, sources in whole_utterances(manifest, rows):
        estimates = model.separate(mixture)
        score = score_estimates(mixture=mixture, sources=sources, estimates=estimates)
        yield score if criterion is None else score._replace(loss=_loss(criterion, estimates, sources))


@one_at_a_time
def _loss(criterion: nn.Cell, estimates: np.ndarray, sources: np.ndarray) -> float:
    lengths = np.array([sources.shape[1]], np.int32)
    return float(criterion(Tensor(estimates[None]), Tensor(sources[None]), Tensor(lengths)))


def score_estimates(*, mixture: np.ndarray, sources: np.ndarray, estimates: np.ndarray) -> Score:
    """Returns the score of an utterance: mixture [T], sources [C, T], estimates [C, T] in any order."""
    heard = sources[np.ptp(sources, axis=1) > 0]  # [R, T]
    n_silent, n_scored = len(sources) - len(heard), len(heard)
    if n_scored == 0 or not np.isfinite(estimates).all():
        return Score(math.nan, math.nan, n_silent, n_scored)
    _, scores = assign_estimates(estimates=estimates, references=sources)  # [C]
    reached = scores[~np.isnan(scores)].mean()
    unprocessed = si_snr(estimate=np.broadcast_to(mixture, heard.shape), reference=heard).mean()
    alone = n_scored == 1 and unprocessed > ALONE_DB
    return Score(float(reached), None if alone else float(reached - unprocessed), n_silent, n_scored)


def mean_scores(scores: Sequence[Score]) -> tuple[float, float]:
    """Returns the mean loss and the mean SI-SNRi.

    SI-SNRi is that of the utterances with a source that can be improved, 0 without any. The loss is that of all
    utterances where it has a value for silent references, and otherwise minus the mean SI-SNR of those with a source to
    score. The worst of what is not finite, and when there is nothing to score.
    """
    scored = [score for score in scores if score.n_scored]
    improvements = [score.si_snri for score in scored if score.si_snri is not None]
    losses = [score.loss for score in scores if score.loss is not None]
    if not scored and not losses:
        return WORST_LOSS, -WORST_LOSS
    loss = np.mean(losses) if losses else -np.mean([score.si_snr for score in scored])
    improvement = np.mean(improvements) if improvements else 0.0
    if not np.isfinite(loss + improvement):
        return WORST_LOSS, -WORST_LOSS
    return float(loss), float(improvement)


def write_examples(
    model: WholeUtterance, manifest: Manifest, rows: Sequence[int], folder: Path, *, at_level: bool = False
) -> None:
    """Writes the utterances in these rows: `<key>_mix.wav`, `<key>_s1.wav`, ...; fits levels unless they are right."""
    for row, (mixture, _) in zip(rows, whole_utterances(manifest, rows)):
        path = folder / file_name(manifest.keys[row])
        estimates = model.separate(mixture)
        estimates = limit_peak(estimates if at_level else fit_level(estimates=estimates, mixture=mixture))
        write_wav(path.with_name(f"{path.name}_mix.wav"), mixture, manifest.sample_rate)
        for number, estimate in enumerate(estimates, start=1):
            write_wav(path.with_name(f"{path.name}_s{number}.wav"), estimate, manifest.sample_rate)
