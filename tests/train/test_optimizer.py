"""Adam and SGD against their published equations, computed by hand."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor
from separators.golden import Adam as PublishedAdam

from mindaudio_ext.train.optimizer import SGD, Adam


def parameters():
    rng = np.random.default_rng(0)
    shapes = {"weight": (3, 4), "bias": (4,)}
    return [Parameter(Tensor(rng.standard_normal(s).astype(np.float32)), name=n) for n, s in shapes.items()]


def gradients(seed, size=1.0):
    rng = np.random.default_rng(seed)
    return [(size * rng.standard_normal(shape)).astype(np.float32) for shape in ((3, 4), (4,))]


def update(optimizer, grads, rate=1e-3, factor=1.0):
    optimizer(tuple(map(Tensor, grads)), Tensor(np.float32(factor)), Tensor(np.float32(rate)))


@pytest.mark.parametrize("size", [0.5, 1e-7])
def test_adam_is_the_published_one(size):
    """With small gradients epsilon counts, and so does where it is added."""
    ours, theirs = parameters(), parameters()
    optimizer, published = Adam(ours, weight_decay=0.0), PublishedAdam(theirs)
    for seed in range(5):
        update(optimizer, gradients(seed, size))
        published.step(gradients(seed, size))  # their norms are below 5, where it clips
    moved = [np.abs(a.asnumpy() - b.asnumpy()).max() for a, b in zip(parameters(), theirs)]
    error = [np.abs(a.asnumpy() - b.asnumpy()).max() for a, b in zip(ours, theirs)]
    assert min(moved) > 1e-3
    assert max(error) < 1e-6


def test_sgd_with_momentum_and_penalty_by_hand():
    ours = parameters()
    value, velocity = ours[0].asnumpy().astype(np.float64), 0.0
    optimizer = SGD(ours, weight_decay=0.1, momentum=0.9)
    for seed, rate in enumerate((0.1, 0.05, 0.2)):
        velocity = 0.9 * velocity + 0.5 * gradients(seed)[0] + 0.1 * value
        value = value - rate * velocity
        update(optimizer, gradients(seed), rate, factor=0.5)
    assert np.abs(ours[0].asnumpy() - value).max() < 1e-6


def test_a_reset_optimizer_is_a_new_one():
    used, new = Adam(parameters(), weight_decay=0.0), Adam(parameters(), weight_decay=0.0)
    update(used, gradients(1))
    used.reset()
    for ours, theirs in zip(used.parameters, new.parameters):
        ours.set_data(theirs.value())
    update(used, gradients(2))
    update(new, gradients(2))
    assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(used.get_parameters(), new.get_parameters()))
