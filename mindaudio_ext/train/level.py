"""Gives a model that was trained by a loss without levels and signs those that another loss asks for."""

import math
from collections.abc import Iterable

import numpy as np
from mindspore import Tensor

from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.encoders.conv import Decoder
from mindaudio_ext.encoders.mixing_conv import MixingDecoder
from mindaudio_ext.metrics._permutation import best_permutation
from mindaudio_ext.models.tasnet import TasNet

_WORTH = 3.0  # dB: what is nearer to the best filters than that keeps its own
_RIDGE = 1e-5  # of the features' mean power: filters that are not used stay small


def fit_decoder(model: TasNet, batches: Iterable[Batch]) -> float:
    """Replaces a decoder's filters by those that bring the estimates nearest to the sources, by least squares.

    SI-SNR leaves a level and a sign to each output. Models trained by it are some 20 dB too loud, and an output may be
    the negative of a voice, which no factor for all mends: where the outputs share their filters, it is each filter's
    sign that is wrong. A loss that asks for levels would begin far from its best there, and the first epochs would
    lose what the parameters know. The decoder is linear, so its best filters are found in closed form.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
        batches: to measure it on.

    Returns:
        By how many dB the estimates are nearer to the sources, without `mixture_consistency`; 0 when that would be less
        than 3 dB and nothing was changed, or when the decoder has no filters.
    """
    decoder = model.decoder
    if not isinstance(decoder, Decoder | MixingDecoder):
        return 0.0
    model.set_train(False)
    old = decoder.weight.asnumpy()
    n_before = decoder.n_before if isinstance(decoder, MixingDecoder) else 0
    sums = _Sums(n_in=len(old), n_out=old.size // (len(old) * old.shape[-1]), kernel=old.shape[-1], stride=model.stride)
    for batch in batches:
        mixture = Tensor(batch.mixture)
        features = model.features(mixture)
        of_sources = model.of_sources(features, model.separator(features)).asnumpy()  # [B, C, L, N]
        estimates = model.decode(decoder, Tensor(of_sources), batch.mixture.shape[1]).asnumpy()
        for x, y, sources, signal in zip(of_sources, estimates, batch.sources, batch.mixture):
            level = signal.std(ddof=1)
            if level == 0:
                continue
            order = best_permutation(_alike(y, sources))
            y = np.empty_like(sources)
            y[order] = sources  # [C, T], of each output
            y = np.pad(y / level, ((0, 0), (n_before, 0)))
            x = x if model.normalize_variance else x / level
            if sums.n_out == 1:
                for features_of_one, target in zip(x, y):
                    sums.add(features_of_one, target[None])
            else:
                sums.add(np.concatenate(list(x), axis=1), y)
    new = sums.best()
    error, least = sums.error(old.reshape(new.shape)), sums.error(new)
    gain = 10 * math.log10(error / least) if 0 < least < error else 0.0
    if gain < _WORTH:
        return 0.0
    decoder.weight.set_data(Tensor(new.reshape(old.shape).astype(np.float32)))
    return gain


def _alike(estimates: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The squared correlation of estimates [C, T] and sources [C, T], [C, C]; 0 with silence."""
    estimates, sources = estimates.astype(np.float64), sources.astype(np.float64)
    power = np.square(estimates).sum(axis=1)[:, None] * np.square(sources).sum(axis=1)
    return np.square(estimates @ sources.T) / np.where(power > 0, power, 1)


class _Sums:
    """The normal equations of filters, [n_in, n_out, kernel], of frames that overlap.

    A stride of samples is made by the filters of the frame that begins with it and of those before it that reach it:
    the j-th before by its samples from j * stride on.
    """

    def __init__(self, *, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        self.n_in, self.n_out, self.kernel, self.stride = n_in, n_out, kernel, stride
        self.reach = -(-kernel // stride)  # frames
        self.features = np.zeros((self.reach * n_in, self.reach * n_in))
        self.products = np.zeros((self.reach * n_in, n_out, stride))
        self.power = 0.0

    def add(self, features: np.ndarray, target: np.ndarray) -> None:
        """Adds an example: features [L, n_in], and what is to be made of them, [n_out, T], from its first frame on."""
        n_strides = len(features) + self.reach - 1
        x = np.concatenate(
            [np.pad(features, ((j, self.reach - 1 - j), (0, 0))) for j in range(self.reach)], axis=1, dtype=np.float64
        )  # [strides, reach * n_in]
        y = np.zeros((self.n_out, n_strides * self.stride))
        n_samples = min(y.shape[1], target.shape[1], (len(features) - 1) * self.stride + self.kernel)
        y[:, :n_samples] = target[:, :n_samples]
        self.features += x.T @ x
        self.products += np.einsum("qi,oqs->ios", x, y.reshape(self.n_out, n_strides, self.stride), optimize=True)
        self.power += np.square(y).sum()

    def best(self) -> np.ndarray:
        """The filters of the least error, [n_in, n_out, kernel]."""
        matrix = self.features + _RIDGE * max(self.features.trace() / len(self.features), 1e-12) * np.eye(
            len(self.features)
        )
        filters = np.zeros((self.reach, self.n_in, self.n_out, self.stride))
        n_last = self.kernel - (self.reach - 1) * self.stride  # samples of a stride that the farthest frame reaches
        for reach, samples in ((self.reach, slice(0, n_last)), (self.reach - 1, slice(n_last, None))):
            n = reach * self.n_in
            wanted = self.products[:n, :, samples]
            found = np.linalg.solve(matrix[:n, :n], wanted.reshape(n, -1))
            filters[:reach, :, :, samples] = found.reshape(reach, self.n_in, self.n_out, -1)
        return filters.transpose(1, 2, 0, 3).reshape(self.n_in, self.n_out, -1)[..., : self.kernel]

    def error(self, filters: np.ndarray) -> float:
        """The squared error that filters [n_in, n_out, kernel] leave."""
        padded = np.pad(filters, ((0, 0), (0, 0), (0, self.reach * self.stride - self.kernel)))
        w = padded.reshape(self.n_in, self.n_out, self.reach, self.stride).transpose(2, 0, 1, 3)
        w = w.reshape(self.products.shape).astype(np.float64)
        made = np.tensordot(self.features, w, axes=1)
        return float(self.power - 2 * (w * self.products).sum() + (w * made).sum())
