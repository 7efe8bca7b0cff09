"""Levels known beforehand, and a loaded separator against the model called directly."""

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_experiment import RATE, make_experiment

from mindaudio_ext.config import load_config
from mindaudio_ext.errors import InputError, shown
from mindaudio_ext.inference import separator as module
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.level import LARGEST, fit_level, limit_peak
from mindaudio_ext.inference.separator import Separator

ROOT = Path(__file__).resolve().parents[2]
TIME = np.arange(RATE) / RATE
SOURCES = np.stack([0.3 * np.sin(2 * np.pi * 50 * TIME), 0.1 * np.sin(2 * np.pi * 70 * TIME)]).astype(np.float32)


@pytest.fixture(scope="module")
def expdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp") / "tiny"
    make_experiment(folder)
    return folder


@pytest.fixture(scope="module")
def separator(expdir):
    return Separator.from_expdir(expdir)


@pytest.mark.parametrize("gains", [(10, 0.1), (-1, 1), (1e-4, -1e4)])
def test_true_sources_of_any_level_and_sign_come_back(gains):
    estimates = SOURCES * np.float32(gains)[:, None]
    fitted = fit_level(estimates=estimates, mixture=SOURCES.sum(axis=0))
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted, SOURCES, atol=1e-6)


def test_correlated_sources_come_back_too():
    noise = np.random.default_rng(0).standard_normal((3, RATE))
    sources = (noise[:2] + 0.3 * noise[2]).astype(np.float32)  # correlation 0.09 / 1.09
    fitted = fit_level(estimates=sources * np.float32([[3], [0.2]]), mixture=sources.sum(axis=0))
    np.testing.assert_allclose(fitted, sources, atol=1e-5)


def test_means_do_not_count():
    fitted = fit_level(estimates=4 * SOURCES + np.float32([[5], [-3]]), mixture=SOURCES.sum(axis=0) + 0.2)
    np.testing.assert_allclose(fitted - fitted.mean(axis=1, keepdims=True), SOURCES, atol=1e-5)


def test_estimates_alike_share_the_mixture_equally():
    mixture = SOURCES.sum(axis=0)
    fitted = fit_level(estimates=np.stack([7 * mixture, -0.2 * mixture]), mixture=mixture)
    np.testing.assert_allclose(fitted, np.stack([mixture, mixture]) / 2, atol=1e-6)


def test_a_poor_estimate_is_neither_turned_nor_silenced():
    """Exactly, 1.25 of the first minus 0.25 of the second is the mixture: a gain of the wrong sign."""
    estimates = np.array([[1, 0.9], [1, 0.5]], np.float32) @ SOURCES
    mixture = SOURCES.sum(axis=0)
    fitted = fit_level(estimates=estimates, mixture=mixture)
    gains = np.linalg.norm(fitted, axis=1) / np.linalg.norm(estimates, axis=1) * np.sign((fitted * estimates).sum(1))
    assert (gains > 0.4).all()
    assert (gains < 0.6).all()
    assert np.linalg.norm(fitted.sum(axis=0) - mixture) < 0.1 * np.linalg.norm(mixture)


def test_silence_stays_silence():
    silent = np.zeros_like(SOURCES)
    assert not fit_level(estimates=SOURCES, mixture=silent[0]).any()
    half = fit_level(estimates=np.stack([5 * SOURCES[0], silent[0]]), mixture=SOURCES[0])
    np.testing.assert_allclose(half, [SOURCES[0], silent[0]], atol=1e-6)


def test_only_what_would_clip_is_scaled_and_by_one_factor():
    estimates = np.array([[0.5, -LARGEST], [0.25, LARGEST]], np.float32)
    assert limit_peak(estimates) is estimates
    limited = limit_peak(np.array([[0.5, -1.0], [0.25, 0.0]], np.float32))
    np.testing.assert_allclose(limited, np.array([[0.5, -1.0], [0.25, 0.0]]) * 32767 / 32768, rtol=1e-7)
    assert limited.dtype == np.float32


@pytest.mark.parametrize("length", [16, 17, 1601, 4003])
def test_estimates_are_those_of_the_model_at_any_length(expdir, separator, length):
    from mindspore import Tensor

    from mindaudio_ext.models.parameters import load_parameters
    from mindaudio_ext.models.tasnet import build_model

    mixture = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    model = build_model(separator.config)
    load_parameters(model, expdir / "checkpoints" / "best.ckpt")
    model.set_train(False)
    expected = model(Tensor(mixture[None])).asnumpy()[0]
    assert np.abs(expected).max() > 0
    estimates = separator.estimate(mixture)
    np.testing.assert_array_equal(estimates, expected)
    np.testing.assert_array_equal(separator(mixture), limit_peak(fit_level(estimates=estimates, mixture=mixture)))


@pytest.mark.parametrize(
    ("option", "fitted"),
    [("conversations=true loss=pit_thresholded_snr", False), ("mixture_consistency=true", False), ("", True)],
)
def test_a_level_is_fitted_only_where_the_model_has_none(separator, option, fitted):
    """A faint rest of noise in a silent track is not brought to the noise's level."""
    config = load_config(ROOT / "conf/base.yaml", None, [option] if option else [])
    noise = 0.1 * np.random.default_rng(0).standard_normal(SOURCES.shape[1]).astype(np.float32)
    estimates = np.stack([SOURCES[0], 0.01 * noise])
    found = Separator.levelled(SimpleNamespace(config=config), estimates, SOURCES[0] + noise)
    loudness = np.square(found[1]).mean() / np.square(estimates[1]).mean()
    assert loudness == pytest.approx(1e4 if fitted else 1, rel=0.1)


def test_silence_gives_silence(separator):
    assert not separator(np.zeros(999, np.float32)).any()


def test_too_short_and_broken_models_are_named(separator, tmp_path):
    with pytest.raises(InputError, match=r"a.wav: has 15 samples; the model needs at least 16"):
        separator(np.ones(15, np.float32), name="a.wav")
    model = make_experiment(tmp_path / "x")
    model.decoder.weight.set_data(model.decoder.weight * float("nan"))
    with pytest.raises(InputError, match=r"mixture: the model .*gives NaN"):
        Separator(model, separator.config)(np.ones(100, np.float32))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such experiment folder"):
        Separator.from_expdir(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no model here: config.yaml is missing; stage 2 makes it"):
        Separator.from_expdir(tmp_path)
    make_experiment(tmp_path)
    with pytest.raises(InputError, match=r"other.ckpt: no such checkpoint"):
        Separator.from_expdir(tmp_path, tmp_path / "other.ckpt")
    (tmp_path / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(InputError, match=r"checkpoints/best.ckpt is missing; stage 2 makes it"):
        Separator.from_expdir(tmp_path)
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"best.ckpt: not a whole checkpoint"):
        Separator.from_expdir(tmp_path)


def test_the_average_is_taken_when_the_config_says_so(tmp_path):
    make_experiment(tmp_path, overrides="average_best=2 decode_checkpoint=average")
    with pytest.raises(InputError, match=r"checkpoints/average.ckpt is missing; stage 2 makes it"):
        Separator.from_expdir(tmp_path)
    average = (tmp_path / "checkpoints" / "best.ckpt").rename(tmp_path / "checkpoints" / "average.ckpt")
    assert Separator.from_expdir(tmp_path).checkpoint == average


def test_the_configs_model_path_counts(tmp_path):
    make_experiment(tmp_path / "other", seed=1)
    other = tmp_path / "other" / "checkpoints" / "best.ckpt"
    make_experiment(tmp_path / "exp", overrides=f"model_path={other}")
    assert Separator.from_expdir(tmp_path / "exp").checkpoint == other


def test_a_recording_of_any_rate_and_channels_comes_back_as_it_was(separator):
    time = np.arange(44100 + 7) / 44100
    left = 0.3 * np.sin(2 * np.pi * 440 * time)
    stereo = np.stack((left, np.zeros_like(left)), axis=1)  # float64, the mean is half of the left
    estimates = separator.separate(stereo, 44100)
    assert (estimates.shape, estimates.dtype) == ((2, 44107), np.float32)
    np.testing.assert_array_equal(estimates, separator.separate(np.float32(left / 2), 44100))
    np.testing.assert_array_equal(separator.separate(stereo, 44100, channel=1), separator.separate(left, 44100))
    mixture = np.float32(left[:8000])
    np.testing.assert_array_equal(separator.separate(mixture, RATE), separator(mixture))
    loud = separator.separate((32767 * np.sign(left[:8000])).astype(np.int16), RATE)
    assert 0.1 < np.abs(loud).max() <= 1


def test_a_long_recording_in_chunks_sounds_as_loud(separator):
    """Chunks of 0.5 s of a 3 s sine: of the length of the whole, at its level, for any batch of chunks."""
    sine = np.float32(0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 16000 + 1) / 16000))
    results = [
        separator.separate(sine, 16000, chunking=Chunking(longest_whole=1, chunk=0.5, overlap=0.1, batch=batch))
        for batch in (1, 2, 3)
    ]
    assert results[0].shape == (2, len(sine))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-5 * np.abs(results[0]).max())
    np.testing.assert_allclose(results[0].std(), separator.separate(sine, 16000).std(), rtol=0.5)


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        (np.zeros((2, 2, 2)), {}, r"expected \[T\] or \[T, channels\]"),
        (np.zeros(0), {}, r"got shape \(0,\)"),
        (np.array([0, np.nan]), {}, "has NaN or infinity"),
        (np.full(99, 1e300), {}, "has NaN or infinity"),
        (np.zeros(99, complex), {}, "expected floats, int8, int16 or int32, got complex128"),
        (np.zeros(99, np.int64), {}, "got int64"),
        ([[0.0, 0.0], [0.0]], {}, "audio: is no array"),
        (["a", "b"], {}, "got <U1"),
        (np.zeros((99, 2)), {"channel": 0}, "has 2 channels; there is no channel 0"),
        (np.zeros(15), {}, "has 15 samples; the model needs at least 16"),
    ],
)
def test_arrays_that_are_no_recording_are_refused(separator, audio, options, message):
    with pytest.raises(InputError, match=message):
        separator.separate(audio, RATE, **options)


@pytest.mark.parametrize("rate", [0, -8000, 99, 2**31, 10**400, True, np.nan, np.inf, "8000", None])
def test_what_is_no_rate_is_refused(separator, rate):
    with pytest.raises(InputError, match=f"must be a number of 100 to 10000000 Hz, got {shown(rate)}"):
        separator.separate(np.zeros(99), rate)


def test_torchaudios_order_is_guessed_and_that_is_said(separator):
    stereo = np.random.default_rng(0).standard_normal((4000, 2)).astype(np.float32) / 8
    expected = separator.separate(stereo, RATE, channel=2)
    with pytest.warns(UserWarning, match=r"a.wav: the shape \(2, 4000\) is taken for \[channels, T\]"):
        found = separator.separate(stereo.T, RATE, channel=2, name="a.wav")
    np.testing.assert_array_equal(found, expected)
    with pytest.warns(UserWarning, match=r"\(1, 4000\)"):
        np.testing.assert_array_equal(separator.separate(stereo[:, 1:].T, RATE), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(separator.separate(stereo[:, 1:].tolist(), RATE), expected)


def test_threads_share_a_separator_and_have_several(expdir, separator):
    """Eight at once from the first call on, which compiles: the same estimates as one after the other."""
    mixture = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    separators = [separator, Separator.from_expdir(expdir)]

    def estimate(number):
        return [separators[number % 2].estimate(mixture[: 2000 - number]) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(estimate, range(8)))
    for number, estimates in enumerate(found):
        expected = separators[0].estimate(mixture[: 2000 - number])
        assert np.abs(expected).max() > 0
        for one in estimates:
            np.testing.assert_array_equal(one, expected)


def test_a_model_is_found_by_folder_checkpoint_and_name(expdir, tmp_path, monkeypatch):
    checkpoint = expdir / "checkpoints" / "best.ckpt"
    monkeypatch.setattr("mindaudio_ext.inference.models.PRETRAINED", tmp_path)
    assert module.find_model(expdir) == (expdir, None)
    assert module.find_model(str(checkpoint)) == (expdir, checkpoint)
    with pytest.raises(InputError, match="dprnn_2spk_8k_conversation is not in the package; name one with --model"):
        module.find_model()
    for name in ("small", "dprnn_2spk_8k_conversation", "dprnn_2spk_8k_causal"):
        make_experiment(tmp_path / name)
        assert module.find_model(name) == (tmp_path / name, None)
    assert module.find_model() == (tmp_path / "dprnn_2spk_8k_conversation", None)
    assert module.find_model(streaming=True) == (tmp_path / "dprnn_2spk_8k_causal", None)
    assert module.find_model("small", streaming=True) == (tmp_path / "small", None)
    assert Separator.load("small").checkpoint == tmp_path / "small" / "checkpoints" / "best.ckpt"
    make_experiment(tmp_path / "three", overrides="num_spks=3")
    assert module.find_model(num_spks=2) == (tmp_path / "dprnn_2spk_8k_conversation", None)
    assert module.find_model(num_spks=3) == (tmp_path / "three", None)
    with pytest.raises(InputError, match=r"num_spks 3: .* \(dprnn_2spk_8k_causal gives 2\); name one with --model"):
        module.find_model(num_spks=3, streaming=True)
    with pytest.raises(InputError, match="num_spks 2: three gives 3 voices, never fewer"):
        Separator.load("three", num_spks=2)


def test_an_address_is_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"https:/+example\.org/model\.ckpt: no such experiment folder"):
        Separator.load("https://example.org/model.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_the_package_offers_it_without_importing_mindspore():
    code = "import sys, mindaudio_ext\nmindaudio_ext.Separator\nassert 'mindspore' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
