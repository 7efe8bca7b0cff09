"""TDANet's filterbank: every sample is in as many frames, and the decoder mixes the sources' features."""

import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.encoders.mixing_conv import MixingConvFilterbank

KERNEL, STRIDE, N_SRC = 8, 2, 3


@pytest.fixture(scope="module")
def filterbank():
    """An encoder whose features are a frame's samples, and a decoder that gives those of source c to c + 1."""
    made = MixingConvFilterbank(KERNEL, KERNEL, STRIDE, "linear")
    encoder, decoder = made.encoder(), made.decoder(N_SRC)
    encoder.weight.set_data(Tensor(np.eye(KERNEL, dtype=np.float32)))
    weight = np.zeros((N_SRC, KERNEL, N_SRC, KERNEL), np.float32)
    for source in range(N_SRC):
        weight[source, :, (source + 1) % N_SRC] = np.eye(KERNEL)
    decoder.weight.set_data(Tensor(weight.reshape(N_SRC * KERNEL, N_SRC, KERNEL)))
    return encoder, decoder


@pytest.mark.parametrize("n_samples", [8, 9, 14, 61])
def test_each_sample_is_in_as_many_frames_and_sources_are_mixed(filterbank, n_samples):
    encoder, decoder = filterbank
    waveforms = np.random.default_rng(0).standard_normal((2, N_SRC, n_samples)).astype(np.float32)
    features = encoder(Tensor(waveforms.reshape(-1, n_samples)))
    back = decoder(features).asnumpy()[:, :n_samples].reshape(2, N_SRC, n_samples)
    np.testing.assert_allclose(back, KERNEL // STRIDE * np.roll(waveforms, 1, axis=1), rtol=1e-5)


def test_frames_are_those_of_the_authors_code(filterbank):
    """Of 61 samples: 10 zeros before them, 8 - (2 + 61 % 8) % 8 = 1 and 10 after them."""
    features = filterbank[0](Tensor(np.ones((1, 61), np.float32))).asnumpy()[0]
    assert features.shape == ((10 + 61 + 1 + 10 - 8) // 2 + 1, KERNEL)
    assert features[:, 0].tolist() == [0.0] * 5 + [1.0] * 31 + [0.0] * 2
