"""A causal model fed block by block gives what it gives of the whole."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from thorough import UNDER_ALL
from tiny_experiment import RATE, make_experiment, write_wav

from mindaudio_ext.bin.separate import main
from mindaudio_ext.errors import InputError
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.inference.stream import Stream, stream_blocks

CAUSAL = "separator_conf.bidirectional=false separator_conf.n_blocks=2"


def streamed(separator, mixture, n_samples):
    parts = list(stream_blocks(Stream(separator), [mixture], n_samples))
    np.testing.assert_array_equal(np.concatenate([samples for _, samples in parts]), mixture)
    return np.concatenate([estimates for estimates, _ in parts], axis=1)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("separator_conf.norm=cgLN", marks=UNDER_ALL),
        pytest.param(
            "separator_conf.norm=cLN separator_conf.hop_size=4 stride=5 mask_activation=softmax", marks=UNDER_ALL
        ),
        "separator_conf.norm=LN separator_conf.hop_size=10 stride=16 separator_conf.rnn_layers=2",
        "separator_conf.norm=cLN separator_conf.hop_size=3 mixture_consistency=true",
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


@pytest.mark.parametrize(
    ("options", "latency"),
    [
        ("hidden_size=6 chunk_size=20 n_blocks=3", 20 * 8 + 8),
        ("hidden_size=6 chunk_size=100 n_blocks=2 mem_type=c", 50 * 8 + 8),  # a segment in two parts
        ("hidden_size=6 chunk_size=10 n_blocks=1 mem_type=id", 10 * 8 + 8),
    ],
)
def test_skim_carries_the_states_of_all_its_lstms(tmp_path, options, latency):
    options = " ".join(f"separator_conf.{option}" for option in options.split())
    make_experiment(tmp_path, overrides="separator=skim " + options + " separator_conf.causal=true")
    separator = Separator.from_expdir(tmp_path)
    assert Stream(separator).latency == latency / RATE
    mixture = np.random.default_rng(1).standard_normal(5432).astype(np.float32)
    offline = separator.estimate(mixture)
    for n_samples in (160, 4000):  # 20 ms, 500 ms
        online = streamed(separator, mixture, n_samples)
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
        ("separator=skim", "cannot stream: separator_conf.causal is false"),
        (
            "separator=skim separator_conf.causal=true separator_conf.mem_type=none",
            "mem_type is none, so a frame depends on its whole segment",
        ),
        (
            "separator=skim separator_conf.causal=true normalize_variance=true",
            "cannot stream: normalize_variance is true",
        ),
    ],
)
def test_models_that_look_ahead_say_why(tmp_path, options, message):
    make_experiment(tmp_path, overrides=options)
    separator = Separator.from_expdir(tmp_path)
    with pytest.raises(InputError, match=message):
        Stream(separator)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("causal")
    make_experiment(folder, overrides=f"{CAUSAL} separator_conf.norm=cLN")
    return Separator.from_expdir(folder)


def test_what_no_separator_takes_no_stream_takes(causal):
    """And it changes nothing: what comes after is as if it had not come."""
    mixture = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    stream, other = Stream(causal), Stream(causal)
    expected = np.concatenate([stream.push(mixture), stream.finish()], axis=1)
    found = [other.push(mixture[:200].tolist()), other.push(mixture[200:300, None]), other.push(mixture[None, 300:])]
    for block, message in (
        (np.full(9, np.nan), "has NaN or infinity"),
        (np.full(9, 1e300), "has NaN or infinity"),
        (np.zeros((9, 2)), r"stream: expected blocks of one channel, \[n\], got shape \(9, 2\)"),
        (np.float32(0), "expected"),
        (["a"], "got <U1"),
        (np.zeros(9, np.int64), "got int64"),
    ):
        with pytest.raises(InputError, match=message):
            other.push(block)
    found += [other.push(np.zeros(0)), other.finish()]
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-4 * np.abs(expected).max())


def test_integers_have_their_full_scale(causal):
    mixture = np.random.default_rng(0).integers(-9999, 9999, 400).astype(np.int16)
    np.testing.assert_array_equal(Stream(causal).push(mixture), Stream(causal).push(mixture / 32768))


def test_a_finished_stream_takes_no_more(causal):
    stream = Stream(causal)
    stream.push(np.zeros(99))
    stream.finish()
    for again in (lambda: stream.push(np.zeros(99)), stream.finish):
        with pytest.raises(InputError, match="stream: is finished; another recording needs another Stream"):
            again()


def test_threads_have_streams_of_one_separator(causal):
    mixtures = np.random.default_rng(0).standard_normal((8, 400)).astype(np.float32)
    fresh = Separator(causal.model, causal.config)

    def estimate(mixture):
        stream = Stream(fresh)
        return np.concatenate([*map(stream.push, np.split(mixture, 4)), stream.finish()], axis=1)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(estimate, mixtures))
    for estimates, mixture in zip(found, mixtures):
        np.testing.assert_array_equal(estimates, estimate(mixture))


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
