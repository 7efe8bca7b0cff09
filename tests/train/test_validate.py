"""What becomes of scores."""

from mindaudio_ext.train.validate import mean_scores


def test_means_and_the_worst():
    assert mean_scores([(1.0, 2.0), (3.0, 6.0)]) == (-2.0, 4.0)
    assert mean_scores([(1.0, 2.0), (float("nan"), 6.0)]) == (100.0, -100.0)
