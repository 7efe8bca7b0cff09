"""Conversations in rooms: the same bytes for any number of processes, signals that add up, and none by default."""

import dataclasses

import numpy as np
import pytest
import soundfile
from tiny_experiment import files_of, write_wav

from mindaudio_ext.bin.make_conversations import main
from mindaudio_ext.corpora.conversations import Parameters, make_conversations
from mindaudio_ext.corpora.librispeech import find_utterances
from mindaudio_ext.data import rooms
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.kaldi_dir import CORPUS, read_data_dir
from mindaudio_ext.data.rooms import Rooms
from mindaudio_ext.data.rttm import read_rttm
from mindaudio_ext.data.validate_data_dir import validate_data_dir

RATE = 8000
PARAMETERS = Parameters("dev", 2, 2, (2, 1), (5.0, 6.0), RATE, 3, Statistics())
ROOMS = Rooms((0.2, 0.3), length=(4, 5), width=(3, 4), distance=(0.5, 1.0))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two speakers of bursts of noise of 0.5 s with pauses of 0.3 s."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    burst = np.repeat([1, 0] * 4, [4000, 2400] * 4)
    for speaker in ("11", "12"):
        samples = (3000 * rng.standard_normal(len(burst)) * burst).astype(np.int16)
        write_wav(folder / "set" / speaker / "0" / f"{speaker}-0-0.wav", samples)
    return folder


def make(corpus, data, nj=1, **changes):
    utterances = find_utterances(corpus, ["set"])
    return make_conversations(utterances, data, dataclasses.replace(PARAMETERS, **changes), nj=nj)


def contents(data):
    return {name: content.replace(str(data).encode(), b"") for name, content in files_of(data).items()}


def signals(folder):
    """Key, mixture, sources and noise of each conversation, int16."""
    data = read_data_dir(folder)
    for key in data.keys:
        files = [data.mixtures[key], *(scp[key] for scp in data.sources), *([data.noise[key]] if data.noise else [])]
        yield key, *(soundfile.read(file, dtype="int16")[0].astype(int) for file in files)


@pytest.mark.needs("pyroomacoustics")
def test_the_same_bytes_for_any_nj(corpus, tmp_path):
    first = contents(make(corpus, tmp_path / "a", rooms=ROOMS).parent)
    assert contents(make(corpus, tmp_path / "b", nj=2, rooms=ROOMS).parent) == first
    others = dataclasses.replace(ROOMS, rt60=(0.3, 0.4))
    assert contents(make(corpus, tmp_path / "c", rooms=others).parent) != first


@pytest.mark.needs("pyroomacoustics")
def test_reverberant_sources_add_up_and_ring_after_a_turn(corpus, tmp_path):
    dry, wet = make(corpus, tmp_path / "dry"), make(corpus, tmp_path / "wet", rooms=ROOMS)
    validate_data_dir(wet)
    assert (dry / "rttm").read_text() == (wet / "rttm").read_text()
    assert "rooms of 0.2 to 0.3 s, reverberant references" in (wet / CORPUS).read_text()
    turns = read_rttm(wet / "rttm")
    for key, mixture, *sources in signals(wet):
        np.testing.assert_allclose(sum(sources), mixture, atol=2)
        tails = []
        for source, speaker in zip(sources, read_data_dir(wet).src2spk[key]):
            said = np.zeros(len(source), bool)
            for turn in turns[key]:
                if turn.speaker == speaker:
                    said[max(0, round(turn.start * RATE) - 48) : round(turn.end * RATE)] = True
                    tails.append(np.square(source[round(turn.end * RATE) :][:800]).mean())
            assert said.any() or not source.any()
            first = np.flatnonzero(said)[:1]
            assert not source[: first[0] if len(first) else None].any()  # digital silence before the first word
        assert np.median(tails) > 100


@pytest.mark.needs("pyroomacoustics")
@pytest.mark.parametrize("references", ["early", "anechoic"])
def test_what_a_reference_does_not_hold_is_in_the_noise(corpus, tmp_path, references):
    whole = make(corpus, tmp_path / "whole", rooms=ROOMS)
    part = make(corpus, tmp_path / "part", rooms=ROOMS, references=references)
    validate_data_dir(part)
    for one, other in zip(signals(whole), signals(part)):
        np.testing.assert_allclose(one[1], other[1], atol=3)  # the same mixture
        np.testing.assert_allclose(sum(other[2:]), other[1], atol=3)
        powers = [np.square(found[2]).mean() for found in (one, other)]
        assert powers[1] < powers[0]
        assert other[-1].any()
    noisy = make(corpus, tmp_path / "noisy", rooms=ROOMS, references=references, noise="pink", snr=(10.0, 10.0))
    validate_data_dir(noisy)
    for _, *found in signals(noisy):
        np.testing.assert_allclose(sum(found[1:]), found[0], atol=4)


def test_without_rooms_the_stamp_is_that_of_before_there_were_any(corpus, tmp_path):
    stamp = contents(make(corpus, tmp_path).parent)["dev/.mixtures.json"].decode()
    assert "rooms" not in stamp
    assert "references" not in stamp


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rt60", "2"], "rt60: from 0.1 to 1 s, the less first, are expected; got 2 2"),
        (["--rt60", "0.3", "--distance", "3"], "distance: from 0.1 to 2 m"),
        (["--rt60", "slow"], "argument --rt60: seconds are expected, or the least and the most of them"),
        (["--references", "early"], "references: early is of rooms, and without rt60 there are none"),
        (["--rt60", "0.2 0.3"], "rt60: rooms need the package pyroomacoustics: pip install 'mindaudio-ext[rooms]'"),
    ],
)
def test_what_does_not_do_is_said_in_one_line(corpus, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.setattr(rooms, "can_make_rooms", lambda: False)
    monkeypatch.chdir(tmp_path)
    right = ["--librispeech", str(corpus), "--data", "data", "--set", "dev", "--n_conversations", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*right, *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "data/dev").exists()
