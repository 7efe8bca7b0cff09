"""The model that comes with the package: small, described, the default, it separates voices, and stage 5 exports it."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from tiny_experiment import make_data

from mindaudio_ext.bin.export import main as export
from mindaudio_ext.decode.separate import PRETRAINED, Separator, find_model
from mindaudio_ext.metrics.permutation import best_permutation
from mindaudio_ext.metrics.si_snr import si_snr

MODEL = PRETRAINED / "dprnn_2spk_8k"


def test_it_is_small_described_and_the_default():
    assert find_model(None) == (MODEL, None)
    assert find_model("dprnn_2spk_8k") == (MODEL, None)
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"README.md", "config.yaml", "model.json", "history.jsonl", "best.ckpt"}
    assert sum(path.stat().st_size for path in files) < 6e6
    card = (MODEL / "README.md").read_text()
    for words in ("CC BY 4.0", "Panayotov", "SI-SNRi", "Limits", "--pretrained dprnn_2spk_8k"):
        assert words in card
    facts = json.loads((MODEL / "model.json").read_text())
    history = [json.loads(line) for line in (MODEL / "history.jsonl").read_text().splitlines()]
    assert facts["epoch"] == max(history, key=lambda entry: entry["valid_si_snri"])["epoch"]


@pytest.mark.needs("speech_data")
def test_it_separates_voices_it_was_not_trained_on(speech_data):
    """The first utterance of each test speaker, mixed with the next speaker's at the same power."""
    speakers = sorted((speech_data / "librispeech_mini/LibriSpeech/test-clean").iterdir())
    voices = [soundfile.read(min(speaker.rglob("*.flac")), dtype="float32")[0] for speaker in speakers]
    separator = Separator.load()
    assert sum(parameter.size for parameter in separator.model.trainable_params()) == 2_231_873
    assert separator.shifts == 4
    improvements = []
    for one, other in pairwise(voices):
        length = min(len(one), len(other))
        sources = np.stack([0.05 * voice[:length] / voice[:length].std() for voice in (one, other)])
        mixture = sources.sum(axis=0)
        estimates = separator.separate(mixture, 8000)
        assert estimates.shape == (2, length)
        scores = np.array([[si_snr(estimate=x, reference=source) for source in sources] for x in (*estimates, mixture)])
        order = best_permutation(scores[:2])
        improvements.append(np.mean(scores[order, [0, 1]] - scores[2]))
    assert len(improvements) == 11
    assert np.mean(improvements) > 3


@pytest.mark.slow
def test_stage_5_exports_it(tmp_path):
    expdir = tmp_path / "dprnn_2spk_8k"
    shutil.copytree(MODEL, expdir)
    make_data(tmp_path / "test", {"a": 8000, "b": 12000})
    export(["--expdir", str(expdir), "--data", str(tmp_path / "test"), "--export_segment", "1"])
    manifest = json.loads((expdir / "export/manifest.json").read_text())
    assert [graph["role"] for graph in manifest["graphs"]] == ["host", "ascend"]
    assert "LSTM" not in manifest["graphs"][1]["operators"]
