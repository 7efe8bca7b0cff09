"""Sets of mixtures: the same bytes however they are made, and nothing of the user's lost."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from thorough import UNDER_ALL

from mindaudio_ext import log
from mindaudio_ext.corpora.librispeech import find_utterances
from mindaudio_ext.corpora.mixture_plan import Parameters
from mindaudio_ext.corpora.mixture_sets import make_mixtures
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir
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


@pytest.mark.parametrize(("ending", "options"), [
    ("ogg", {"format": "OGG", "subtype": "VORBIS"}), ("opus", {"format": "OGG", "subtype": "OPUS"}), ("mp3", {}),
])  # fmt: skip
def test_speech_in_a_lossy_format_is_mixed(tmp_path, ending, options):
    for speaker in (1, 2):
        path = tmp_path / "corpus" / "all" / str(speaker) / "0" / f"{speaker}-0-1.{ending}"
        path.parent.mkdir(parents=True)
        soundfile.write(path, _noise(1, seed=speaker, level=0.5, rate=16000), 16000, **options)
    utterances = find_utterances(tmp_path / "corpus", ["all"])
    data_dir = make_mixtures(utterances, tmp_path / "data", Parameters("test", 1, 2, 8000, 0))
    assert read_data_dir(data_dir).num_samples == {"2-0-1_1-0-1": 8000}
    assert validate_data_dir(data_dir).num_utts == 1


def test_the_same_bytes_for_any_number_of_processes_and_after_loss(corpus, tmp_path):
    utterances = find_utterances(corpus, ["all"])
    parameters = Parameters("train", 12, 2, 8000, 3)
    one = make_mixtures(utterances, tmp_path / "one", parameters, nj=1)
    make_mixtures(utterances, tmp_path / "two", parameters, nj=2)
    expected = _digests(tmp_path / "one" / "wav")
    assert len(expected) == 3 * 12 + 2  # the stamp and the mark
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
    monkeypatch.setattr("mindaudio_ext.corpora.wav_set.read_audio", None)  # reading anything would fail
    make_mixtures(utterances, tmp_path / "data", parameters)


def test_what_it_did_not_make_is_left_alone(corpus, tmp_path):
    mine = tmp_path / "data" / "train"
    mine.mkdir(parents=True)
    (mine / "wav.scp").write_text("mine\n")
    with pytest.raises(InputError, match="is not known to be made by this command"):
        make_mixtures(find_utterances(corpus, ["all"]), tmp_path / "data", Parameters("train", 6, 2, 8000, 0))
    assert (mine / "wav.scp").read_text() == "mine\n"


def test_what_a_user_adds_to_the_wavs_stays(corpus, tmp_path):
    utterances, data = find_utterances(corpus, ["all"]), tmp_path / "data"
    make_mixtures(utterances, data, Parameters("train", 6, 2, 8000, 0))
    mine = data / "wav" / "train" / "enhanced" / "x.wav"
    write_wav(mine, _noise(0.1), 8000)
    before = _digests(data)
    make_mixtures(utterances, data, Parameters("train", 6, 2, 8000, 0))
    with pytest.raises(InputError, match="wav/train/enhanced: was not made with"):
        make_mixtures(utterances, data, Parameters("train", 4, 2, 8000, 1))
    assert _digests(data) == before
    shutil.rmtree(mine.parent)
    (data / "train" / "text").write_text("mine")
    with pytest.raises(InputError, match="data/train/text: was not made with"):
        make_mixtures(utterances, data, Parameters("train", 4, 2, 8000, 1))
    assert (data / "train" / "text").read_text() == "mine"
    assert len(read_data_dir(data / "train").keys) == 6
    assert len(list((data / "wav" / "train" / "mix").iterdir())) == 6


def test_mixtures_from_before_there_were_marks_are_replaced(corpus, tmp_path):
    utterances, data = find_utterances(corpus, ["all"]), tmp_path / "data"
    make_mixtures(utterances, data, Parameters("train", 6, 2, 8000, 0))
    for folder in ("train", "wav/train"):
        (data / folder / ".made.json").unlink()
    make_mixtures(utterances, data, Parameters("train", 4, 2, 8000, 1))
    make_mixtures(utterances, tmp_path / "new", Parameters("train", 4, 2, 8000, 1))
    assert _digests(data / "wav") == _digests(tmp_path / "new" / "wav")


def test_short_and_silent_utterances_are_left_out_aloud(corpus, tmp_path, capsys):
    log.to_stderr()
    write_wav(corpus / "all" / "1" / "1" / "1-1-0100.wav", np.zeros(8000), 8000)
    write_wav(corpus / "all" / "2" / "1" / "2-1-0100.wav", _noise(0.39), 8000)
    utterances = find_utterances(corpus, ["all"])
    data_dir = make_mixtures(utterances, tmp_path / "data", Parameters("train", 30, 2, 8000, 0))
    assert not any("0100" in key for key in read_data_dir(data_dir).keys)
    said = capsys.readouterr().err
    assert "warning: set train: 1 utterances left out: shorter than 0.4 s\n" in said
    assert "because it is silent" in said
    assert "1-1-0100.wav" in said


def test_one_speaker_is_refused_before_a_folder_is_made(corpus, tmp_path):
    for speaker in "234":
        shutil.rmtree(corpus / "all" / speaker)
    with pytest.raises(InputError, match=r"set train: speech of 1 speaker"):
        make_mixtures(find_utterances(corpus, ["all"]), tmp_path / "data", Parameters("train", 6, 2, 8000, 0))
    assert not (tmp_path / "data").exists()


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


@UNDER_ALL
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
