"""Training on a small set: it learns, goes on exactly where it stopped, and refuses what does not fit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import load_checkpoint

from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import write_data_dir
from mindaudio_ext.data.mindrecord import dump
from mindaudio_ext.errors import InputError
from mindaudio_ext.train.loop import Trainer

BASE = Path(__file__).parents[2] / "conf/base.yaml"
TINY = (
    "n_filters=16 kernel_size=16 separator_conf.bottleneck_size=8 separator_conf.hidden_size=8 "
    "separator_conf.chunk_size=20 separator_conf.n_blocks=1 segment=0.2 batch_size=2 lr=0.003 log_interval=2"
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Mixtures of a low and a high tone."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    for name, n_utts in (("train", 8), ("dev", 3)):
        paths, lengths = {"mix": {}, "s1": {}, "s2": {}}, {}
        for i in range(n_utts):
            key, length = f"utt{i}", 2000 + 37 * i
            low, high = (
                0.3 * np.sin(2 * np.pi * rng.uniform(*band) * np.arange(length) / 8000)
                for band in ((100, 300), (1500, 2500))
            )
            for signal, value in (("mix", low + high), ("s1", low), ("s2", high)):
                paths[signal][key] = str(folder / name / f"{key}_{signal}.wav")
                write_wav(paths[signal][key], value.astype(np.float32), 8000)
            lengths[key] = length
        write_data_dir(
            folder / "data" / name, mixtures=paths["mix"], sources=[paths["s1"], paths["s2"]], num_samples=lengths
        )
        dump(folder / "data" / name, folder / "dump" / name)
    return folder / "dump"


def trainer(sets, expdir, options):
    config = load_config(BASE, None, [TINY, options])
    return Trainer(config, train_dir=sets / "train", valid_dir=sets / "dev", expdir=expdir)


def tensors(path):
    stored = load_checkpoint(str(path))
    return {name: value.asnumpy() for name, value in stored.items() if name != "progress"}


def test_two_epochs_and_one_are_three_bit_for_bit(sets, tmp_path):
    trainer(sets, tmp_path / "whole", "epochs=3").run()
    trainer(sets, tmp_path / "parts", "epochs=2").run()
    trainer(sets, tmp_path / "parts", "epochs=3").run()
    for name in ("last", "best"):
        whole, parts = (tensors(tmp_path / folder / f"checkpoints/{name}.ckpt") for folder in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert all(np.array_equal(whole[key], parts[key]) for key in whole)
    entries = [json.loads(line) for line in (tmp_path / "parts/history.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3]
    facts = json.loads((tmp_path / "parts/model.json").read_text())
    assert facts["epoch"] == 1 + int(np.argmin([entry["valid_loss"] for entry in entries]))


def test_the_schedule_reaches_the_compiled_step(sets, tmp_path):
    """From the second epoch on the rate is next to nothing, so nothing moves any more."""
    options = "scheduler=exponential scheduler_conf.factor=1e-9 scheduler_conf.every=1"
    trainer(sets, tmp_path / "one", f"epochs=1 {options}").run()
    trainer(sets, tmp_path / "two", f"epochs=2 {options}").run()
    one, two = (tensors(tmp_path / name / "checkpoints/last.ckpt") for name in ("one", "two"))
    moved = [key for key in one if key.startswith("encoder.") and np.abs(one[key] - two[key]).max() > 1e-7]
    assert moved == []


def test_it_learns(sets, tmp_path):
    trainer(sets, tmp_path, "epochs=25").run()
    entries = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert entries[-1]["valid_si_snri"] > entries[0]["valid_si_snri"] + 5


def test_another_config_is_refused_by_key(sets, tmp_path):
    trainer(sets, tmp_path, "epochs=1").run()
    with pytest.raises(InputError, match=r"was trained with separator_conf.hidden_size: 8, not 9"):
        trainer(sets, tmp_path, "epochs=1 separator_conf.hidden_size=9")
    with pytest.raises(InputError, match=r"was trained with lr: 0.003, not 0.001"):
        trainer(sets, tmp_path, "epochs=1 lr=0.001")


def test_sets_that_do_not_fit_are_refused(sets, tmp_path):
    with pytest.raises(InputError, match="sample_rate is 8000, the config says 16000"):
        trainer(sets, tmp_path, "sample_rate=16000")
    with pytest.raises(InputError, match="8 utterances are fewer than batch_size"):
        trainer(sets, tmp_path, "batch_size=9")
    with pytest.raises(InputError, match=r"no utterance is as short as cv_maxlen"):
        trainer(sets, tmp_path, "epochs=1 cv_maxlen=0.1")


def test_other_data_of_the_same_names_are_refused(sets, tmp_path):
    trainer(sets, tmp_path / "exp", "epochs=1").run()
    for name, other in (("train", "dev"), ("dev", "train")):
        shutil.copytree(sets / other, tmp_path / "dump" / name)
    with pytest.raises(InputError, match=r"dump/train: .*last\.ckpt was trained on other data"):
        trainer(tmp_path / "dump", tmp_path / "exp", "epochs=2")


def test_a_training_without_a_finished_epoch_may_change(sets, tmp_path):
    save_config(load_config(BASE, None, [TINY, "epochs=1"]), tmp_path / "config.yaml")
    trainer(sets, tmp_path, "epochs=1 lr=0.01").run()


def test_a_damaged_state_is_named(sets, tmp_path):
    trainer(sets, tmp_path, "epochs=1").run()
    last = tmp_path / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"last.ckpt: not a whole checkpoint"):
        trainer(sets, tmp_path, "epochs=2")


def test_the_command_says_when_it_is_done(sets, tmp_path):
    save_config(load_config(BASE, None, [TINY, "epochs=1"]), tmp_path / "config.yaml")
    words = [
        "--config",
        tmp_path / "config.yaml",
        "--train",
        sets / "train",
        "--valid",
        sets / "dev",
        "--expdir",
        tmp_path / "exp",
    ]
    command = [sys.executable, "-m", "mindaudio_ext.bin.train", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "already trained for 1 epochs; nothing to do" in again.stderr
    log = (tmp_path / "exp/train.log").read_text()
    assert "epoch 1, step 2 of 4" in log
    assert "epoch 1 of 1: train loss" in log
