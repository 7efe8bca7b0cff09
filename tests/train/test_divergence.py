"""What counts as an explosion, by numbers."""

import re
from pathlib import Path

import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.train.divergence import find_explosion, is_exploded
from mindaudio_ext.train.state import Progress

CONFIG = load_config(Path(__file__).parents[2] / "conf/base.yaml", None, ["max_skipped=2 explosion_margin=10"])
HISTORY = [{"valid_loss": -3.0}, {"valid_loss": -5.0}, {"valid_loss": 1.0}]


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (Progress(skipped_in_a_row=2), None),
        (Progress(skipped_in_a_row=3), "3 steps in a row were not finite"),
        (Progress(history=HISTORY, losses=[4.9] * 50), None),
        (Progress(history=HISTORY, losses=[5.1] * 49), None),
        (Progress(history=HISTORY, losses=[5.1] * 50), "mean train loss of 50 steps is 5.10 dB, the best .* was -5.00"),
        (Progress(history=HISTORY, losses=[-99.0] * 9 + [80.0] * 50), "is 80.00 dB"),
        (Progress(history=HISTORY, losses=[5.1] * 60, watched_from=30), None),
        (Progress(losses=[80.0] * 50), None),
    ],
)
def test_within_an_epoch(progress, said):
    found = find_explosion(CONFIG, progress)
    assert found is None if said is None else re.search(said, found)


def test_by_the_validation():
    assert not is_exploded(CONFIG, valid_loss=5.0, history=HISTORY)
    assert is_exploded(CONFIG, valid_loss=5.1, history=HISTORY)
    assert is_exploded(CONFIG, valid_loss=float("nan"), history=HISTORY)
    assert not is_exploded(CONFIG, valid_loss=80.0, history=[])
