"""How well a model separates the whole utterances of a validation set."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.dataset import whole_utterances
from mindaudio_ext.data.mindrecord import Manifest
from mindaudio_ext.decode.separate import fit_level, limit_peak
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.si_snr import si_snr
from mindaudio_ext.models.whole import WholeUtterance

N_EXAMPLES = 3
WORST_LOSS = 100.0  # dB; stands for what is not finite


def short_enough(manifest: Manifest, max_samples: int | None) -> list[int]:
    """Gives the rows of the utterances of at most `max_samples`, by length: neighbours take equally long."""
    lengths = manifest.num_samples
    rows = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [row for row in rows if max_samples is None or lengths[row] <= max_samples]


def score_utterances(model: WholeUtterance, manifest: Manifest, rows: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Yields SI-SNR and SI-SNRi, means over the sources, dB, of the utterances in these rows, in this order."""
    for mixture, sources in whole_utterances(manifest, rows):
        yield _score(mixture=mixture, sources=sources, estimates=model.separate(mixture))


def _score(*, mixture: np.ndarray, sources: np.ndarray, estimates: np.ndarray) -> tuple[float, float]:
    estimate, reference = np.broadcast_arrays(estimates[:, None], sources[None])  # [C, C, T]
    pairs = si_snr(estimate=estimate, reference=reference)
    reached = pairs[best_permutation(pairs), np.arange(len(sources))].mean()
    unprocessed = si_snr(estimate=np.broadcast_to(mixture, sources.shape), reference=sources).mean()
    return float(reached), float(reached - unprocessed)


def mean_scores(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Gives the loss, minus the mean SI-SNR, and the mean SI-SNRi; of scores that are not finite, the worst."""
    reached, improvement = np.mean(scores, axis=0)
    if not np.isfinite(reached + improvement):
        return WORST_LOSS, -WORST_LOSS
    return -float(reached), float(improvement)


def write_examples(model: WholeUtterance, manifest: Manifest, rows: Sequence[int], folder: Path) -> None:
    """Writes the utterances in these rows: `<key>_mix.wav`, `<key>_s1.wav`, ..."""
    for row, (mixture, _) in zip(rows, whole_utterances(manifest, rows)):
        path = folder / manifest.keys[row]
        estimates = limit_peak(fit_level(estimates=model.separate(mixture), mixture=mixture))
        write_wav(path.with_name(f"{path.name}_mix.wav"), mixture, manifest.sample_rate)
        for number, estimate in enumerate(estimates, start=1):
            write_wav(path.with_name(f"{path.name}_s{number}.wav"), estimate, manifest.sample_rate)
