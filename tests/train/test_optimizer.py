"""Adam, SGD and Muon against their published equations, computed by hand."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from separators.golden import Adam as PublishedAdam

from mindaudio_ext.layers.attention import SelfAttention
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.rnn import RNN
from mindaudio_ext.train.optimizers.adam import Adam
from mindaudio_ext.train.optimizers.muon import Muon, matrices_of
from mindaudio_ext.train.optimizers.sgd import SGD


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


def test_muon_by_singular_values():
    """A step of each of two stacked matrices [6, 4] has the singular vectors of the gradient, and values all near 1."""
    rng = np.random.default_rng(0)
    start, rate = rng.standard_normal((12, 4)).astype(np.float32), 0.01
    ours = [Parameter(Tensor(start), name="stacked"), Parameter(Tensor(start[0]), name="bias")]
    optimizer = Muon(ours, {"stacked": 2}, weight_decay=0.0, momentum=0.95)
    gradient = rng.standard_normal((12, 4)).astype(np.float32)
    update(optimizer, [gradient, gradient[0]], rate)

    for part in (slice(0, 6), slice(6, 12)):
        u, values, v = np.linalg.svd(gradient[part].astype(np.float64), full_matrices=False)
        values = values / np.linalg.norm(values)
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        assert 0.6 < values.min() <= values.max() < 1.3
        expected = -rate * 0.2 * 6**0.5 * (u * values) @ v
        assert np.abs(ours[0].asnumpy()[part] - start[part] - expected).max() < 1e-6
    assert np.allclose(ours[1].asnumpy() - start[0], -rate * np.sign(gradient[0]), atol=1e-6)  # Adam's first step


def test_muon_keeps_momentum_and_looks_ahead():
    """Orthogonal gradients of a square matrix: any sum of multiples of one has the same singular vectors."""
    start, rate = np.zeros((4, 4), np.float32), 0.01
    ours = [Parameter(Tensor(start), name="square")]
    optimizer = Muon(ours, {"square": 1}, weight_decay=0.0, momentum=0.5)
    update(optimizer, [np.eye(4, dtype=np.float32)], rate)
    first = ours[0].asnumpy().copy()
    update(optimizer, [-0.2 * np.eye(4, dtype=np.float32)], rate)  # velocity 0.15, ahead of it -0.025
    assert np.abs(ours[0].asnumpy()).max() < 1e-6
    update(optimizer, [np.zeros((4, 4), np.float32)], rate)  # velocity 0.075
    assert np.abs(ours[0].asnumpy() - first).max() < 1e-6
    assert np.count_nonzero(first) == 4


def test_muon_lets_weights_decay_by_themselves():
    ours = [Parameter(Tensor(np.ones((2, 2), np.float32)), name="square")]
    optimizer = Muon(ours, {"square": 1}, weight_decay=0.1, momentum=0.5)
    update(optimizer, [np.zeros((2, 2), np.float32)], rate=0.5)
    assert np.abs(ours[0].asnumpy() - 0.95).max() < 1e-6


def test_matrices_of_a_model():
    cells = [dense(3, 5), RNN("GRU", 3, 2, bidirectional=False), nn.LayerNorm((5,)), SelfAttention(4, 2)]
    model = nn.CellList(cells)
    assert sorted(matrices_of(model).values()) == [1, 1, 3, 3, 3]
    assert all(model.parameters_dict()[name].ndim == 2 for name in matrices_of(model))
