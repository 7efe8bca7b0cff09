"""Gives a model that was trained by a loss without levels the levels that another loss asks for."""

from collections.abc import Iterable

import numpy as np
from mindspore import Tensor, nn

from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.metrics._permutation import best_permutation

_NEAR = 2.0  # a factor of less is no reason to change anything


def match_level(model: nn.Cell, batches: Iterable[Batch]) -> float:
    """Scales a decoder's filters such that the estimates are as near to the sources as a factor can bring them.

    SI-SNR leaves levels open, and models trained by it are some 20 dB too loud. A loss that asks for levels would begin
    far from its best there, and the first epochs would lose what the parameters know.

    Args:
        model: a `TasNet`; mixture [B, T] -> estimates [B, C, T].
        batches: to measure it on.

    Returns:
        The factor; 1 when the levels are right within a factor of 2 and nothing was changed, or when the decoder has no
        parameters.
    """
    parameters = model.decoder.trainable_params()
    if not parameters:
        return 1.0
    consistent, model.mixture_consistency = model.mixture_consistency, False
    model.set_train(False)
    products = power = 0.0
    try:
        for batch in batches:
            for estimates, sources in zip(model(Tensor(batch.mixture)).asnumpy(), batch.sources):
                scores = estimates.astype(np.float64) @ sources.T.astype(np.float64)  # [C, C]
                products += scores[best_permutation(scores), np.arange(len(sources))].sum()
                power += np.square(estimates, dtype=np.float64).sum()
    finally:
        model.mixture_consistency = consistent
    factor = products / power if power > 0 else 1.0
    if factor <= 0 or 1 / _NEAR < factor < _NEAR:
        return 1.0
    for parameter in parameters:
        parameter.set_data(Tensor(parameter.asnumpy() * np.float32(factor)))
    return float(factor)
