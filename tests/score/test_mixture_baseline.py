"""Known scores of unprocessed mixtures, with a stand-in for the published table."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from mindaudio_ext.bin import check_data as command
from mindaudio_ext.corpora.librimix import MixRow
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mix_csv import Mix
from mindaudio_ext.errors import InputError
from mindaudio_ext.score import mixture_baseline
from mindaudio_ext.score.mixture_baseline import TABLE, Scores, published_set, read_table, score_mixtures

RATE = T = 8000
FOLDER = "wav8k/min/test/mix_clean"


@pytest.fixture
def folder(tmp_path):
    """Mixtures of orthogonal sines: the SI-SDR of a's sources is +6.02 and -6.02 dB; b has noise as loud as these."""
    time = np.arange(T) / RATE
    scps = [{}, {}, {}, {}]
    for key, gains in (("a", (0.4, 0.2, 0.0)), ("b", (0.2, 0.2, 0.2))):
        parts = [gain * np.sin(2 * np.pi * tone * time) for gain, tone in zip(gains, (500, 700, 900))]
        for scp, name, samples in zip(scps, ("mix_clean", "s1", "s2", "noise"), (sum(parts), *parts)):
            path = tmp_path / FOLDER.replace("mix_clean", name) / f"{key}.wav"
            write_wav(path, samples, RATE)
            scp[key] = str(path)
    data = tmp_path / "data" / "test"
    write_data_dir(data, mixtures=scps[0], sources=scps[1:3], noise=scps[3], num_samples=dict.fromkeys("ab", T))
    return data


def _table(tmp_path, **changes):
    row = {
        "name": "stand-in",
        "num_spks": 2,
        "folder": FOLDER,
        "num_utts": 2,
        "si_sdr": 0.0,
        "sdr": 0.0,
        "stoi": 0.0,
    } | changes
    (tmp_path / "table.yaml").write_text(yaml.safe_dump([row]))
    return tmp_path / "table.yaml"


def test_the_published_table_is_the_model_cards():
    table = {(published.num_spks, published.folder): published for published in read_table()}
    assert len(table) == 7
    assert {published.num_utts for published in table.values()} == {3000}
    assert table[2, "wav8k/min/test/mix_clean"].known == Scores(0.0005, 0.179, 0.7129)
    assert table[3, "wav16k/min/test/mix_both"].known == Scores(-4.357, -4.182, 0.5635)


def test_scores_are_means_over_mixtures_and_sources(folder, tmp_path):
    scores = score_mixtures(read_data_dir(folder), tmp_path / "kept", nj=2)
    one = [mixture_baseline.score_mixture(entry) for entry in read_data_dir(folder).entries()]
    assert [score.si_sdr for score in one] == pytest.approx([0, -10 * np.log10(2)], abs=1e-3)
    assert scores.si_sdr == pytest.approx(-5 * np.log10(2), abs=1e-3)
    assert scores.sdr == pytest.approx(np.mean([score.sdr for score in one]))
    assert scores.stoi == pytest.approx(np.mean([score.stoi for score in one]))


def test_a_full_set_is_told_by_folder_and_number(folder, tmp_path):
    data = read_data_dir(folder)
    assert published_set(data, read_table(_table(tmp_path))).name == "stand-in"
    assert published_set(data, read_table(_table(tmp_path, num_utts=3))) is None
    assert published_set(data, read_table(_table(tmp_path, num_spks=3))) is None
    assert published_set(data, read_table(_table(tmp_path, folder=FOLDER.replace("min", "max")))) is None
    assert published_set(data, read_table(_table(tmp_path, folder=f"x{FOLDER}"))) is None
    assert published_set(data, read_table(TABLE)) is None


@pytest.mark.parametrize(
    ("subset", "mode", "is_it"),
    [("test-clean", "min", True), ("test-clean", "max", False), ("dev-clean", "min", False)],
)
def test_a_set_that_is_not_written_is_told_by_what_it_is_mixed_from(folder, tmp_path, subset, mode, is_it):
    def mix(key):
        paths = tuple(f"/LibriSpeech/{subset}/{speaker}/5/{speaker}-5-0001.flac" for speaker in (1, 2))
        return Mix(MixRow(key, paths, (1.0, 1.0), None, 0.0, ""), 8000, mode, "mix_clean")

    data = dataclasses.replace(read_data_dir(folder), mixtures=dict.fromkeys("ab", ""), mixes={k: mix(k) for k in "ab"})
    assert bool(published_set(data, read_table(_table(tmp_path)))) == is_it


@pytest.mark.parametrize("metric", ["si_sdr", "sdr", "stoi"])
@pytest.mark.parametrize(("off", "passes"), [(0.0, True), (0.0099, True), (0.0101, False), (-0.0101, False)])
def test_a_miss_of_more_than_a_hundredth_is_refused_unless_forced(folder, tmp_path, capsys, metric, off, passes):
    known = dataclasses.asdict(score_mixtures(read_data_dir(folder), folder.parent / "check" / "test"))
    known[metric] += off
    arguments = [str(folder), "--before_training", "true", "--golden", str(_table(tmp_path, **known))]
    if passes:
        command.main(arguments)
        assert "stand-in: the mixtures have SI-SDR" in capsys.readouterr().out
        return
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{folder}: stand-in: the mixtures have SI-SDR " in error
    assert "they are more than 0.01 apart" in error
    command.main([*arguments, "--force", "true"])
    assert capsys.readouterr().out.startswith("warning: ")


def test_any_other_set_is_not_scored(folder, monkeypatch, capsys):
    monkeypatch.setattr(command, "score_mixtures", None)
    command.main([str(folder), "--before_training", "true"])
    assert "is no full published test set" in capsys.readouterr().out


def test_scores_are_kept_until_a_signal_changes(folder, tmp_path, monkeypatch):
    scores = score_mixtures(read_data_dir(folder), tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(mixture_baseline, "score_mixture", None)
        assert score_mixtures(read_data_dir(folder), tmp_path / "kept") == scores
    kept = tmp_path / "kept" / "golden.json"
    changed = json.loads(kept.read_text())
    changed["scores"]["sdr"] = 99.0
    kept.write_text(json.dumps(changed))
    assert score_mixtures(read_data_dir(folder), tmp_path / "kept").sdr == 99.0
    wav = tmp_path / FOLDER.replace("mix_clean", "s1") / "a.wav"
    write_wav(wav, np.zeros(T, np.int16), RATE)
    with pytest.raises(InputError, match="a: the sources and noise do not add up"):
        score_mixtures(read_data_dir(folder), tmp_path / "kept")
    kept.write_text("{")
    with pytest.raises(InputError):
        score_mixtures(read_data_dir(folder), tmp_path / "kept")


@pytest.mark.parametrize("text", ["x", "[{name: a}]", "- 3", "[", "- {name: a, folder: b, num_utts: c}"])
def test_a_table_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "table.yaml").write_text(text)
    with pytest.raises(InputError, match=r"table\.yaml: is not a table of known scores"):
        read_table(tmp_path / "table.yaml")
