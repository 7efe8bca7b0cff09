"""Levels that a model begins with: the factor of least squares, and when nothing is changed."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.train.level import match_level


class Decoder(nn.Cell):
    """A factor."""

    def __init__(self, factor):
        super().__init__()
        self.weight = Parameter(Tensor([factor], ms.float32), name="weight")


class Swapped(nn.Cell):
    """A perfect separator of its batch, but for the order and a factor; without `mixture_consistency` alone."""

    def __init__(self, sources, factor):
        super().__init__()
        self.sources, self.decoder, self.mixture_consistency = Tensor(sources[:, ::-1].copy()), Decoder(factor), True

    def construct(self, mixture):
        assert not self.mixture_consistency
        return self.sources * self.decoder.weight


def batch_of(sources):
    return Batch(sources.sum(axis=1), sources, np.full(len(sources), sources.shape[-1], np.int32))


@pytest.mark.parametrize(("too_loud", "factor"), [(16.0, 1 / 16), (0.125, 8.0), (1.5, 1.0), (0.6, 1.0), (-8.0, 1.0)])
def test_the_factor_undoes_what_is_too_loud_by_more_than_2(too_loud, factor):
    sources = np.random.default_rng(0).standard_normal((3, 2, 400)).astype(np.float32)
    sources[0, 1] = 0  # a silent one
    model = Swapped(sources, too_loud)
    assert match_level(model, [batch_of(sources)]) == pytest.approx(factor, rel=1e-5)
    assert model.decoder.weight.asnumpy() == pytest.approx(too_loud * factor, rel=1e-5)
    assert model.mixture_consistency


def test_silence_changes_nothing():
    model = Swapped(np.zeros((1, 2, 8), np.float32), 4.0)
    assert match_level(model, [batch_of(np.zeros((1, 2, 8), np.float32))]) == 1.0
