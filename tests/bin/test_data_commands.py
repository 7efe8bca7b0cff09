"""The commands of stages 0 and 1: what they print and their exit status."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_experiment import BASE, TINY, make_data

from mindaudio_ext.bin import (
    dump,
    folders_data,
    librimix_data,
    make_mini_corpus,
    make_mixtures,
    validate_data_dir,
)
from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.data.audio import write_wav

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def corpus(tmp_path):
    for speaker in range(1, 9):
        for number in range(3):
            samples = np.random.default_rng([speaker, number]).standard_normal(6000) * 0.1
            write_wav(tmp_path / "corpus" / "x" / str(speaker) / "1" / f"{speaker}-1-{number}.wav", samples, 8000)
    return tmp_path / "corpus"


def _mixtures(corpus, data, *more, name="train", count="6"):
    make_mixtures.main(["--librispeech", str(corpus), "--data", str(data), "--set", name, "--n_mixtures", count, *more])


def test_from_speech_to_mindrecord(corpus, tmp_path, capsys):
    _mixtures(corpus, tmp_path / "data")
    validate_data_dir.main([str(tmp_path / "data" / "train")])
    said = capsys.readouterr().out
    assert "valid, 6 utterances, 0.00 h, 8000 Hz, 2 sources" in said
    out = str(tmp_path / "dump" / "train")
    dump.main(["--data", str(tmp_path / "data" / "train"), "--out", out])
    assert "6 mixtures, 0.00 h, 8000 Hz, 2 sources" in capsys.readouterr().out
    dump.main(["--data", str(tmp_path / "data" / "train"), "--out", out])
    assert "(was there)" in capsys.readouterr().out


def test_silent_sources_and_short_mixtures_are_told_by_key(tmp_path, capsys):
    make_data(tmp_path / "train", {"a": 100, "b": 100, "c": 15})
    write_wav(tmp_path / "train/wav/b_spk2.scp.wav", np.zeros(100, np.int16), 8000)
    shutil.copyfile(tmp_path / "train/wav/b_spk1.scp.wav", tmp_path / "train/wav/b_wav.scp.wav")
    silent = "1 silent source: b (2); they cannot be scored\n"
    validate_data_dir.main([str(tmp_path / "train")])
    assert f"warning: {tmp_path}/train: {silent}" in capsys.readouterr().out
    save_config(load_config(BASE, None, [TINY]), tmp_path / "config.yaml")
    config = ["--config", str(tmp_path / "config.yaml")]
    for _ in range(2):  # made, and there
        dump.main(["--data", f"{tmp_path}/train", "--out", f"{tmp_path}/dump/train", *config])
        said = capsys.readouterr().out
        assert f"warning: {tmp_path}/dump/train: {silent}" in said
        assert (
            "1 of 3 mixtures are shorter than a filter (kernel_size, 16 samples) and cannot be separated: c\n" in said
        )


def test_split_speakers_and_the_warning_of_shared_ones(corpus, tmp_path, capsys):
    for name in ("train", "dev", "test"):
        _mixtures(corpus, tmp_path / "split", "--split_speakers", "true", name=name)
    assert "warning" not in capsys.readouterr().err
    for name in ("train", "dev"):
        _mixtures(corpus, tmp_path / "same", name=name, count="12")
    assert "warning: dev shares 8 speakers with train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "arguments", "says"),
    [
        (validate_data_dir.main, ["nowhere"], "nowhere: no such data directory"),
        (dump.main, ["--data", "nowhere", "--out", "out"], "nowhere: no such data directory"),
        (
            make_mixtures.main,
            ["--librispeech", "nowhere", "--data", "d", "--set", "train", "--n_mixtures", "3"],
            "nowhere: no such folder",
        ),
        (
            make_mini_corpus.main,
            ["--out", "d", "--sample_rate", "0"],
            "--sample_rate: must be a whole number of 1000 to 192000, got '0'",
        ),
        (
            folders_data.main,
            ["--mixtures", "m", "--sources", "s", "--data", "d", "--set", "../esc"],
            "--set: expected a plain name (letters, digits, . _ -), got '../esc'",
        ),
        (
            librimix_data.main,
            ["--librimix", "l", "--data", "d", "--sets", "dev ../../esc"],
            "--sets: expected a plain name (letters, digits, . _ -), got '../../esc'",
        ),
    ],
)
def test_mistakes_get_one_line_and_status_2(main, arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_data_commands_do_without_mindspore():
    names = ("make_mini_corpus", "make_mixtures", "validate_data_dir", "check_data", "fix_data_dir")
    modules = [f"mindaudio_ext.bin.{name}" for name in names]
    code = f"import sys, {', '.join(modules)}; sys.exit('mindspore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
