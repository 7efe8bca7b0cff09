"""Norms against their definitions in NumPy (float64), and what depends on the future."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from thorough import few

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.norm import NORMS, make_norm

SHAPES = [(2, 7, 5), (3, 4, 6, 5)]


@pytest.fixture(autouse=True, params=few([ms.GRAPH_MODE, ms.PYNATIVE_MODE], ms.GRAPH_MODE), ids=["graph", "pynative"])
def mode(request):
    """The commands run in graph mode, a MindAudio script may run in MindSpore's default."""
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def signal(shape, seed=0):
    return (3 + 2 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def standard(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def expected(name, x):
    x = x.astype(np.float64)
    if name == "gLN":
        return standard(x, tuple(range(1, x.ndim)), 1e-8)
    if name == "cLN":
        return standard(x, (-1,), 1e-8)
    if name == "LN":
        return standard(x, tuple(range(2, x.ndim)), 1e-5)
    steps = []
    for s in range(x.shape[1]):
        past = x[:, : s + 1].reshape(x.shape[0], -1)
        mean, var = (v.reshape(-1, *[1] * (x.ndim - 2)) for v in (past.mean(1), past.var(1)))
        steps.append((x[:, s] - mean) / np.sqrt(var + 1e-8))
    return np.stack(steps, axis=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NORMS)
def test_the_definition(name, shape):
    norm, x = make_norm(name.lower(), shape[-1]), signal(shape)
    gamma, beta = signal(shape[-1:], 1), signal(shape[-1:], 2)
    norm.gamma.set_data(Tensor(gamma))
    norm.beta.set_data(Tensor(beta))
    assert np.abs(norm(Tensor(x)).asnumpy() - (expected(name, x) * gamma + beta)).max() < 2e-5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NORMS)
def test_only_gln_looks_ahead(name, shape):
    norm, x = make_norm(name, shape[-1]), signal(shape)
    changed = x.copy()
    changed[:, 2:] = signal(changed[:, 2:].shape, 3) * 10
    before, after = norm(Tensor(x)).asnumpy(), norm(Tensor(changed)).asnumpy()
    assert np.array_equal(before[:, :2], after[:, :2]) == (name != "gLN")
    assert not np.array_equal(before[:, 2:], after[:, 2:])


def test_cgln_holds_over_many_frames_with_a_large_mean():
    x = 30 + signal((1, 200_000, 4))
    outputs = make_norm("cgLN", 4)(Tensor(x)).asnumpy()
    last = x[0].astype(np.float64)
    assert np.abs(outputs[0, -1] - (last[-1] - last.mean()) / last.std()).max() < 1e-3


@pytest.mark.parametrize("name", NORMS)
def test_silence_and_half_precision(name):
    norm = make_norm(name, 3)
    assert np.abs(norm(Tensor(np.zeros((2, 4, 3), np.float32))).asnumpy()).max() == 0
    large = norm(Tensor(np.full((1, 2, 3), 500, np.float16) + np.arange(3, dtype=np.float16)))
    assert large.dtype == ms.float16  # 500 ** 2 overflows float16
    assert np.abs(large.asnumpy()[0, 0] - [-1.2247, 0, 1.2247]).max() < 2e-3


@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (2, 7, 5), (1, 1, 6, 5)])
@pytest.mark.parametrize("name", NORMS)
def test_gradients_of_input_scale_and_shift(name, shape):
    norm, x = make_norm(name, shape[-1]), signal(shape)
    x[:, 0] += 3  # cgLN measures from the first step's mean
    weights, gamma = signal(shape, 4), signal(shape[-1:], 5)
    norm.gamma.set_data(Tensor(gamma))

    def weighted(x):
        return (norm(x) * Tensor(weights)).sum()

    d_x, (d_gamma, d_beta) = ms.grad(weighted, 0, norm.trainable_params())(Tensor(x))
    axes = tuple(range(len(shape) - 1))
    assert np.abs(d_gamma.asnumpy() - (expected(name, x) * weights).sum(axes)).max() < 1e-3
    assert np.abs(d_beta.asnumpy() - weights.sum(axes)).max() < 1e-3
    for place in (0, x.size // 2, x.size - 2):
        values = []
        for change in (1e-4, -1e-4):
            moved = x.astype(np.float64)
            moved.flat[place] += change
            values.append((expected(name, moved) * gamma * weights).sum())
        assert d_x.asnumpy().flat[place] == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-3, abs=2e-3)


def test_an_unknown_norm_is_refused():
    with pytest.raises(InputError, match="no normalisation is called 'BN'; known: gLN, cLN, cgLN, LN"):
        make_norm("BN", 4)
