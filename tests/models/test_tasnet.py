"""The model: lengths, numbers of sources, options with an effect, and the published configurations."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.config import load_config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.checkpoint import load_parameters, save_parameters
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.models.whole import WholeUtterance
from mindaudio_ext.train.step import TrainStep

ROOT = Path(__file__).parents[2]
TINY = (
    "n_filters=6 kernel_size=4 separator_conf.bottleneck_size=5 separator_conf.hidden_size=3 "
    "separator_conf.chunk_size=8 separator_conf.n_blocks=1"
)


def tiny(overrides=""):
    return build_model(load_config(ROOT / "conf/base.yaml", None, [TINY, overrides]))


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def count(model):
    return sum(parameter.size for parameter in model.trainable_params())


@pytest.mark.parametrize("n_src", [2, 3, 4, 5])
@pytest.mark.parametrize("n_samples", [5, 8, 101, 4000])
def test_estimates_are_as_long_as_the_mixture(n_src, n_samples):
    estimates = tiny(f"num_spks={n_src}")(Tensor(noise(2, n_samples))).asnumpy()
    assert estimates.shape == (2, n_src, n_samples)
    assert np.isfinite(estimates).all()


def test_one_dynamic_graph_gives_the_same_as_a_static_one():
    model = tiny()
    whole = WholeUtterance(model)
    for n_samples in (4, 77, 1234):
        mixture = noise(n_samples)
        assert np.allclose(whole.separate(mixture), model(Tensor(mixture[None])).asnumpy()[0], atol=1e-6)


@pytest.mark.parametrize("option", [
    "kernel_size=6", "stride=1", "n_filters=7", "mask_activation=sigmoid", "mask_activation=softmax",
    "encoder_activation=relu", "separator_conf.bottleneck_size=6", "separator_conf.hidden_size=4",
    "separator_conf.chunk_size=10", "separator_conf.hop_size=3", "separator_conf.n_blocks=2",
    "separator_conf.bidirectional=false", "separator_conf.rnn_layers=2",
])  # fmt: skip
def test_every_option_has_an_effect(option, tmp_path):
    plain, other = tiny(), tiny(option)
    if count(plain) != count(other):
        return
    save_parameters(plain, tmp_path / "p.ckpt")
    load_parameters(other, tmp_path / "p.ckpt")
    mixture = Tensor(noise(1, 300))
    assert np.abs(plain(mixture).asnumpy() - other(mixture).asnumpy()).max() > 1e-6


def test_dropout_has_an_effect_in_training_only():
    model = tiny("separator_conf.rnn_layers=2 separator_conf.dropout=0.5")
    mixture = Tensor(noise(1, 300))
    model.set_train(False)
    assert np.array_equal(model(mixture).asnumpy(), model(mixture).asnumpy())
    model.set_train(True)
    assert np.abs(model(mixture).asnumpy() - model(mixture).asnumpy()).max() > 1e-6


@pytest.mark.parametrize(("name", "parameters"), [("dprnn", 3_651_073), ("dprnn_small", 3_652_865)])
def test_flagship_configurations_build_and_step(name, parameters):
    """Parameters by hand: 12 x (264 192 + 32 896 + 256) in the blocks, 2 x 64 x kernel and 82 689 around them."""
    config = load_config(ROOT / "conf/base.yaml", ROOT / f"egs/librimix/dprnn/conf/{name}.yaml", [])
    model = build_model(config)
    assert count(model) == parameters
    step = TrainStep(config, model)
    n_samples = 800  # a tenth of a second: the graph is the same, the arrays are small
    before = {parameter.name: parameter.asnumpy().copy() for parameter in model.trainable_params()}
    result = step(Batch(noise(1, n_samples), noise(1, 2, n_samples), np.array([n_samples], np.int32)), config.lr)
    assert np.isfinite(result.loss)
    assert result.grad_norm > 0
    still = [
        parameter.name
        for parameter in model.trainable_params()
        if np.array_equal(before[parameter.name], parameter.asnumpy())
    ]
    assert still == []


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "other shape", "extra"])
def test_checkpoints_that_do_not_fit_are_named(damage, tmp_path):
    path = tmp_path / "p.ckpt"
    model = tiny()
    if damage != "missing":
        save_parameters(
            tiny({"other shape": "n_filters=7", "extra": "separator_conf.n_blocks=2"}.get(damage, "")), path
        )
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    if damage == "foreign":
        path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"p\.ckpt"):
        load_parameters(model, path)
