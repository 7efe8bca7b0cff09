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


def test_tanh_is_exact():
    x = np.linspace(-12, 12, 100_001).astype(np.float32)
    assert np.abs(tanh(Tensor(x)).asnumpy() - np.tanh(x.astype(np.float64))).max() < 1e-6
