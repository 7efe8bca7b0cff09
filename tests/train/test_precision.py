"""Mixed precision: what is in float16, and the scale that keeps gradients in its range."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from thorough import few

from mindaudio_ext.config import load_config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.layers.norm import make_norm
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.train import precision
from mindaudio_ext.train.precision import FIRST_SCALE, LossScale, in_half_precision
from mindaudio_ext.train.step import TrainStep

BASE = Path(__file__).parents[2] / "conf/base.yaml"
SMALL = (
    "kernel_size=16 n_filters=16 separator_conf.bottleneck_size=16 separator_conf.hidden_size=16 "
    "separator_conf.chunk_size=20 separator_conf.n_blocks=2 batch_size=2 optimizer=sgd momentum=0 clip_norm=1e9"
)


class Product(nn.Cell):
    """[B, N] times a column of ones."""

    def construct(self, x):
        return ops.matmul(x, ops.ones((x.shape[1], 1), x.dtype))


@pytest.mark.parametrize("name", ["gLN", "cLN", "cgLN", "LN"])
def test_norms_stay_float32_and_products_do_not(name):
    x = Tensor(1e5 * np.random.default_rng(0).standard_normal((1, 6, 4)).astype(np.float32))  # above float16's 65504
    norm = make_norm(name, 4)
    assert np.array_equal(ms.jit(in_half_precision(norm))(x).asnumpy(), norm(x).asnumpy())
    half, full = (ms.grad(lambda x, f=f: (f(x) * x).sum(), 0)(x) for f in (ms.jit(in_half_precision(norm)), norm))
    assert np.array_equal(half.asnumpy(), full.asnumpy())
    assert np.isinf(ms.jit(in_half_precision(Product()))(x[0]).asnumpy()).any()


def test_loss_is_computed_in_float32():
    """Sums of the squares of this signal are above float16's largest number."""
    sources = 100 * np.random.default_rng(0).standard_normal((1, 2, 4000)).astype(np.float32)
    loss = PITLoss(num_spks=2)(
        Tensor(sources.astype(np.float16)).astype(ms.float32), Tensor(sources), Tensor([4000], ms.int32)
    )
    assert float(loss) < -60


def gradients(options):
    """The gradients of the first step that is applied, the number of steps before it, and the step."""
    config = load_config(BASE, None, [SMALL, options])
    ms.set_seed(0)
    model = build_model(config)
    step = TrainStep(config, model)
    sources = 0.1 * np.random.default_rng(0).standard_normal((2, 2, 4000)).astype(np.float32)
    batch = Batch(sources.sum(1), sources, np.full(2, 4000, np.int32))
    before = [parameter.asnumpy().copy() for parameter in model.trainable_params()]
    for skipped in range(20):
        result = step(batch, 1e-3)
        if result.applied:
            moved = [old - parameter.asnumpy() for old, parameter in zip(before, model.trainable_params())]
            return np.concatenate([array.ravel() / 1e-3 for array in moved]), skipped, step, result
        assert all(np.array_equal(old, p.asnumpy()) for old, p in zip(before, model.trainable_params()))
    raise AssertionError("no step was applied")


@pytest.mark.parametrize("parts", few(["accum_steps=1", "accum_steps=2"], "accum_steps=2"))
def test_gradients_are_those_of_float32(parts):
    exact, skipped, _, result = gradients(parts)
    assert skipped == 0
    half, skipped, step, half_result = gradients(parts + " mixed_precision=true")
    assert half_result.loss == pytest.approx(result.loss, abs=0.05)
    assert half_result.grad_norm == pytest.approx(result.grad_norm, rel=0.05)
    assert np.linalg.norm(half - exact) < 0.05 * np.linalg.norm(exact)
    assert not np.array_equal(half, exact)
    state = {parameter.name: parameter for parameter in step.state}
    assert float(state["loss_scale"]) == FIRST_SCALE / 2**skipped
    assert {parameter.dtype for parameter in step.state} == {ms.float32, ms.int32}


SPECTRA = "encoder=stft encoder_conf.window=hann encoder_conf.padding=reflect"


@pytest.mark.parametrize(
    "options",
    [
        "separator=skim separator_conf.hidden_size=6 separator_conf.chunk_size=20 separator_conf.n_blocks=2",
        "separator=sepformer separator_conf.bottleneck_size=16 separator_conf.n_blocks=1 separator_conf.n_layers=1",
        "separator=resepformer separator_conf.n_blocks=2 separator_conf.n_layers=1",
        "separator=tdanet encoder=mixing_conv separator_conf.hidden_size=16 separator_conf.n_blocks=1 "
        "separator_conf.n_levels=2 separator_conf.dropout=0",
        "separator=sepreformer encoder_activation=gelu mask_activation=mapping separator_conf.bottleneck_size=8 "
        "separator_conf.n_stages=1 separator_conf.kernel_size=5",
        *(
            pytest.param(options, marks=pytest.mark.needs("--all"))
            for options in (
                f"separator=tiger {SPECTRA} mask_activation=complex kernel_size=40 n_filters=42 "
                "separator_conf.n_blocks=1 separator_conf.sample_rate=1000 separator_conf.bottleneck_size=8 "
                "separator_conf.hidden_size=8 separator_conf.n_levels=2 separator_conf.n_heads=2",
                f"separator=tfgridnet {SPECTRA} mask_activation=mapping normalize_variance=true n_filters=18 "
                "separator_conf.bottleneck_size=8 separator_conf.hidden_size=6 separator_conf.n_blocks=1 "
                "separator_conf.n_heads=2 separator_conf.attention_size=36",
            )
        ),
    ],
    ids=lambda options: options.split()[0].removeprefix("separator="),
)
def test_estimates_are_those_of_float32(options):
    model = build_model(load_config(BASE, None, ["kernel_size=16 n_filters=16", options])).set_train(False)
    mixture = Tensor(0.1 * np.random.default_rng(0).standard_normal((2, 800)).astype(np.float32))
    exact, half = model(mixture).asnumpy(), ms.jit(in_half_precision(model))(mixture).asnumpy()
    assert 0 < np.linalg.norm(half - exact) < 0.01 * np.linalg.norm(exact)


def test_overflow_halves_the_scale_and_changes_nothing_else(monkeypatch):
    """Gradients of a loss times 2^20 are above float16's largest number."""
    monkeypatch.setattr(precision, "FIRST_SCALE", 2.0**20)
    _, skipped, step, result = gradients("mixed_precision=true")
    assert skipped > 3
    assert result.applied
    assert float(next(p for p in step.state if p.name == "loss_scale")) == 2.0 ** (20 - skipped)


def test_scale_by_hand(monkeypatch):
    monkeypatch.setattr(precision, "GROW_AFTER", 2)
    monkeypatch.setattr(precision, "LARGEST_SCALE", 2.0**17)
    scale = LossScale()
    seen = [float(scale(Tensor(finite))) / FIRST_SCALE for finite in (True, True, True, False, True, True, True, True)]
    assert seen == [1, 2, 2, 1, 1, 2, 2, 2]
    scale.scale.set_data(Tensor(1.5, ms.float32))
    assert [float(scale(Tensor(False))), float(scale(Tensor(False)))] == [1, 1]
