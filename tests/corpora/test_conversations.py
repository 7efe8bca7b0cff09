"""Sets of conversations: the same bytes however they are made, true turns, and speech that does not do."""

import dataclasses

import numpy as np
import pytest
import soundfile
from tiny_experiment import files_of, write_wav

from mindaudio_ext.bin.make_conversations import main
from mindaudio_ext.corpora import conversations
from mindaudio_ext.corpora.conversations import Parameters, make_conversations
from mindaudio_ext.corpora.librispeech import find_utterances
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir

RATE = 8000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three speakers with two utterances each, bursts of noise of 0.5 s with pauses of 0.3 s; one more is silent."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    burst = np.repeat([1, 0] * 4, [4000, 2400] * 4)
    for speaker in ("11", "12", "13"):
        for number in range(2):
            samples = (3000 * rng.standard_normal(len(burst)) * burst).astype(np.int16)
            write_wav(folder / "set" / speaker / "0" / f"{speaker}-0-{number}.wav", samples)
    write_wav(folder / "set/14/0/14-0-0.wav", np.zeros(8000, np.int16))
    return folder


PARAMETERS = Parameters("dev", 3, 3, (2, 3, 1), (5.0, 8.0), RATE, 7, Statistics())


def make(corpus, data, nj=1, **changes):
    utterances = find_utterances(corpus, ["set"])
    return make_conversations(utterances, data, dataclasses.replace(PARAMETERS, **changes), nj=nj)


def contents(data):
    """The bytes of all files; paths, which lists have, without what is above them."""
    return {name: content.replace(str(data).encode(), b"") for name, content in files_of(data).items()}


def test_the_same_bytes_for_any_nj_and_after_an_interruption(corpus, tmp_path, monkeypatch):
    first = contents(make(corpus, tmp_path / "a").parent)
    assert "dev/rttm" in first
    assert sum(name.endswith(".wav") for name in first) == 12
    assert contents(make(corpus, tmp_path / "b", nj=2).parent) == first
    real, made = conversations.write_wav, []

    def stop(path, samples, rate):
        if len(made) == 6:
            raise KeyboardInterrupt
        made.append(path)
        real(path, samples, rate)

    monkeypatch.setattr(conversations, "write_wav", stop)
    with pytest.raises(KeyboardInterrupt):
        make(corpus, tmp_path / "c")
    monkeypatch.undo()
    assert not (tmp_path / "c/dev").exists()
    assert contents(make(corpus, tmp_path / "c").parent) == first
    assert contents(make(corpus, tmp_path / "d", seed=8).parent) != first


def test_the_turns_are_where_the_sources_are_heard(corpus, tmp_path):
    folder = make(corpus, tmp_path)
    validate_data_dir(folder)
    data = read_data_dir(folder)
    lines = [line.split() for line in (folder / "rttm").read_text().splitlines()]
    for key, n_speakers in zip(data.keys, (2, 3, 1)):
        speakers = data.src2spk[key]
        heard = np.stack([soundfile.read(scp[key], dtype="int16")[0] for scp in data.sources])
        assert sum(source.any() for source in heard) == n_speakers
        assert [speaker.startswith("absent-") for speaker in speakers] == [i >= n_speakers for i in range(3)]
        said = np.zeros(heard.shape, bool)
        for _, _, _, start, length, _, _, speaker, _, _ in (line for line in lines if line[1] == key):
            first, end = (round(float(time) * RATE) for time in (start, float(start) + float(length)))
            said[speakers.index(speaker), max(0, first - 8) : end + 8] = True
        assert not heard[~said].any()
        assert (heard[said] != 0).mean() > 0.9
    text = (folder / "statistics.txt").read_text()
    assert text.startswith("1 speaker(s): 1 conversations")
    assert "silence: asked 0.150, measured 0." in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--speakers", "2 4", "--num_spks", "4"], "speech of 3 speaker(s); conversations of 4 different"),
        (["--speakers", "3"], "speakers: numbers from 1 to num_spks (2) are expected; got [3]"),
        (["--seconds", "9 5"], "seconds: from 1 to 36000, the shorter first"),
        (["--statistics", "s.yaml"], "conversations of 2 speaker(s) cannot be made: silence: at least 0.01"),
        (["--statistics", "t.yaml"], "t.yaml: silense: no such key (did you mean 'silence'?)"),
        (["--subsets", "other"], "has no subset 'other'"),
    ],
)
def test_what_does_not_do_is_said_in_one_line(corpus, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("silence: 0\n")
    (tmp_path / "t.yaml").write_text("silense: 0.1\n")
    right = ["--librispeech", str(corpus), "--data", "data", "--set", "dev", "--n_conversations", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*right, *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "data").exists()
