"""A causal model fed block by block gives what it gives of the whole."""

import numpy as np
import pytest
import soundfile
from tiny_experiment import RATE, make_experiment, write_wav

from mindaudio_ext.bin.separate import main
from mindaudio_ext.decode.separate import Separator
from mindaudio_ext.decode.streaming import Stream, stream_blocks
from mindaudio_ext.errors import InputError

CAUSAL = "separator_conf.bidirectional=false separator_conf.n_blocks=2"


def streamed(separator, mixture, n_samples):
    parts = list(stream_blocks(Stream(separator), [mixture], n_samples))
    np.testing.assert_array_equal(np.concatenate([samples for _, samples in parts]), mixture)
    return np.concatenate([estimates for estimates, _ in parts], axis=1)


@pytest.mark.parametrize(
    "options",
    [
        "separator_conf.norm=cgLN",
        "separator_conf.norm=cLN separator_conf.hop_size=4 stride=5 mask_activation=softmax",
        "separator_conf.norm=LN separator_conf.hop_size=10 stride=16 separator_conf.rnn_layers=2",
    ],
)
def test_blocks_of_any_length_give_the_offline_estimates(tmp_path, options):
    make_experiment(tmp_path, overrides=f"{CAUSAL} {options}")
    separator = Separator.from_expdir(tmp_path)
    for length in (16, 1003, 5432):
        mixture = np.random.default_rng(length).standard_normal(length).astype(np.float32) + np.float32(0.5)
        offline = separator.estimate(mixture)
        for n_samples in (160, 4000, 7, 100000) if length == 1003 else (160, 4000):  # 20 ms, 500 ms
            online = streamed(separator, mixture, n_samples)
            assert online.shape == offline.shape
            np.testing.assert_allclose(online, offline, atol=1e-4 * np.abs(offline).max())


def test_latency_is_a_chunk_and_the_rest_of_a_filter(tmp_path):
    """Ten frames of 8 samples and 8 more; what comes later than that does not change what is out already."""
    make_experiment(tmp_path, overrides=f"{CAUSAL} separator_conf.norm=cgLN")
    stream = Stream(Separator.from_expdir(tmp_path))
    assert stream.latency == 88 / RATE
    mixture = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    n_out = sum(stream.push(sample[None]).shape[1] for sample in mixture)
    assert 4000 - 88 <= n_out + 1 <= 4000 - 88 + 40  # outputs come a hop, 40 samples, at a time


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "cannot stream: separator_conf.bidirectional is true"),
        ("separator_conf.bidirectional=false", "norm is gLN, which sees the whole signal"),
        ("separator_conf.bidirectional=false norm=cLN rnn_type=GRU", "rnn_type is GRU; streaming takes LSTM"),
    ],
)
def test_models_that_look_ahead_say_why(tmp_path, options, message):
    make_experiment(tmp_path, overrides=options)
    separator = Separator.from_expdir(tmp_path)
    with pytest.raises(InputError, match=message):
        Stream(separator)


def test_too_short_a_stream_is_refused(tmp_path):
    make_experiment(tmp_path, overrides=f"{CAUSAL} separator_conf.norm=cLN")
    stream = Stream(Separator.from_expdir(tmp_path))
    stream.push(np.zeros(15, np.float32))
    with pytest.raises(InputError, match="stream: has 15 samples; the model needs at least 16"):
        stream.finish()


def test_the_command_streams_and_prints_the_latency(tmp_path, capsys):
    make_experiment(tmp_path / "exp", overrides=f"{CAUSAL} separator_conf.norm=cgLN")
    write_wav(tmp_path / "mix.wav", np.random.default_rng(0).standard_normal(3000).astype(np.float32) / 8)
    for option in ([], ["--stream", "20"]):
        out = str(tmp_path / f"out{len(option)}")
        main([str(tmp_path / "mix.wav"), "--model", str(tmp_path / "exp"), "-o", out, *option])
    assert "streamed in blocks of 20 ms, latency 11 ms and a block" in capsys.readouterr().out
    for source in (1, 2):
        whole, streamed = (soundfile.read(tmp_path / f"out{n}" / f"mix_s{source}.wav")[0] for n in (0, 2))
        np.testing.assert_allclose(streamed, whole, atol=1e-4 + 1 / 32768)
