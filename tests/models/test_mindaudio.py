"""MindAudio's own models through our recipe: any length, training, checkpoints, and the options they have."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.config import load_config, make_config, read_resolved, save_config
from mindaudio_ext.convert.asteroid import to_asteroid
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.evaluation import WholeUtterance
from mindaudio_ext.models.parameters import load_parameters, save_parameters
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.train.step import TrainStep

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"
OPTIONS = {
    "mindaudio.conv_tasnet": {"B": 8, "H": 16, "P": 3, "X": 2, "R": 2},
    "mindaudio.tasnet": {"hidden_size": 8, "num_layers": 2},
}


def config_of(name, *, num_spks=2, **options):
    keys = {"num_spks": num_spks, "n_filters": 16, "kernel_size": 20}
    return make_config({"model": name, "model_conf": {**OPTIONS[name], **options}, **keys}, "test")


def make(name, **options):
    ms.set_seed(1)
    return build_model(config_of(name, **options))


def noise(*shape):
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("num_spks", [2, 3])
def test_trains_and_separates(name, num_spks):
    config, model = config_of(name, num_spks=num_spks), make(name, num_spks=num_spks)
    sources = noise(3, num_spks, 403)
    sources[0, :, 300:] = 0
    batch = Batch(sources.sum(axis=1), sources, np.array([300, 403, 403], np.int32))
    before = {parameter.name: parameter.asnumpy().copy() for parameter in model.trainable_params()}
    step = TrainStep(config, model)
    model.set_train(True)
    losses = [step(batch, config.lr).loss for _ in range(20)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 1
    still = [p.name for p in model.trainable_params() if (p.asnumpy() == before[p.name]).all()]
    assert still == []
    frozen = {p.name for p in model.get_parameters()} - before.keys()
    assert frozen == ({"separator.new_lstm.weight", "separator.new_lstm.bias"} if name == "mindaudio.tasnet" else set())

    whole = WholeUtterance(model, eager_seconds=0)
    for n_samples in (403, 20, 21, 1999):
        estimates = whole.separate(noise(n_samples))
        assert estimates.shape == (num_spks, n_samples)
        assert np.isfinite(estimates).all()


@pytest.mark.parametrize("name", OPTIONS)
def test_free_length_gives_the_static_graphs_result(name):
    model, mixture = make(name), noise(1, 777)
    static = model.set_train(False)(Tensor(mixture)).asnumpy()[0]
    np.testing.assert_allclose(
        WholeUtterance(make(name), eager_seconds=0).separate(mixture[0]), static, atol=1e-5 * abs(static).max()
    )


def test_conv_tasnet_overlaps_and_adds():
    """By hand: filter n of the decoder is n + 1 in its first half and -(n + 1) in its second; masks are MindAudio's."""
    model, mixture = make("mindaudio.conv_tasnet"), Tensor(noise(2, 100))
    filters = np.repeat([[1.0], [-1.0]], 10, axis=0) * np.arange(1, 17)  # [kernel, N]
    model.decoder.basis_signals.weight.set_data(Tensor(filters.astype(np.float32)))
    features = model.encoder(mixture)
    masked = (features.expand_dims(1) * model.separator(features)).asnumpy()  # [B, C, N, L]
    levels = np.einsum("bcnl,n->bcl", masked, np.arange(1, 17))  # [B, C, 9]
    hops = np.pad(levels, ((0, 0), (0, 0), (0, 1))) - np.pad(levels, ((0, 0), (0, 0), (1, 0)))  # [B, C, 10]
    expected = np.repeat(hops, 10, axis=2)
    np.testing.assert_allclose(model(mixture).asnumpy(), expected, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize("name", OPTIONS)
def test_checkpoint_and_config_bring_the_model_back(name, tmp_path):
    model, mixture = make(name), Tensor(noise(1, 200))
    save_parameters(model, tmp_path / "best.ckpt")
    save_config(config_of(name), tmp_path / "config.yaml")
    config = read_resolved(tmp_path / "config.yaml")
    assert config == config_of(name)
    assert config.separator_conf == {}
    ms.set_seed(9)
    again = build_model(config)
    load_parameters(again, tmp_path / "best.ckpt")
    np.testing.assert_array_equal(again(mixture).asnumpy(), model(mixture).asnumpy())
    with pytest.raises(InputError, match=f"Asteroid has no model like {name}"):
        to_asteroid(config, {}, "exp")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "mindaudio.conv_tasnt"},
            r"did you mean 'mindaudio.conv_tasnet'.*known: mindaudio.conv_tasnet, mindaudio.tasnet, tasnet",
        ),
        ({"model": "mindaudio.conv_tasnet", "model_conf": {"causal": True}}, "has no option 'causal'"),
        ({"model": "mindaudio.tasnet", "model_conf": {"bidirectional": True}}, "has no option 'bidirectional'"),
        ({"model_conf": {"B": 3}}, "model 'tasnet' has no option 'B'"),
        ({"model": "mindaudio.conv_tasnet", "kernel_size": 5}, "kernel_size: must be even"),
        ({"model": "mindaudio.conv_tasnet", "model_conf": {"P": 4}}, "model_conf.P: must be odd, got 4"),
        (
            {"model": "mindaudio.conv_tasnet", "mask_activation": "sigmoid"},
            "mask_activation: model .* does not read it",
        ),
        ({"model": "mindaudio.tasnet", "separator_conf": {"n_blocks": 2}}, "n_blocks: model .* does not read it"),
        ({"model": "mindaudio.tasnet", "kernel_size": 4, "stride": 3}, "stride: model .* does not read it"),
    ],
)
def test_what_they_cannot_do_is_one_line(values, message):
    with pytest.raises(InputError, match=message):
        make_config(values, "conf")


def test_saved_config_is_a_recipes_conf_again(tmp_path):
    config = config_of("mindaudio.tasnet")
    save_config(config, tmp_path / "config.yaml")
    assert load_config(BASE, tmp_path / "config.yaml") == config


def test_config_of_an_experiment_from_before_the_key_is_ours(tmp_path):
    config = make_config({}, "x")
    save_config(config, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("model: tasnet\n", "").replace("model_conf: {}\n", ""))
    assert "model_conf" not in (tmp_path / "config.yaml").read_text()
    assert read_resolved(tmp_path / "config.yaml") == config
