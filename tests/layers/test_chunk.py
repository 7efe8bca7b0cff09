"""Chunks and their sum, for any size and hop, against loops in NumPy."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.layers.activation import tanh
from mindaudio_ext.layers.chunk import overlap_add, split


@pytest.fixture(autouse=True, params=[ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def mode(request):
    """The commands run in graph mode, a MindAudio script may run in MindSpore's default."""
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.mark.parametrize("n_frames", [5, 8, 23])
@pytest.mark.parametrize(("size", "hop"), [(4, 2), (5, 2), (5, 3), (4, 4), (3, 1), (1, 1)])
def test_split_and_overlap_add(size, hop, n_frames):
    x = np.random.default_rng(0).normal(size=(2, n_frames, 3)).astype(np.float32)
    starts = range(0, n_frames - size + 1, hop)
    chunks = split(Tensor(x), size, hop).asnumpy()
    assert np.array_equal(chunks, np.stack([x[:, s : s + size] for s in starts], axis=1))

    total = np.zeros((2, starts[-1] + size, 3), np.float32)
    for i, start in enumerate(starts):
        total[:, start : start + size] += chunks[:, i]
    assert np.abs(overlap_add(Tensor(chunks), hop).asnumpy() - total).max() < 1e-6


@pytest.mark.parametrize(("size", "hop"), [(6, 3), (6, 2), (7, 3), (5, 5), (5, 1)])
def test_overlap_add_is_the_transpose_of_split(size, hop):
    rng = np.random.default_rng(1)
    n_chunks = (23 - size) // hop + 1
    covered = (n_chunks - 1) * hop + size
    x = rng.standard_normal((2, covered, 3)).astype(np.float32)
    chunks = rng.standard_normal((2, n_chunks, size, 3)).astype(np.float32)
    forward = (split(Tensor(x), size, hop).asnumpy() * chunks).sum()
    backward = (x * overlap_add(Tensor(chunks), hop).asnumpy()).sum()
    assert abs(forward - backward) < 1e-3


def test_half_overlap_gives_back_twice_the_inner_part():
    x = Tensor(np.arange(12, dtype=np.float32).reshape(1, 12, 1))
    merged = overlap_add(split(x, 4, 2), 2).asnumpy()[0, :, 0]
    assert merged.tolist() == [0, 1, 4, 6, 8, 10, 12, 14, 16, 18, 10, 11]


def test_tanh_is_exact():
    x = np.linspace(-12, 12, 100_001).astype(np.float32)
    assert np.abs(tanh(Tensor(x)).asnumpy() - np.tanh(x.astype(np.float64))).max() < 1e-6
