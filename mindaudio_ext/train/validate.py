"""How well a model separates the whole utterances of a validation set."""

from collections.abc import Iterator, Sequence

import numpy as np

from mindaudio_ext.data.dataset import whole_utterances
from mindaudio_ext.data.mindrecord import Manifest
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.si_snr import si_snr
from mindaudio_ext.models.whole import WholeUtterance


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
