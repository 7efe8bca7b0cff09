"""The mini corpus and its sentences."""

import builtins
import hashlib
import re

import numpy as np
import pytest
import soundfile

from mindaudio_ext.corpora import mini_corpus
from mindaudio_ext.corpora.librispeech import find_utterances, read_sexes
from mindaudio_ext.corpora.mini_corpus import make_mini_corpus, voices
from mindaudio_ext.corpora.sentences import make_sentences
from mindaudio_ext.errors import InputError


def test_sentences_are_many_different_and_repeatable():
    sentences = make_sentences(3000, seed=1)
    assert len(set(sentences)) == 3000
    assert sentences[:50] == make_sentences(50, seed=1)
    assert sentences[:50] != make_sentences(50, seed=2)
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z][a-z' ]+\.", sentence)
        assert 8 <= len(sentence.split()) <= 16
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiou]", sentence)


def test_no_voice_of_training_is_in_dev_or_test():
    variants = {subset: {v.variant for v in voices() if v.subset == subset} for subset in ("train", "dev", "test")}
    assert not variants["train"] & variants["dev"]
    assert not variants["train"] & variants["test"]
    assert not variants["dev"] & variants["test"]
    counts = {subset: sum(v.subset == subset for v in voices()) for subset in variants}
    assert (counts["train"] >= 36, counts["dev"], counts["test"]) == (True, 6, 8)
    assert len({v.speaker for v in voices()}) == len(voices())
    for subset in variants:
        assert {v.sex for v in voices() if v.subset == subset} == {"f", "m"}
    made = {(v.variant, v.accent, v.pitch) for v in voices()}
    assert len(made) == len(voices())


@pytest.fixture
def few_voices(monkeypatch):
    """One voice a set; f2 and f3 have breath, which eSpeak makes from random numbers."""
    few = {"train": {"f": "f2", "m": ""}, "dev": {"f": "", "m": "m8"}, "test": {"f": "f3", "m": ""}}
    monkeypatch.setattr(mini_corpus, "_VARIANTS", few)
    monkeypatch.setattr(mini_corpus, "_VOICES_PER_VARIANT", {"f": 1, "m": 1})


def _digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_bytes_for_any_number_of_processes_and_after_loss(few_voices, tmp_path):
    root = make_mini_corpus(tmp_path / "one", utts_per_speaker=3, nj=1)
    make_mini_corpus(tmp_path / "two", utts_per_speaker=3, nj=2)
    expected = _digests(tmp_path / "one")
    assert len(expected) == 3 * 3 + 3 + 3  # speakers, stamp and mark
    assert _digests(tmp_path / "two") == expected
    (root / "train" / "101" / "1010" / "101-1010-0001.flac").unlink()
    (root / "test" / "301" / "3010" / "301-3010.trans.txt").unlink()
    make_mini_corpus(tmp_path / "one", utts_per_speaker=3, nj=1)
    assert _digests(tmp_path / "one") == expected


def test_it_is_in_librispeechs_layout(few_voices, tmp_path):
    root = make_mini_corpus(tmp_path, sample_rate=16000, utts_per_speaker=2)
    found = find_utterances(root, ["train", "dev", "test"])
    assert [u.key for u in found] == [f"{s}-{s}0-000{i}" for s in (101, 201, 301) for i in (0, 1)]
    assert read_sexes(root) == {"101": "f", "201": "m", "301": "f"}
    for utterance in found:
        samples, rate = soundfile.read(utterance.path)
        assert rate == 16000
        assert 3.0 <= len(samples) / rate <= 6.01
        assert 0.05 < np.abs(samples).max() < 0.99
    lines = (root / "dev" / "201" / "2010" / "201-2010.trans.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["201-2010-0000", "201-2010-0001"]


def test_other_parameters_make_it_anew(few_voices, tmp_path):
    make_mini_corpus(tmp_path / "one", utts_per_speaker=3, seed=1)
    make_mini_corpus(tmp_path / "one", utts_per_speaker=2)
    make_mini_corpus(tmp_path / "two", utts_per_speaker=2)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")


def test_a_strangers_folder_is_left_alone(few_voices, tmp_path):
    (tmp_path / "LibriSpeech").mkdir()
    (tmp_path / "LibriSpeech" / "mine.txt").touch()
    with pytest.raises(InputError, match="is not known to be made by this command"):
        make_mini_corpus(tmp_path)
    assert (tmp_path / "LibriSpeech" / "mine.txt").exists()


@pytest.mark.parametrize("stamp", [b"\xff\xfe", b"garbage", b'{"a": 1}'])
def test_a_stamp_that_is_none_is_named(few_voices, tmp_path, stamp):
    (tmp_path / ".mini_corpus.json").write_bytes(stamp)
    with pytest.raises(InputError, match=r"\.mini_corpus\.json: is not what this command writes; move it away"):
        make_mini_corpus(tmp_path)
    assert (tmp_path / ".mini_corpus.json").read_bytes() == stamp


def test_a_corpus_beside_a_stamp_is_not_taken_for_ours(few_voices, tmp_path):
    make_mini_corpus(tmp_path, utts_per_speaker=2)
    mine = tmp_path / "LibriSpeech" / "SPEAKERS.TXT"
    (tmp_path / "LibriSpeech" / ".made.json").unlink()
    (tmp_path / "LibriSpeech" / "README.TXT").write_text("a real LibriSpeech")
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"README\.TXT: was not made with"):
        make_mini_corpus(tmp_path, utts_per_speaker=2)
    assert mine.read_text() == "mine"


def test_what_a_user_adds_stays(few_voices, tmp_path):
    make_mini_corpus(tmp_path, utts_per_speaker=2)
    mine = tmp_path / "LibriSpeech" / "train" / "101" / "notes.txt"
    mine.write_text("mine")
    old = tmp_path / ".tmp.old"
    old.mkdir()
    (old / "thesis.tex").write_text("mine")
    before = _digests(tmp_path)
    make_mini_corpus(tmp_path, utts_per_speaker=2)
    with pytest.raises(InputError, match=r"train/101/notes\.txt: was not made with"):
        make_mini_corpus(tmp_path, utts_per_speaker=2, seed=1)
    assert _digests(tmp_path) == before


def test_without_espeak_the_line_to_install_it_is_said(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install espeakng-loader"):
        make_mini_corpus(tmp_path)
