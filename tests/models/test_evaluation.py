"""A model in evaluation mode: operator by operator first, compiled once that has lasted, the same bits either way."""

from pathlib import Path

import numpy as np
import pytest

from mindaudio_ext.config import load_config
from mindaudio_ext.models.evaluation import BatchRunner, WholeUtterance
from mindaudio_ext.models.tasnet import build_model

ROOT = Path(__file__).parents[2]


def model_of(separator, *options):
    return build_model(load_config(ROOT / "conf/base.yaml", None, [f"separator={separator}", *options]))


SMALL = {
    "dprnn": "bottleneck_size=8 hidden_size=8 n_blocks=2 chunk_size=10",
    "tcn": "bottleneck_size=8 hidden_size=8 skip_size=8 n_blocks=2 n_repeats=1",
    "skim": "hidden_size=8 n_blocks=2 chunk_size=20",
}


@pytest.fixture(params=SMALL)
def model(request):
    options = " ".join(f"separator_conf.{option}" for option in SMALL[request.param].split())
    return model_of(request.param, f"kernel_size=8 n_filters=16 {options}")


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def counted(runner, monkeypatch):
    """Has the runner write down the mixtures that go through its graph."""
    calls = []

    def call(self, *args):
        calls.append(args[0].shape)
        return cell_call(self, *args)

    cell_call = type(runner).__call__
    monkeypatch.setattr(type(runner), "__call__", call)
    return calls


def test_what_lasts_is_compiled_and_gives_the_same_bits(model, monkeypatch):
    whole = WholeUtterance(model)
    calls = counted(whole, monkeypatch)
    mixtures = [noise(n) for n in (400, 401, 2000)]
    eager = [whole.separate(mixture) for mixture in mixtures]
    assert calls == []
    whole.eager_seconds = 1e-6  # by now it has lasted longer
    compiled = [whole.separate(mixture) for mixture in mixtures]
    assert calls == [(1, 400), (1, 401), (1, 2000)]
    for one, other in zip(eager, compiled):
        np.testing.assert_array_equal(one, other)


def test_each_shape_of_a_batch_has_its_own_time(model, monkeypatch):
    runner = BatchRunner(model, eager_seconds=1e-6)
    calls = counted(runner, monkeypatch)
    first = runner.separate(noise(2, 400))
    runner.separate(noise(2, 500))
    assert calls == []
    np.testing.assert_array_equal(first, runner.separate(noise(2, 400)))
    assert calls == [(2, 400)]
