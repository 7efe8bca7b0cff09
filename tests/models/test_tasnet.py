"""The model: lengths, numbers of sources, options with an effect, and the published configurations."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from thorough import few

from mindaudio_ext.config import load_config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.evaluation import WholeUtterance
from mindaudio_ext.models.parameters import load_deeper, load_parameters, save_parameters
from mindaudio_ext.models.tasnet import build_model
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
    whole = WholeUtterance(model, eager_seconds=0)
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


@pytest.mark.parametrize("n_src", [2, 3])
def test_with_mixture_consistency_estimates_add_up_and_differ_as_before(n_src, tmp_path):
    """What is added is one signal for all, so differences between estimates stay; the tail after the last frame too."""
    plain, consistent = (tiny(f"num_spks={n_src} {more}") for more in ("", "mixture_consistency=true"))
    save_parameters(plain, tmp_path / "p.ckpt")
    load_parameters(consistent, tmp_path / "p.ckpt")
    mixture = noise(2, 303)
    before, then = (model(Tensor(mixture)).asnumpy() for model in (plain, consistent))
    np.testing.assert_allclose(then.sum(axis=1), mixture, atol=1e-5)
    np.testing.assert_allclose(np.diff(then, axis=1), np.diff(before, axis=1), atol=1e-5)
    np.testing.assert_allclose(WholeUtterance(consistent, eager_seconds=0).separate(mixture[0]), then[0], atol=1e-5)


def test_with_normalize_variance_the_mixture_has_another_level_within(tmp_path):
    """Its standard deviation, by NumPy, taken out and put in again; the same in the graph of all lengths."""
    plain, normal = tiny(), tiny("normalize_variance=true")
    save_parameters(plain, tmp_path / "p.ckpt")
    load_parameters(normal, tmp_path / "p.ckpt")
    mixture = noise(2, 303) * np.array([[3.0], [0.001]], np.float32) + np.array([[0.5], [0.0]], np.float32)
    deviation = mixture.std(axis=1, ddof=1, keepdims=True)
    expected = plain(Tensor(mixture / deviation)).asnumpy() * deviation[:, :, None]
    tolerance = 1e-5 * np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (np.abs(normal(Tensor(mixture)).asnumpy() - expected) < tolerance).all()
    assert np.abs(plain(Tensor(mixture)).asnumpy() - expected)[1].max() > 100 * tolerance[1]  # a norm's epsilon tells
    assert (np.abs(WholeUtterance(normal, eager_seconds=0).separate(mixture[1]) - expected[1]) < tolerance[1]).all()
    assert np.array_equal(normal(Tensor(np.zeros((1, 300), np.float32))).asnumpy(), np.zeros((1, 2, 300)))


def test_with_normalize_variance_auxiliary_estimates_have_the_mixtures_level():
    model = build_model(load_config(ROOT / "conf/base.yaml", None, [
        "separator=sepreformer encoder=padded_conv encoder_activation=gelu mask_activation=mapping kernel_size=8 "
        "n_filters=8 separator_conf.bottleneck_size=4 separator_conf.n_stages=1 separator_conf.n_heads=2 "
        "separator_conf.kernel_size=5 normalize_variance=true"
    ])).set_train(False)  # fmt: skip
    mixture = noise(1, 303)
    for quiet, loud in zip(model.with_auxiliary(Tensor(mixture)), model.with_auxiliary(Tensor(100 * mixture))):
        tolerance = 1e-4 * np.abs(loud.asnumpy()).max()
        np.testing.assert_allclose(100 * quiet.asnumpy(), loud.asnumpy(), rtol=0, atol=tolerance)


def test_dropout_has_an_effect_in_training_only():
    model = tiny("separator_conf.rnn_layers=2 separator_conf.dropout=0.5")
    mixture = Tensor(noise(1, 300))
    model.set_train(False)
    assert np.array_equal(model(mixture).asnumpy(), model(mixture).asnumpy())
    model.set_train(True)
    assert np.abs(model(mixture).asnumpy() - model(mixture).asnumpy()).max() > 1e-6


@pytest.mark.parametrize(
    ("name", "parameters"), few([("dprnn", 3_651_073), ("dprnn_small", 3_652_865)], ("dprnn_small", 3_652_865))
)
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


def test_half_a_checkpoint_is_loaded_in_float32(tmp_path):
    model, other = tiny(), tiny()
    save_parameters(model, tmp_path / "whole.ckpt")
    save_parameters(model, tmp_path / "half.ckpt", half=True)
    load_parameters(other, tmp_path / "half.ckpt")
    for parameter, loaded in zip(model.get_parameters(), other.get_parameters()):
        assert loaded.dtype == ms.float32
        np.testing.assert_array_equal(loaded.asnumpy(), parameter.asnumpy().astype(np.float16).astype(np.float32))
    whole, half = ((tmp_path / f"{name}.ckpt").stat().st_size for name in ("whole", "half"))
    n_values = sum(parameter.size for parameter in model.get_parameters())
    assert abs(whole - half - 2 * n_values) < 0.1 * n_values


def test_a_deeper_model_begins_as_the_one_it_came_from(tmp_path):
    mixture = Tensor(noise(2, 400))
    model = tiny("separator_conf.n_blocks=2")
    save_parameters(model, tmp_path / "two.ckpt")
    deeper = tiny("separator_conf.n_blocks=4")
    load_deeper(deeper, tmp_path / "two.ckpt", [0, 0, 1, 1])
    np.testing.assert_array_equal(deeper(mixture).asnumpy(), model(mixture).asnumpy())
    ours, theirs = ({p.name: p.asnumpy() for p in one.get_parameters()} for one in (deeper, model))
    for place, number in enumerate([0, 0, 1, 1]):
        for part in ("intra_rnn.weight_hh_l0", "inter_dense.weight"):
            theirs_is = theirs[f"separator.blocks.{number}.{part}"]
            np.testing.assert_array_equal(ours[f"separator.blocks.{place}.{part}"], theirs_is)
        assert ours[f"separator.blocks.{place}.inter_norm.gamma"].any() == (place in (0, 2))


@pytest.mark.parametrize(
    ("conf", "order", "words"),
    [
        ("separator_conf.n_blocks=3", [0, 1], "names 2 blocks, the model has 3"),
        ("separator_conf.n_blocks=2", [0, 2], r"must have all blocks of .*p\.ckpt, 0 to 1, in their order"),
        ("separator_conf.n_blocks=2", [1, 0], "must have all blocks of"),
        ("separator_conf.n_blocks=2", [0, 0], "must have all blocks of"),
        ("separator=rnn", [0], "this model has no blocks that can be added"),
        ("separator_conf.n_blocks=2 n_filters=7", [0, 1], r"p\.ckpt: parameter .* has shape"),
    ],
)
def test_blocks_that_cannot_be_added(conf, order, words, tmp_path):
    save_parameters(tiny("separator_conf.n_blocks=2"), tmp_path / "p.ckpt")
    with pytest.raises(InputError, match=words):
        load_deeper(tiny(conf), tmp_path / "p.ckpt", order)


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
