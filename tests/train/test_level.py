"""The decoder that a model begins with: the filters of least squares, and when nothing is changed."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.models.tasnet import TasNet
from mindaudio_ext.train.level import fit_decoder

SIGNS = np.array([1, -1, 1, -1, -1, 1], np.float32)


def model_of(kernel_size=8, stride=4, **options):
    ms.set_seed(3)
    options = {"encoder": "conv", "n_filters": 6} | options
    return TasNet(
        separator="tcn",
        separator_conf={"bottleneck_size": 4, "hidden_size": 6, "skip_size": 4, "n_repeats": 1, "n_blocks": 1},
        num_spks=2,
        kernel_size=kernel_size,
        stride=stride,
        encoder_activation="linear",
        mask_activation="sigmoid",
        **options,
    ).set_train(False)


def batch_of(model, n_samples=2000):
    """Sources that are what the model makes, in the other order."""
    mixture = np.random.default_rng(0).standard_normal((3, n_samples)).astype(np.float32)
    mixture *= np.array([[1], [0.1], [3]], np.float32)
    consistent, model.mixture_consistency = model.mixture_consistency, False
    sources = model(Tensor(mixture)).asnumpy()[:, ::-1].copy()
    model.mixture_consistency = consistent
    return Batch(mixture, sources, np.full(3, n_samples, np.int32))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_size": 10},  # the third frame reaches two samples of four
        {"kernel_size": 2, "stride": 1},
        {"encoder": "padded_conv"},
        {"encoder": "mixing_conv"},
        {"normalize_variance": True},
        {"mixture_consistency": True},
    ],
    ids=str,
)
def test_levels_and_signs_of_filters_that_outputs_share_are_found(options):
    model = model_of(**options)
    batch, right = batch_of(model), model.decoder.weight.asnumpy().copy()
    signs = np.resize(SIGNS, len(right)).reshape(-1, *[1] * (right.ndim - 1))
    model.decoder.weight.set_data(Tensor(16 * signs * right))
    assert fit_decoder(model, [batch]) > 20
    error = model(Tensor(batch.mixture)).asnumpy()[:, ::-1] - batch.sources
    if not model.mixture_consistency:
        assert np.square(error).sum() < 1e-4 * np.square(batch.sources).sum()
    if options != {"encoder": "mixing_conv"}:  # there the features of both outputs are almost the same
        assert np.abs(model.decoder.weight.asnumpy() - right).max() < 0.02 * np.abs(right).max()


def test_a_decoder_that_is_nearly_right_is_left():
    model = model_of()
    batch = batch_of(model)
    noise = 0.01 * np.random.default_rng(1).standard_normal(batch.sources.shape)
    batch = dataclasses.replace(batch, sources=batch.sources + noise)
    before = model.decoder.weight.asnumpy().copy()
    assert fit_decoder(model, [batch]) == 0
    assert (model.decoder.weight.asnumpy() == before).all()


def test_silence_and_a_decoder_without_filters_change_nothing():
    model = model_of()
    before = model.decoder.weight.asnumpy().copy()
    silence = Batch(np.zeros((1, 80), np.float32), np.zeros((1, 2, 80), np.float32), np.array([80], np.int32))
    assert fit_decoder(model, [silence]) == 0
    assert (model.decoder.weight.asnumpy() == before).all()
    spectra = model_of(encoder="stft", n_filters=10)
    assert fit_decoder(spectra, [batch_of(spectra)]) == 0
