"""The STFT is NumPy's, and its inverse gives the signal back, whatever its length."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.config import load_config
from mindaudio_ext.encoders.stft import STFTFilterbank
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.cost import count_multiply_adds
from mindaudio_ext.models.streaming import StreamingModel
from mindaudio_ext.models.tasnet import build_model

STFT = "encoder=stft kernel_size=32 n_filters=34 stride=16"
SIZES = {"bottleneck_size": 6, "hidden_size": 4, "chunk_size": 8, "n_blocks": 1}
SMALL = " ".join(f"separator_conf.{option}={size}" for option, size in SIZES.items())


def sound(length, seed=0):
    return np.random.default_rng(seed).normal(size=(2, length)).astype(np.float32)


@pytest.mark.parametrize(("window", "stride"), [("sqrt_hann", 16), ("sqrt_hann", 8), ("hann", 8)])
@pytest.mark.parametrize("length", [32, 100, 161])
def test_the_inverse_gives_the_signal_back(window, stride, length):
    filterbank = STFTFilterbank(34, 32, stride, "linear", window=window)
    waveform = sound(length)
    found = filterbank.decoder(1)(filterbank.encoder()(Tensor(waveform))).asnumpy()
    assert found.shape[1] >= length
    np.testing.assert_allclose(found[:, :length], waveform, atol=2e-6)
    assert np.abs(found[:, length:]).max(initial=0) < 2e-6  # the zeros that fill the last frame


def test_features_are_the_spectra_of_windowed_frames():
    waveform = sound(64)
    found = STFTFilterbank(34, 32, 16, "linear").encoder()(Tensor(waveform)).asnumpy()
    assert found.shape == (2, 6, 34)  # (64 + 32 - 16) // 16 + 1
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(32) / 32))
    spectrum = np.fft.rfft(waveform[:, 16:48] * window)  # the first frame begins 16 samples before the signal
    np.testing.assert_allclose(found[:, 2, :17], spectrum.real, atol=1e-5)
    np.testing.assert_allclose(found[:, 2, 17:], spectrum.imag, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [("sqrt_hann", 16), ("hann", 16), ("hann", 8)])
@pytest.mark.parametrize("length", [32, 100, 161])
def test_centred_frames_are_those_of_the_mirrored_signal_and_give_it_back(window, stride, length):
    filterbank = STFTFilterbank(34, 32, stride, "linear", window=window, padding="reflect")
    waveform = sound(length)
    spectra = filterbank.encoder()(Tensor(waveform))
    assert spectra.shape == (2, length // stride + 1, 34)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, ((0, 0), (16, 16)), "reflect"), 32, axis=1)
    expected = np.fft.rfft(frames[:, ::stride] * filterbank.window)
    np.testing.assert_allclose(spectra.asnumpy()[..., :17], expected.real, atol=1e-5)
    np.testing.assert_allclose(spectra.asnumpy()[..., 17:], expected.imag, atol=1e-5)
    found = filterbank.decoder(1)(spectra).asnumpy()
    assert found.shape[1] >= length
    np.testing.assert_allclose(found[:, :length], waveform, atol=1e-4)


def test_complex_masks_multiply_spectra_and_mappings_replace_them():
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(1, 1, 3, 34)), rng.normal(size=(1, 2, 3, 34))
    complex_features, complex_masks = (
        features[..., :17] + 1j * features[..., 17:],
        logits[..., :17] + 1j * logits[..., 17:],
    )
    product = complex_masks * complex_features
    expected = {"complex": np.concatenate((product.real, product.imag), axis=-1), "mapping": logits}
    for activation, values in expected.items():
        model = build_model(load_config(None, None, [f"{STFT} {SMALL} mask_activation={activation}"]))
        found = model.mask(Tensor(features, ms.float32), Tensor(logits, ms.float32))
        np.testing.assert_allclose(found.asnumpy(), values, atol=1e-5)


def test_a_model_with_an_stft_separates_and_is_counted():
    config = load_config(None, None, [f"{STFT} {SMALL}"])
    model = build_model(config)
    assert model(Tensor(sound(500))).shape == (2, 2, 500)
    assert not [name for name in model.parameters_dict() if name.startswith(("encoder", "decoder"))]
    learned = build_model(load_config(None, None, [f"kernel_size=32 n_filters=34 stride=16 {SMALL}"]))
    # 500 samples are 33 frames of the stft, and 30 of the convolution: 3 more of 34 x 32 products, there and back.
    separator = count_multiply_adds(model, 500) - 33 * 34 * 32 - 2 * 33 * 34 * 32
    assert separator > 0
    assert count_multiply_adds(learned, 500) < count_multiply_adds(model, 500)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("n_filters=64", r"n_filters: the stft of 32 samples has 34 \(real and imaginary parts of 17 freq.*, got 64"),
        ("kernel_size=33", "kernel_size: the stft needs an even one, got 33"),
        (
            "mask_activation=complex encoder=conv n_filters=33",
            "n_filters: complex masks need .* an even number; got 33",
        ),
        ("stride=12", "stride: sqrt_hann windows of 32 samples do not add up every 12 samples"),
        ("encoder_conf.window=hann", "do not add up every 16 samples"),
        ("encoder_activation=relu", "encoder_activation: the stft takes linear alone, got relu"),
        ("encoder_conf.window=kaiser", r"encoder_conf\.window: expected one of hann, sqrt_hann, got 'kaiser'"),
        ("encoder_conf.size=3", "encoder 'stft' has no option 'size'"),
        ("encoder=sfft", r"encoder: no encoder 'sfft' \(did you mean 'stft'\?\)"),
    ],
)
def test_what_cannot_be_transformed_back_is_refused_by_key(overrides, words):
    with pytest.raises(InputError, match=words):
        load_config(None, None, [STFT, overrides])


def test_a_model_with_an_stft_does_not_stream():
    causal = "separator_conf.bidirectional=false separator_conf.norm=cgLN"
    with pytest.raises(InputError, match="cannot stream: only the encoder conv can"):
        StreamingModel(build_model(load_config(None, None, [f"{STFT} {SMALL} {causal}"])))
