"""Chunks of signals whose sources are known: joined as they were, whatever order each chunk has them in."""

import numpy as np
import pytest

from mindaudio_ext.errors import InputError
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.chunks import Join, Joiner, cut
from mindaudio_ext.inference.separator import Separator

RATE = 100
CHUNKING = Chunking(longest_whole=5, chunk=4, overlap=1, batch=3)


def two_sources(n_samples, seed=0):
    """Two independent signals: a chunk finds its own samples again by `FakeNetwork`, which is given both."""
    return np.random.default_rng(seed).standard_normal((2, n_samples)).astype(np.float32)


class FakeNetwork:
    """Returns the sources of each chunk, found by the mixture's samples, swapped in the chunks `is_swapped` says."""

    def __init__(self, sources, is_swapped=lambda number: number % 2 == 1):
        self.sources, self.is_swapped = sources, is_swapped
        self.starts = {
            mixture.tobytes(): i
            for i, mixture in enumerate(np.lib.stride_tricks.sliding_window_view(sources.sum(axis=0), 2))
        }
        self.shapes, self.number = [], 0

    def __call__(self, mixtures):
        self.shapes.append(mixtures.shape)
        estimates = np.zeros((len(mixtures), len(self.sources), mixtures.shape[1]), np.float32)
        for mixture, estimate in zip(mixtures, estimates):
            if mixture.any():
                start = self.starts[mixture[:2].tobytes()]
                estimate[:] = self.sources[:: -1 if self.is_swapped(self.number) else 1, start : start + len(mixture)]
                self.number += 1
        return estimates


class FakeSeparator(Separator):
    """A separator whose batches are separated by a function."""

    class config:
        sample_rate, conversations = RATE, False

    def __init__(self, network):
        self.network = network

    def separate_batch(self, mixtures, *, name):
        return self.network(mixtures)


def separate(network, mixture, *, chunking=CHUNKING, block=70):
    joins = []
    blocks = [mixture[i : i + block] for i in range(0, len(mixture), block)]
    estimates = FakeSeparator(network).separate_blocks(blocks, chunking=chunking, name="mixture", joins=joins)
    return np.concatenate(list(estimates), axis=1), joins


@pytest.mark.parametrize("n_samples", [501, 699, 700, 701, 1000, 2345])
def test_a_swap_in_every_second_chunk_is_undone(n_samples):
    sources = two_sources(n_samples)
    estimates, joins = separate(FakeNetwork(sources), sources.sum(axis=0))
    np.testing.assert_allclose(estimates, sources, atol=1e-6)
    assert len(joins) == -(-(n_samples - 400) // 300)
    assert all(join.certain for join in joins)


def test_three_sources_in_any_order_are_put_in_that_of_the_first_chunk():
    sources = np.random.default_rng(1).standard_normal((3, 1500)).astype(np.float32)
    orders = [[0, 1, 2], [2, 0, 1], [1, 0, 2], [2, 1, 0]]
    joins = []
    joiner = Joiner(joins)
    parts = [joiner.add(at, chunk[order]) for order, (at, chunk) in zip(orders * 2, _chunks(sources, 400, 300))]
    np.testing.assert_allclose(np.concatenate([*parts, joiner.rest()], axis=1), sources, atol=1e-6)
    assert [join.certain for join in joins] == [True] * 4


def _chunks(sources, size, hop):
    """Cuts all sources alike, [C, size] each."""
    cuts = [list(cut([source], size, hop)) for source in sources]
    return [(parts[0][0], np.stack([chunk for _, chunk in parts])) for parts in zip(*cuts)]


def test_silence_keeps_the_order_of_the_last_certain_join():
    """Nobody speaks in the third overlap, so the chunk after it keeps the order that the swapped second one had."""
    sources = two_sources(1300)
    sources[:, 850:1050] *= 1e-4
    swapped = FakeNetwork(sources, lambda number: number >= 1)
    estimates, joins = separate(swapped, sources.sum(axis=0))
    assert joins == [Join(350, True), Join(650, True), Join(950, False)]
    np.testing.assert_allclose(estimates, sources, atol=1e-6)


def test_sources_alike_are_no_certain_join():
    source = two_sources(1000)[:1]
    _, joins = separate(FakeNetwork(np.concatenate((source, source))), 2 * source[0])
    assert [join.certain for join in joins] == [False, False]


def test_joins_are_smooth():
    """Two chunks of other levels: the sum goes from one to the other without a step, half-way in the middle."""
    joiner = Joiner([])
    joiner.add(0, np.tile(np.float32([[1], [0]]), 400))
    done = joiner.add(300, np.tile(np.float32([[2], [0]]), 400))
    joined = np.concatenate((done, joiner.rest()), axis=1)
    assert joined.shape == (2, 700)
    assert (joined[0, :300] == 1).all()
    assert (joined[0, 400:] == 2).all()
    assert np.diff(joined[0]).min() >= 0
    assert np.diff(joined[0]).max() < 0.02  # pi / 2 / 100 samples
    np.testing.assert_allclose(joined[0, 349:351].mean(), 1.5, atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 499, 500])
def test_a_short_signal_is_separated_whole(n_samples):
    sources = two_sources(n_samples + 1)[:, :n_samples]
    shapes = []

    def network(mixtures):
        shapes.append(mixtures.shape)
        return np.repeat(mixtures[:, None], 2, axis=1)

    estimates, joins = separate(network, sources[0])
    np.testing.assert_array_equal(estimates, sources[[0, 0]])
    assert (shapes, joins) == ([(1, n_samples)], [])


def test_any_batch_and_any_blocks_give_the_same_and_one_shape():
    sources = two_sources(2345)
    results = []
    for batch in (1, 2, 5, 16):
        network = FakeNetwork(sources)
        chunking = Chunking(longest_whole=5, chunk=4, overlap=1, batch=batch)
        results += [separate(network, sources.sum(axis=0), chunking=chunking, block=17 * batch)[0]]
        assert set(network.shapes) == {(batch, 400)}
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 24}, "overlap must be above 0 s and below the chunk"),
        ({"overlap": 0}, "overlap must be above 0 s"),
        ({"longest_whole": 5}, "chunk of 24 s is longer than"),
        ({"batch": 0}, "at least 1 and at most 64, got 0"),
        ({"batch": 10**6}, "at least 1 and at most 64, got 1000000"),
        ({"longest_whole": float("inf")}, "longest_whole: must be at most 3600 s, got inf"),
        ({"chunk": float("nan")}, "chunk: must be at most 3600 s, got nan"),
        ({"overlap": float("nan")}, "overlap: must be at most 3600 s, got nan"),
    ],
)
def test_lengths_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Chunking(**options)
