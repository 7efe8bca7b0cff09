"""Chunks: exact positions, and the round trip at odd sizes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.layers.chunk import overlap_add, split

CASES = [(6, 3), (6, 2), (7, 3), (5, 5), (5, 1)]


@pytest.mark.parametrize(("size", "hop"), CASES)
def test_chunks_stand_where_they_should(size, hop):
    x = np.random.default_rng(0).standard_normal((2, 23, 3)).astype(np.float32)
    chunks = split(Tensor(x), size, hop).asnumpy()
    expected = np.stack([x[:, s : s + size] for s in range(0, 23 - size + 1, hop)], axis=1)
    assert np.array_equal(chunks, expected)


@pytest.mark.parametrize(("size", "hop"), CASES)
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
    assert merged.dtype == ms.dtype_to_nptype(ms.float32)
