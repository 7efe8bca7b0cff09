"""The rate of every schedule over ten epochs of two steps, as a table."""

from pathlib import Path

import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.train.schedule import auxiliary_weight, learning_rate

BASE = Path(__file__).parents[2] / "conf/base.yaml"
LOSSES = [5, 4, 4, 4.5, 4.2, 3, 3, 3, 3, 3]
TABLE = {
    "scheduler=constant": [1.0] * 10,
    "scheduler=exponential": [1, 1, 0.98, 0.98, 0.98**2, 0.98**2, 0.98**3, 0.98**3, 0.98**4, 0.98**4],
    "scheduler=exponential scheduler_conf.after=3": [1, 1, 1, 1, 1, 0.98, 0.98, 0.98**2, 0.98**2, 0.98**3],
    "scheduler=plateau scheduler_conf.patience=2 scheduler_conf.after=6": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5],
    "scheduler=plateau scheduler_conf.patience=3": [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25],
    "scheduler=milestones": [1.0] * 10,
    "scheduler=milestones scheduler_conf.epochs=[3,6]": [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25],
    "scheduler=constant scheduler_conf.warmup_steps=5": [0.2, 0.6, *[1.0] * 8],
    "scheduler=exponential scheduler_conf.warmup_steps=3": [
        1 / 3, 1, 0.98, 0.98, 0.98**2, 0.98**2, 0.98**3, 0.98**3, 0.98**4, 0.98**4,
    ],
    "scheduler=linear": [1 - 0.1 * epoch for epoch in range(10)],
    "scheduler=linear scheduler_conf.warmup_steps=4 scheduler_conf.final_factor=0.2": [
        0.25, 0.75, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3,
    ],
}  # fmt: skip


@pytest.mark.parametrize("options", TABLE)
def test_rate_at_the_first_step_of_each_epoch(options):
    config = load_config(BASE, None, ["lr=0.01 epochs=10", options])
    rates = [
        learning_rate(config, step=2 * epoch, steps_per_epoch=2, valid_losses=LOSSES[:epoch]) for epoch in range(10)
    ]
    assert rates == pytest.approx([0.01 * factor for factor in TABLE[options]])


def test_share_of_the_auxiliary_loss_as_sepreformer_has_it():
    """0.4 up to epoch 100, then times 0.8, and again every 5 epochs."""
    options = "auxiliary_scheduler=exponential auxiliary_scheduler_conf.factor=0.8 auxiliary_scheduler_conf.every=5"
    config = load_config(BASE, None, [f"epochs=200 {options} auxiliary_scheduler_conf.after=95"])
    shares = {
        epoch: auxiliary_weight(config, step=7 * (epoch - 1), steps_per_epoch=7, valid_losses=[])
        for epoch in (1, 100, 101, 105, 106, 200)
    }
    expected = {1: 0.4, 100: 0.4, 101: 0.4 * 0.8, 105: 0.4 * 0.8, 106: 0.4 * 0.8**2, 200: 0.4 * 0.8**20}
    assert shares == pytest.approx(expected)
