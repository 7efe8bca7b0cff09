"""Utterances cut into chunks and joined: exact for any level, sign and order of the chunks' estimates."""

import numpy as np
import pytest

from mindaudio_ext.export.kit_chunks import count_chunks, join, split_mixture


@pytest.mark.parametrize("n_samples", [1, 7, 8, 9, 12, 13, 31, 400])
@pytest.mark.parametrize("length", [1, 7, 8])
def test_chunks_cover_everything_and_overlap_by_half(n_samples, length):
    chunks = split_mixture(np.arange(n_samples, dtype=np.float32), length)
    assert len(chunks) == count_chunks(n_samples, length)
    starts = chunks[:, 0].astype(int)
    assert starts[0] == 0
    assert starts[-1] + length == max(n_samples, length)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= max(length // 2, 1)).all()


def test_a_short_mixture_is_filled_up_with_zeros():
    np.testing.assert_array_equal(split_mixture(np.array([1, 2, 3], np.float32), 5), [[1, 2, 3, 0, 0]])


def test_chunks_are_the_mixtures_samples():
    chunks = split_mixture(np.arange(9, dtype=np.float32), 4)
    np.testing.assert_array_equal(chunks, [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [5, 6, 7, 8]])


@pytest.mark.parametrize("n_src", [2, 3])
@pytest.mark.parametrize("n_samples", [700, 1000, 1999, 4500, 4567])
def test_perfect_estimates_come_back_as_the_sources(n_src, n_samples):
    rng = np.random.default_rng(n_samples + n_src)
    sources = rng.standard_normal((n_src, n_samples)).astype(np.float32)
    mixture = sources.sum(axis=0)
    chunks = np.stack([split_mixture(source, 1000) for source in sources], axis=1)  # [K, C, S]
    disturbed = np.stack(
        [
            chunk[rng.permutation(n_src)] * rng.uniform(0.1, 30, (n_src, 1)) * rng.choice([-1, 1], (n_src, 1))
            for chunk in chunks
        ]
    )
    joined = join(disturbed, mixture)
    assert joined.shape == sources.shape
    order = np.abs(joined @ sources.T).argmax(axis=0)  # the first chunk's order decides
    assert sorted(order) == list(range(n_src))
    np.testing.assert_allclose(joined[order], sources, atol=1e-4)


def test_an_estimate_that_has_nothing_of_the_mixture_becomes_silent():
    mixture = np.array([1, -1, 1, -1, 1, -1], np.float32)
    quiet = np.array([1, 1, -1, -1], np.float32)  # orthogonal to the mixture's chunks, so its level becomes 0
    estimates = np.stack([np.stack([split_mixture(mixture, 4)[chunk], quiet]) for chunk in (0, 1)])
    np.testing.assert_allclose(join(estimates, mixture), [mixture, np.zeros(6)], atol=1e-6)


def test_a_chunk_too_many_is_a_bug():
    with pytest.raises(ValueError, match="longer"):
        join(np.zeros((3, 2, 4), np.float32), np.zeros(6, np.float32))
