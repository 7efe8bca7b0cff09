"""Mixtures by LibriMix's rules."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import soundfile

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import read_data_dir, validate_data_dir
from mindaudio_ext.data.librispeech import Utterance, find_utterances
from mindaudio_ext.data.mixture import Parameters, Source, draw_mixtures, loudness, make_mixtures, mix
from mindaudio_ext.errors import InputError


def _noise(seconds, *, seed=0, level=0.1, rate=8000):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate)) * level).clip(-1, 1)


@pytest.fixture
def corpus(tmp_path):
    """Four speakers with five utterances of 0.5 to 1 s each, at 16 and 8 kHz."""
    for speaker in range(1, 5):
        for number in range(5):
            rate = 16000 if speaker % 2 else 8000
            samples = _noise(0.5 + 0.1 * number, seed=10 * speaker + number, rate=rate)
            write_wav(
                tmp_path / "corpus" / "all" / str(speaker) / "1" / f"{speaker}-1-{number:04d}.flac", samples, rate
            )
    return tmp_path / "corpus"


def _digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_loudness_of_a_tone_is_the_standards():
    # ITU-R BS.1770: a full-scale sine of 997 Hz in one channel has -3.01 LKFS.
    tone = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000)
    assert loudness(tone, 48000) == pytest.approx(-3.01, abs=0.05)
    assert loudness(tone / 10, 48000) == pytest.approx(-23.01, abs=0.05)
    assert loudness(np.zeros(8000), 8000) == -np.inf


def test_sources_get_their_targets_and_are_cut_to_the_shortest():
    signals = [_noise(3, seed=1), _noise(2, seed=2, level=0.02)]
    levels = [loudness(signal, 8000) for signal in signals]
    mixture, sources = mix(signals, loudnesses=levels, targets=[-30, -26])
    assert mixture.shape == (16000,)
    assert sources.shape == (2, 16000)
    assert loudness(sources[0] / 32768, 8000) == pytest.approx(-30, abs=0.2)
    assert loudness(sources[1] / 32768, 8000) == pytest.approx(-26, abs=0.01)
    off = mixture.astype(int) - sources.astype(int).sum(axis=0)
    assert set(np.unique(off)) == {0, 1}


def test_a_source_that_would_clip_has_a_peak_of_0_9():
    signals = [np.array([0.5, 0.1, -0.25]), np.zeros(3)]
    mixture, sources = mix(signals, loudnesses=[-40, -40], targets=[-33, -33])  # gain 2.24: the peak would be 1.12
    assert sources[0].tolist() == [int(0.9 * 32768), int(0.18 * 32768), -int(0.45 * 32768) - 1]
    assert mixture.tolist() == sources[0].tolist()


def test_a_loud_mixture_is_scaled_by_one_factor():
    signals = [np.array([0.6, 0.2]), np.array([0.6, -0.1])]
    mixture, sources = mix(signals, loudnesses=[-25, -25], targets=[-25, -25])
    assert mixture[0] == int(0.9 * 32768)
    assert sources.tolist() == [[int(0.45 * 32768), int(0.15 * 32768)], [int(0.45 * 32768), -int(0.075 * 32768) - 1]]


@pytest.mark.parametrize("num_spks", [2, 3, 5])
def test_a_pass_uses_each_utterance_once_and_never_one_speaker_twice(num_spks):
    sources = [Source(Utterance(f"{s}-{i}", str(s), ""), -25.0) for s in range(10) for i in range(6)]
    per_pass = 60 // num_spks
    plans = draw_mixtures(sources, Parameters("train", 2 * per_pass, num_spks, 8000, 0))
    assert len({plan.key for plan in plans}) == 2 * per_pass
    for plan in plans:
        assert len({source.utterance.speaker for source in plan.sources}) == num_spks
    used = Counter(source.utterance.key for plan in plans for source in plan.sources)
    assert max(used.values()) <= 3  # twice, and once more in a third pass for those the others left over
    assert draw_mixtures(sources, Parameters("train", 5, num_spks, 8000, 0)) == plans[:5]
    assert draw_mixtures(sources, Parameters("dev", 5, num_spks, 8000, 0)) != plans[:5]


def test_repeated_pairs_get_a_number():
    sources = [Source(Utterance(name, name, ""), -25.0) for name in ("a", "b")]
    keys = [plan.key for plan in draw_mixtures(sources, Parameters("x", 20, 2, 8000, 0))]
    assert len(set(keys)) == 20
    assert {"a_b", "b_a", "a_b-2", "b_a-2"} <= set(keys)


def test_the_same_bytes_for_any_number_of_processes_and_after_loss(corpus, tmp_path):
    utterances = find_utterances(corpus, ["all"])
    parameters = Parameters("train", 12, 2, 8000, 3)
    one = make_mixtures(utterances, tmp_path / "one", parameters, nj=1)
    make_mixtures(utterances, tmp_path / "two", parameters, nj=2)
    expected = _digests(tmp_path / "one" / "wav")
    assert len(expected) == 3 * 12 + 1
    assert _digests(tmp_path / "two" / "wav") == expected
    found = validate_data_dir(one)
    assert (found.num_utts, found.sample_rate, found.num_spks, found.speakers) == (12, 8000, 2, 4)

    key = read_data_dir(one).keys[0]
    lost = tmp_path / "one" / "wav" / "train" / "s1" / f"{key}.wav"
    kept = tmp_path / "one" / "wav" / "train" / "mix" / f"{read_data_dir(one).keys[1]}.wav"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    make_mixtures(utterances, tmp_path / "one", parameters)
    assert _digests(tmp_path / "one" / "wav") == expected
    assert kept.stat().st_mtime_ns == before


def test_other_parameters_make_the_set_anew(corpus, tmp_path):
    utterances = find_utterances(corpus, ["all"])
    make_mixtures(utterances, tmp_path / "data", Parameters("train", 6, 2, 8000, 0))
    make_mixtures(utterances, tmp_path / "data", Parameters("train", 4, 3, 8000, 0))
    make_mixtures(utterances, tmp_path / "new", Parameters("train", 4, 3, 8000, 0))
    assert _digests(tmp_path / "data" / "wav") == _digests(tmp_path / "new" / "wav")
    assert len(read_data_dir(tmp_path / "data" / "train").sources) == 3
    assert validate_data_dir(tmp_path / "data" / "train").num_utts == 4


def test_a_finished_set_is_not_touched(corpus, tmp_path, monkeypatch):
    utterances = find_utterances(corpus, ["all"])
    parameters = Parameters("train", 6, 2, 8000, 0)
    make_mixtures(utterances, tmp_path / "data", parameters)
    monkeypatch.setattr("mindaudio_ext.data.mixture.read_audio", None)  # reading anything would fail
    make_mixtures(utterances, tmp_path / "data", parameters)


def test_what_it_did_not_make_is_left_alone(corpus, tmp_path):
    mine = tmp_path / "data" / "train"
    mine.mkdir(parents=True)
    (mine / "wav.scp").write_text("mine\n")
    with pytest.raises(InputError, match="was not made by this command"):
        make_mixtures(find_utterances(corpus, ["all"]), tmp_path / "data", Parameters("train", 6, 2, 8000, 0))
    assert (mine / "wav.scp").read_text() == "mine\n"


def test_short_and_silent_utterances_are_left_out_aloud(corpus, tmp_path, capsys):
    write_wav(corpus / "all" / "1" / "1" / "1-1-0100.wav", np.zeros(8000), 8000)
    write_wav(corpus / "all" / "2" / "1" / "2-1-0100.wav", _noise(0.39), 8000)
    utterances = find_utterances(corpus, ["all"])
    data_dir = make_mixtures(utterances, tmp_path / "data", Parameters("train", 30, 2, 8000, 0))
    assert not any("0100" in key for key in read_data_dir(data_dir).keys)
    said = capsys.readouterr().err
    assert "1 utterances left out: shorter than 0.4 s" in said
    assert "because it is silent" in said
    assert "1-1-0100.wav" in said


def test_one_speaker_is_refused(corpus, tmp_path):
    for speaker in "234":
        shutil.rmtree(corpus / "all" / speaker)
    with pytest.raises(InputError, match=r"set train: speech of 1 speaker"):
        make_mixtures(find_utterances(corpus, ["all"]), tmp_path / "data", Parameters("train", 6, 2, 8000, 0))


@pytest.mark.parametrize("kind", ["stereo", "text", "nan"])
def test_a_bad_file_is_named(corpus, tmp_path, kind):
    path = corpus / "all" / "3" / "1" / "3-1-0200.wav"
    tone = _noise(1)
    if kind == "stereo":
        soundfile.write(path, np.stack([tone, tone], axis=1), 8000)
    elif kind == "nan":
        soundfile.write(path, tone * np.nan, 8000, subtype="FLOAT")
    else:
        path.write_text("not audio")
    with pytest.raises(InputError, match=r"3-1-0200\.wav"):
        make_mixtures(find_utterances(corpus, ["all"]), tmp_path / "data", Parameters("train", 6, 2, 8000, 0), nj=2)


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters("train", 6, 1, 8000, 0),
        Parameters("train", 6, 6, 8000, 0),
        Parameters("train", 0, 2, 8000, 0),
        Parameters("train", 6, 2, 0, 0),
        Parameters("../train", 6, 2, 8000, 0),
        Parameters("wav", 6, 2, 8000, 0),
    ],
)
def test_impossible_parameters_are_refused(corpus, tmp_path, parameters):
    with pytest.raises(InputError):
        make_mixtures(find_utterances(corpus, ["all"]), tmp_path / "data", parameters)


def test_killed_and_run_again_is_the_same_as_not_killed(corpus, tmp_path):
    command = [sys.executable, "-m", "mindaudio_ext.bin.make_mixtures", "--librispeech", str(corpus), "--set", "train"]
    command += ["--n_mixtures", "150", "--nj", "2", "--data"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    wavs = tmp_path / "killed" / "wav"
    for least in (5, 150):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(wavs.rglob("*.wav"))) < least:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(0.3)
    assert 5 <= len(list(wavs.rglob("[!.]*.wav"))) < 450
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)
    assert _digests(wavs) == _digests(tmp_path / "whole" / "wav")
    assert validate_data_dir(tmp_path / "killed" / "train").num_utts == 150
    stamps = [json.loads((tmp_path / name / "train" / ".mixtures.json").read_text()) for name in ("whole", "killed")]
    assert stamps[0] == stamps[1]


@pytest.mark.needs("speech_data")
def test_real_speech(speech_data, tmp_path):
    root = speech_data / "librispeech_mini" / "LibriSpeech"
    data_dir = make_mixtures(
        find_utterances(root, ["test-clean"]), tmp_path / "data", Parameters("test", 40, 2, 8000, 0), nj=2
    )
    found = validate_data_dir(data_dir)
    assert (found.num_utts, found.speakers) == (40, 12)
