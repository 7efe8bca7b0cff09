"""Dropout by a count: the share, independence, and the same draw for the same count."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindaudio_ext.train.dropout import count_dropout


class Twice(nn.Cell):
    def __init__(self, p):
        super().__init__()
        self.first, self.second = nn.Dropout(p=p), nn.Dropout(p=p)

    def construct(self, x):
        return ops.stack((self.first(x), self.second(x)))


ONES = np.ones((250, 4, 200), np.float32)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_share_scale_and_independence(p):
    """Of 200 000 values the share is known within 5 standard deviations; two draws agree as often as chance has it."""
    model = Twice(p)
    count = count_dropout(model, seed=3)
    model.set_train(True)
    first = model(Tensor(ONES)).asnumpy()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / (1 - p))}
    again = model(Tensor(ONES)).asnumpy()
    assert np.array_equal(first, again)
    ops.assign(count, Tensor(4, count.dtype))
    then = model(Tensor(ONES)).asnumpy()
    masks = [first[0] == 0, first[1] == 0, then[0] == 0, then[1] == 0, np.roll(first[0] == 0, 1)]
    deviation = np.sqrt(p * (1 - p) / ONES.size)
    for i, mask in enumerate(masks):
        assert abs(mask.mean() - p) < 5 * deviation
        for other in masks[:i]:
            assert abs((mask & other).mean() - p * p) < 5 * deviation


def test_the_count_is_no_parameter_of_the_model_and_counts_in_training_alone():
    model = Twice(0.5)
    count_dropout(model, seed=0)
    assert list(model.get_parameters()) == []
    model.set_train(False)
    assert np.array_equal(model(Tensor(ONES)).asnumpy()[0], ONES)
    assert count_dropout(Twice(0.0), seed=0) is None
