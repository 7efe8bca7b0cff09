"""How well a model separates the whole utterances of a validation set."""

from collections.abc import Iterator

import numpy as np

from mindaudio_ext.data.dataset import whole_utterances
from mindaudio_ext.data.mindrecord import Manifest
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.si_snr import si_snr
from mindaudio_ext.models.whole import WholeUtterance


def score_utterances(
    model: WholeUtterance, manifest: Manifest, max_samples: int | None
) -> Iterator[tuple[float, float]]:
    """Yields SI-SNR and SI-SNRi, means over the sources, dB, of each utterance of at most `max_samples`."""
    for mixture, sources in whole_utterances(manifest, max_samples):
        yield _score(mixture=mixture, sources=sources, estimates=model.separate(mixture))


def _score(*, mixture: np.ndarray, sources: np.ndarray, estimates: np.ndarray) -> tuple[float, float]:
    estimate, reference = np.broadcast_arrays(estimates[:, None], sources[None])  # [C, C, T]
    pairs = si_snr(estimate=estimate, reference=reference)
    reached = pairs[best_permutation(pairs), np.arange(len(sources))].mean()
    unprocessed = si_snr(estimate=np.broadcast_to(mixture, sources.shape), reference=sources).mean()
    return float(reached), float(reached - unprocessed)
