"""Permutations known by hand, and by trying all."""

from itertools import permutations

import numpy as np
import pytest

from mindaudio_ext.metrics._permutation import best_permutation


def test_is_of_estimates_in_the_order_of_references():
    # Estimate 2 is reference 0, estimate 0 is reference 1, estimate 1 is reference 2: a cycle, not its own inverse.
    scores = np.array([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
    assert best_permutation(scores).tolist() == [2, 0, 1]


def test_the_sum_counts_and_not_the_single_best():
    assert best_permutation(np.array([[10.0, 9.0], [9.0, 0.0]])).tolist() == [1, 0]


def test_one_source():
    assert best_permutation(np.array([[-3.0]])).tolist() == [0]


def test_fewer_references_than_estimates():
    assert best_permutation(np.array([[1.0, 5.0], [7.0, 6.0], [2.0, 9.0]])).tolist() == [1, 2]


@pytest.mark.parametrize("n_src", [2, 3, 4, 5])
def test_agrees_with_trying_all(n_src):
    rng = np.random.default_rng(n_src)
    for _ in range(20):
        scores = rng.normal(size=(n_src, n_src))
        best = max(permutations(range(n_src)), key=lambda order: sum(scores[i, j] for j, i in enumerate(order)))
        assert best_permutation(scores).tolist() == list(best)


@pytest.mark.parametrize("scores", [np.zeros((2, 3)), np.zeros(4), np.array([[np.nan, 1.0], [1.0, 1.0]])])
def test_refuses(scores):
    with pytest.raises(ValueError, match=r"no more references|NaN"):
        best_permutation(scores)
