"""Data directories from folders, matched by file name."""

import os

import numpy as np
import pytest
import soundfile

from mindaudio_ext.bin.folders_data import main
from mindaudio_ext.corpora.folders import make_folders_data, match_folders, speakers_of_librispeech, speakers_of_wsj0
from mindaudio_ext.data.kaldi_dir import read_data_dir
from mindaudio_ext.data.validate_data_dir import validate_data_dir
from mindaudio_ext.errors import InputError

KEYS = ("01aa010a_1.3_20aa010k_-1.3", "01ab010a_0.5_22aa010k_-0.5", "02aa010a_2.1_20aa010m_-2.1")


def write(path, samples, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


@pytest.fixture
def tree(tmp_path):
    """mix, s1, s2 and noise of three mixtures, each of a length of its own; mix is the sum of s1 and s2."""
    rng = np.random.default_rng(0)
    for number, key in enumerate(KEYS):
        parts = rng.integers(-3000, 3000, (2, 1000 + number), dtype=np.int16)
        for name, samples in zip(("s1", "s2", "mix"), (*parts, parts.sum(axis=0, dtype=np.int16))):
            write(tmp_path / "tree" / name / f"{key}.wav", samples)
    return tmp_path / "tree"


def make(tree, data, **options):
    signals = match_folders(tree / "mix", [tree / "s1", tree / "s2"])
    return make_folders_data(data, signals, sample_rate=8000, corpus="three of noise", **options)


def test_files_are_matched_by_name(tree, tmp_path):
    (tree / "s2" / f"{KEYS[0]}.wav").touch()  # the newest file is the first by name
    for key in KEYS:
        os.rename(tree / "s1" / f"{key}.wav", tree / "s1" / f"{key}.WAV")
    samples, _ = soundfile.read(tree / "s2" / f"{KEYS[1]}.wav", dtype="int16")
    (tree / "s2" / f"{KEYS[1]}.wav").unlink()
    write(tree / "s2" / f"{KEYS[1]}.flac", samples)
    assert make(tree, tmp_path / "data/tr", speakers=lambda key: speakers_of_wsj0(key, 2)) == 3
    found = validate_data_dir(tmp_path / "data/tr")  # which adds the sources up
    assert (found.num_utts, found.sample_rate, found.num_spks, found.speakers) == (3, 8000, 2, 4)
    assert read_data_dir(tmp_path / "data/tr").src2spk[KEYS[2]] == ("02a", "20a")
    assert list(read_data_dir(tmp_path / "data/tr").num_samples.values()) == [1000, 1001, 1002]
    assert (tmp_path / "data/tr/corpus.txt").read_text() == "three of noise\n"


def test_the_same_again_is_not_written_again(tree, tmp_path):
    data = tmp_path / "data/tr"
    make(tree, data)
    before = {file: file.stat().st_mtime_ns for file in data.iterdir()}
    make(tree, data)
    assert {file: file.stat().st_mtime_ns for file in data.iterdir()} == before
    assert [path.name for path in data.parent.iterdir()] == ["tr"]
    make(tree, data, speakers=lambda key: speakers_of_wsj0(key, 2))
    assert (data / "src2spk").exists()


def test_all_sources_in_one_folder(tree, tmp_path):
    for name in ("s1", "s2"):
        for key in KEYS:
            write(tree / "sources" / f"{key}_{name}.wav", soundfile.read(tree / name / f"{key}.wav", dtype="int16")[0])
    arguments = ["--mixtures", tree / "mix", "--sources", tree / "sources", "--data", tmp_path / "data", "--set", "x"]
    main([str(argument) for argument in arguments])
    assert validate_data_dir(tmp_path / "data/x").num_utts == 3
    with pytest.raises(InputError, match="_s1 to <key>_s2 are expected"):
        match_folders(tree / "mix", [tree / "s1"], num_spks=2)
    with pytest.raises(InputError, match="holds no source 3"):
        match_folders(tree / "mix", [tree / "sources"], num_spks=3)


def test_files_without_a_partner_are_named(tree):
    lost = tree / "s2" / f"{KEYS[1]}.wav"
    lost.rename(tree / "s2" / "other.wav")
    with pytest.raises(
        InputError, match=f"{tree / 'mix' / KEYS[1]}.wav: has no file of the same name in {tree / 's2'}"
    ):
        match_folders(tree / "mix", [tree / "s1", tree / "s2"])
    (tree / "s2" / "other.wav").rename(lost)
    write(tree / "s2" / "other.wav", np.zeros(10))
    with pytest.raises(InputError, match=f"{tree / 's2' / 'other'}.wav: belongs to no mixture in {tree / 'mix'}"):
        match_folders(tree / "mix", [tree / "s1", tree / "s2"])


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(1001), 16000, "is at 16000 Hz; 8000 Hz is expected"),
        (np.zeros(0), 8000, "is empty"),
        (np.zeros(1002), 8000, "has 1002 samples; the mixture .* has 1001"),
        (np.zeros((1001, 2)), 8000, "has 2 channels; one is expected"),
        (None, 8000, "cannot be read as audio"),
    ],
)
def test_a_bad_file_is_named(tree, tmp_path, samples, rate, message):
    path = tree / "s1" / f"{KEYS[1]}.wav"
    if samples is None:
        path.write_text("no sound")
    else:
        write(path, samples, rate)
    with pytest.raises(InputError, match=f"{path}: {message}"):
        make(tree, tmp_path / "data/tr")
    assert not (tmp_path / "data").exists()


def test_folders_that_do_not_do(tree, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, message in ((tmp_path / "nowhere", "no such folder"), (tmp_path / "empty", "holds no wav or flac")):
        with pytest.raises(InputError, match=message):
            match_folders(tree / "mix", [tree / "s1", folder])
    write(tree / "mix" / "a b.wav", np.zeros(10))
    with pytest.raises(InputError, match=r"a b\.wav: 'a b' cannot be a key: it has white space"):
        match_folders(tree / "mix", [tree / "s1", tree / "s2"])


def test_speakers_of_keys():
    assert speakers_of_librispeech("61-70968-0000_8455-210777-0012_1-2-3", 3) == ("61", "8455", "1")
    assert speakers_of_librispeech("61-70968-0000_61-210777-0012", 2) is None
    assert speakers_of_librispeech("mixture1", 2) is None
    assert speakers_of_wsj0(KEYS[0], 2) == ("01a", "20a")
    assert speakers_of_wsj0(KEYS[0], 3) is None
    assert speakers_of_wsj0("441o0308_1.2241", 2) is None
