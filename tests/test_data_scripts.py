"""The data scripts of local/ that take a corpus: small trees of each corpus's form."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from librimix_corpus import make_corpus

from mindaudio_ext.data.kaldi_dir import read_data_dir

ROOT = Path(__file__).resolve().parent.parent


def run(script, **options):
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    return subprocess.run(
        ["bash", ROOT / "local" / script, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def write_set(folder, keys, names, *, rate=8000):
    """Writes signals of each name in folders of that name; the first is the sum of the others."""
    rng = np.random.default_rng(len(keys))
    for key in keys:
        parts = rng.integers(-2000, 2000, (len(names) - 1, 800), dtype=np.int16)
        for name, samples in zip(names, (parts.sum(axis=0, dtype=np.int16), *parts)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name / f"{key}.wav", samples, rate)


@pytest.mark.parametrize(
    ("names", "options", "place"),
    [
        (("mix", "s1", "s2"), {}, "2speakers"),
        (("mix_both", "s1", "s2", "noise"), {"mix_type": "mix_both"}, "."),
        (("mix_single", "s1", "noise"), {"mix_type": "mix_single", "num_spks": 1}, "."),
    ],
)
def test_wsj0_and_wham(tmp_path, names, options, place):
    for name in ("tr", "cv", "tt"):
        write_set(tmp_path / place / "wav8k/min" / name, ["01aa010a_1.3_20aa010k_-1.3"], names)
    ended = run("wsj0_2mix_data.sh", data=tmp_path / "data", wsj0_mix=tmp_path, nj=1, **options)
    assert ended.returncode == 0, ended.stderr
    data = read_data_dir(tmp_path / "data/cv")
    assert len(data.sources) == options.get("num_spks", 2)
    assert (data.noise is not None) == ("noise" in names)
    assert data.src2spk["01aa010a_1.3_20aa010k_-1.3"] == ("01a", "20a")[: len(data.sources)]
    assert (tmp_path / "data/tt/corpus.txt").read_text() == f"WSJ0-2mix tt, {names[0]}, 8k, min\n"


def test_any_folders(tmp_path):
    for name in ("a set", "other"):
        write_set(tmp_path / name, ["one", "two"], ("mixed", "left", "right"))
    options = {"mixtures": "mixed", "sources": "left right", "data": tmp_path / "data", "nj": 1}
    ended = run("folders_data.sh", train=tmp_path / "a set", test=tmp_path / "other", **options)
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["test", "train"]
    assert read_data_dir(tmp_path / "data/train").sources[1]["two"] == str(tmp_path / "a set/right/two.wav")


def test_librimix_both_ways(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", n_mixtures=2, sets=("dev-clean", "test-clean"))
    options = {"sets": "dev test", "nj": 1}
    made = run(
        "librimix_data.sh",
        data=tmp_path / "made",
        librispeech=corpus / "LibriSpeech",
        metadata=corpus / "metadata",
        wavs=tmp_path / "wavs",
        write_wavs="false",
        **options,
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "made/dev/mix.csv").exists()
    assert (tmp_path / "made/test/wav.scp").exists()
    found = run("librimix_data.sh", data=tmp_path / "found", librimix=tmp_path / "wavs", **options | {"sets": "test"})
    assert found.returncode == 0, found.stderr
    assert read_data_dir(tmp_path / "found/test").mixtures == read_data_dir(tmp_path / "made/test").mixtures


def test_conversations_of_one_length_or_of_lengths_between_two(tmp_path):
    for speaker in ("11", "12"):
        (folder := tmp_path / "corpus/all" / speaker / "0").mkdir(parents=True)
        soundfile.write(folder / f"{speaker}-0-0.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 8000)
    subsets = dict.fromkeys(("train_subsets", "dev_subsets", "test_subsets"), "all")
    lengths = {"train_seconds": "2.5", "dev_seconds": "2 3", "test_seconds": "4"}
    counts = {"n_train": 1, "n_dev": 2, "n_test": 1, "nj": 1, "speakers": "2"}
    script = {"data": tmp_path / "data", "librispeech": tmp_path / "corpus"}
    ended = run("conversation_data.sh", **script, **subsets, **lengths, **counts)
    assert ended.returncode == 0, ended.stderr
    asked = [
        json.loads((tmp_path / "data" / name / ".mixtures.json").read_text())["seconds"] for name in ("train", "dev")
    ]
    assert asked == [[2.5, 2.5], [2, 3]]


def test_three_runs_are_compared_and_what_is_off_is_told(tmp_path):
    for speaker in ("11", "12"):
        (folder := tmp_path / "corpus/all" / speaker / "0").mkdir(parents=True)
        soundfile.write(folder / f"{speaker}-0-0.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 8000)
    command = [ROOT / "tools/check_conversations.sh", "--librispeech", tmp_path / "corpus", "--subsets", "all"]
    command += ["--n", "2", "--seconds", "5"]
    ended = subprocess.run([*command, "--largest", "100"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"silence: asked 0\.150, measured 0\.\d+ \([+-]\d+\.\d %\)", ended.stdout)
    assert re.search(r"3 runs, by 1, 2 and 3 processes: 20 files, the same bytes", ended.stdout)
    ended = subprocess.run([*command, "--largest", "1"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert re.search(r"error: further off than 1 %: .*[a-z_]+ [+-]\d+\.\d %$", ended.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        ("librimix_data.sh", {}, "--librimix DIR, a tree of wavs, or --librispeech DIR is needed"),
        ("sparselibrimix_data.sh", {}, "--librispeech DIR is needed"),
        ("sparselibrimix_data.sh", {"librispeech": "."}, "--metadata DIR is needed"),
        ("wsj0_2mix_data.sh", {}, "--wsj0_mix DIR is needed"),
        ("wsj0_2mix_data.sh", {"wsj0_mix": "."}, "wav8k/min: no such folder, nor is it in 2speakers"),
        ("folders_data.sh", {}, "--train DIR, --dev DIR and --test DIR are needed"),
    ],
)
def test_what_is_missing_gets_a_line(tmp_path, script, options, said):
    ended = run(script, data=tmp_path / "data", **options)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert said in ended.stderr
    assert list(tmp_path.iterdir()) == []
