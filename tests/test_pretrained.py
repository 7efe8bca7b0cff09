"""The models that come with the package: small, described, the defaults; they separate voices; stage 5 exports them."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from tiny_experiment import make_data

from mindaudio_ext.bin.export import main as export
from mindaudio_ext.inference.activity import speech_of
from mindaudio_ext.inference.models import PRETRAINED, read_card, table
from mindaudio_ext.inference.separator import Separator, find_model
from mindaudio_ext.inference.stream import Stream, stream_blocks
from mindaudio_ext.metrics._permutation import best_permutation
from mindaudio_ext.metrics.si_snr import si_snr

CONVERSATION = "dprnn_2spk_8k_conversation"
MODELS = {name: PRETRAINED / name for name in ("dprnn_2spk_8k", "dprnn_2spk_8k_causal", CONVERSATION)}


def test_they_are_the_defaults_and_small_together():
    assert find_model(None) == (MODELS[CONVERSATION], None)
    assert find_model(None, streaming=True) == (MODELS["dprnn_2spk_8k_causal"], None)
    assert {path.parent for path in PRETRAINED.glob("*/config.yaml")} == set(MODELS.values())
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file()) < 12e6


@pytest.mark.parametrize("name", MODELS)
def test_it_is_described(name):
    assert find_model(name) == (MODELS[name], None)
    files = {path.name for path in MODELS[name].rglob("*") if path.is_file()}
    assert files == {"README.md", "config.yaml", "model.json", "history.jsonl", "best.ckpt"}
    card = (MODELS[name] / "README.md").read_text()
    for words in ("CC BY 4.0", "Panayotov", "SI-SNRi", "Limits", f"--pretrained {name}"):
        assert words in card
    assert f"| full: whole utterances | **{read_card(MODELS[name])['si_snri']:.2f}** |" in card
    facts = json.loads((MODELS[name] / "model.json").read_text())
    history = [json.loads(line) for line in (MODELS[name] / "history.jsonl").read_text().splitlines()]
    assert facts["epoch"] == min(history, key=lambda entry: entry["valid_loss"])["epoch"]


def test_the_table_has_them():
    assert [line.split() for line in table().splitlines()] == [
        ["name", "speakers", "kHz", "SI-SNRi,", "dB", "licence"],
        ["dprnn_2spk_8k", "2", "8", "8.54", "Apache-2.0"],
        ["dprnn_2spk_8k_causal", "2", "8", "5.79", "Apache-2.0"],
        ["dprnn_2spk_8k_conversation", "2", "8", "7.63", "Apache-2.0"],
    ]


def mixtures_of(speech_data):
    """The first utterance of each test speaker with the next speaker's at the same power: sources [2, T], 11 times."""
    speakers = sorted((speech_data / "librispeech_mini/LibriSpeech/test-clean").iterdir())
    voices = [soundfile.read(min(speaker.rglob("*.flac")), dtype="float32")[0] for speaker in speakers]
    for one, other in pairwise(voices):
        length = min(len(one), len(other))
        yield np.stack([0.05 * voice[:length] / voice[:length].std() for voice in (one, other)])


@pytest.mark.needs("speech_data")
@pytest.mark.parametrize(
    ("name", "n_parameters", "shifts", "at_least"),
    [("dprnn_2spk_8k", 2_231_873, 4, 6), ("dprnn_2spk_8k_causal", 665_153, 1, 4), (CONVERSATION, 2_231_873, 1, 3.5)],
)
def test_it_separates_voices_it_was_not_trained_on(speech_data, name, n_parameters, shifts, at_least):
    separator = Separator.load(name)
    assert sum(parameter.size for parameter in separator.model.trainable_params()) == n_parameters
    assert separator.shifts == shifts
    improvements = []
    for sources in mixtures_of(speech_data):
        mixture = sources.sum(axis=0)
        estimates = separator.separate(mixture, 8000)
        assert estimates.shape == sources.shape
        scores = np.array([[si_snr(estimate=x, reference=source) for source in sources] for x in (*estimates, mixture)])
        order = best_permutation(scores[:2])
        improvements.append(np.mean(scores[order, [0, 1]] - scores[2]))
    assert len(improvements) == 11
    assert np.mean(improvements) > at_least


@pytest.mark.needs("speech_data")
def test_the_model_for_conversations_hears_who_speaks(speech_data):
    separator = Separator.load(CONVERSATION)
    one, other = next(iter(mixtures_of(speech_data)))
    nobody = np.zeros(8000, np.float32)
    sources = np.stack(
        [np.concatenate([one, nobody, 0 * other, one]), np.concatenate([0 * one, nobody, other, other])]
    )  # one alone, a pause, the other alone, both
    estimates = separator.separate(sources.sum(axis=0), 8000)
    products = estimates @ sources.T
    estimates = estimates if np.trace(products) > np.trace(products[::-1]) else estimates[::-1]
    assert len(speech_of(estimates, 8000).speaking) == 2
    for speaking, start in ((0, 0), (1, len(one) + len(nobody))):
        heard, silent = np.square(estimates[[speaking, 1 - speaking], start : start + len(one)]).mean(axis=1)
        assert 10 * np.log10(heard / silent) > 15
    both = slice(len(one) + len(nobody) + len(other), None)
    scores = [si_snr(estimate=x[both], reference=source[both]) for x, source in zip(estimates, sources)]
    assert np.mean(scores) > 3
    assert len(speech_of(separator.separate(one, 8000), 8000).speaking) == 1


@pytest.mark.needs("speech_data")
def test_the_causal_one_streams_with_a_tenth_of_a_second(speech_data):
    separator = Separator.load("dprnn_2spk_8k_causal")
    stream = Stream(separator)
    assert stream.latency == 0.102  # 50 frames of 16 samples, and the other 16 of the last filter
    mixture = next(iter(mixtures_of(speech_data))).sum(axis=0)
    parts = [estimates for estimates, _ in stream_blocks(stream, [mixture], 160)]
    whole = separator.estimate(mixture)
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 1e-3 * np.abs(whole).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_stage_5_exports_it(tmp_path, name):
    expdir = tmp_path / name
    shutil.copytree(MODELS[name], expdir)
    make_data(tmp_path / "test", {"a": 8000, "b": 12000})
    export(["--expdir", str(expdir), "--data", str(tmp_path / "test"), "--export_segment", "1"])
    manifest = json.loads((expdir / "export/manifest.json").read_text())
    assert [graph["role"] for graph in manifest["graphs"]] == ["host", "ascend"]
    assert "LSTM" not in manifest["graphs"][1]["operators"]
