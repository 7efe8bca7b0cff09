"""Training on a small set: it learns, goes on exactly where it stopped, and refuses what does not fit."""

import dataclasses
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import load_checkpoint

from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.data.mindrecord import read_manifest
from mindaudio_ext.errors import InputError
from mindaudio_ext.train import loop
from mindaudio_ext.train.loop import Trainer
from mindaudio_ext.train.stop import Stopped
from mindaudio_ext.train.validate import score_utterances

BASE = Path(__file__).parents[2] / "conf/base.yaml"
TINY = (
    "n_filters=16 kernel_size=16 separator_conf.bottleneck_size=8 separator_conf.hidden_size=8 "
    "separator_conf.chunk_size=20 separator_conf.n_blocks=1 segment=0.2 batch_size=2 lr=0.003 log_interval=2"
)


@pytest.fixture(autouse=True)
def lines(caplog):
    caplog.set_level(logging.INFO, "train")


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


class Watched:
    """A step that calls `watch(n, batch)` before the n-th step, counted from 1, and takes the batch it gives."""

    def __init__(self, step, watch):
        self.step, self.watch, self.state, self.count = step, watch, step.state, 0

    def __call__(self, batch, rate):
        self.count += 1
        return self.step(self.watch(self.count, batch) or batch, rate)


def watched(sets, expdir, options, watch):
    training = trainer(sets, expdir, options)
    training.step = Watched(training.step, watch)
    return training


def check_equal_trainings(whole, parts):
    """Checkpoints are equal to the byte, and so is the history but for the times."""
    for name in ("last", "best"):
        first, second = ((folder / f"checkpoints/{name}.ckpt").read_bytes() for folder in (whole, parts))
        assert first == second, name
    histories = [[json.loads(line) for line in (folder / "history.jsonl").open()] for folder in (whole, parts)]
    times = ("seconds", "audio_seconds_per_second")
    first, second = ([{k: v for k, v in e.items() if k not in times} for e in history] for history in histories)
    assert first == second


@pytest.fixture(scope="module")
def whole(sets, tmp_path_factory):
    """Three epochs of four steps, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    trainer(sets, folder, "epochs=3").run()
    return folder


def test_the_same_seed_gives_the_same_bytes(sets, whole, tmp_path):
    trainer(sets, tmp_path, "epochs=3").run()
    check_equal_trainings(whole, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_within_an_epoch_loses_nothing(sets, whole, tmp_path, number):
    def stop(count, batch):
        if count == 6:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as stopped:
        watched(sets, tmp_path, "epochs=3 save_every=100", stop).run()
    assert stopped.value.status in (128 + number, 128 + signal.SIGTERM)  # MindSpore turns one into the other
    training = trainer(sets, tmp_path, "epochs=3")
    training.run()
    assert len(training.progress.history) == 3
    check_equal_trainings(whole, tmp_path)


def test_a_signal_while_validating_repeats_the_validation_alone(sets, whole, tmp_path, monkeypatch):
    def scores(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        yield from score_utterances(*arguments)

    monkeypatch.setattr(loop, "score_utterances", scores)
    with pytest.raises(Stopped):
        trainer(sets, tmp_path, "epochs=3").run()
    monkeypatch.undo()
    counts = []
    watched(sets, tmp_path, "epochs=3", lambda count, batch: counts.append(count)).run()
    assert len(counts) == 8
    check_equal_trainings(whole, tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from mindaudio_ext.config import read_resolved
from mindaudio_ext.train import loop
from mindaudio_ext.train.loop import Trainer
from mindaudio_ext.train.stop import Stopped
from mindaudio_ext.train.validate import score_utterances
from tests.train.test_loop import Watched

def kill(count, batch):
    if count == {count}:
        os.kill(os.getpid(), signal.SIGKILL)

exp, sets = Path(sys.argv[1]), Path(sys.argv[2])
training = Trainer(read_resolved(exp / "config.yaml"), train_dir=sets / "train", valid_dir=sets / "dev", expdir=exp)
training.step = Watched(training.step, kill)
training.run()
"""


def test_a_kill_loses_the_steps_since_the_last_save(sets, whole, tmp_path):
    """Killed before the eighth step: the state after the sixth, the second of epoch 2, is there."""
    save_config(load_config(BASE, None, [TINY, "epochs=3 save_every=2"]), tmp_path / "config.yaml")
    command = [sys.executable, "-c", KILLED.format(count=8), str(tmp_path), str(sets)]
    assert subprocess.run(command, check=False, cwd=BASE.parents[1]).returncode == -signal.SIGKILL
    counts = []
    watched(sets, tmp_path, "epochs=3", lambda count, batch: counts.append(count)).run()
    assert len(counts) == 12 - 6
    check_equal_trainings(whole, tmp_path)


def test_a_kill_while_saving_leaves_the_state_before(sets, whole, tmp_path, monkeypatch):
    """The new file is half written, or whole and not yet named: both times the one before it is found."""
    trainer(sets, tmp_path, "epochs=2").run()
    last = tmp_path / "checkpoints/last.ckpt"
    (tmp_path / "checkpoints/.tmp.last.ckpt").write_bytes(last.read_bytes()[:1000])
    last.rename(last.with_name("previous.ckpt"))
    trainer(sets, tmp_path, "epochs=3").run()
    check_equal_trainings(whole, tmp_path)


@pytest.mark.parametrize("damage", ["cut short", "flipped bit", "empty"])
def test_a_damaged_state_gives_way_to_the_one_before(sets, whole, tmp_path, damage, caplog):
    trainer(sets, tmp_path, "epochs=2 save_every=1").run()
    last, previous = (tmp_path / f"checkpoints/{name}.ckpt" for name in ("last", "previous"))
    spoil(last, damage)
    trainer(sets, tmp_path, "epochs=3").run()
    assert "last.ckpt: not a whole checkpoint" in caplog.text
    assert f"going on from {previous}" in caplog.text
    check_equal_trainings(whole, tmp_path)


def test_two_damaged_states_are_named(sets, tmp_path):
    trainer(sets, tmp_path, "epochs=1").run()
    spoil(tmp_path / "checkpoints/last.ckpt", "cut short")
    spoil(tmp_path / "checkpoints/previous.ckpt", "flipped bit")
    with pytest.raises(InputError, match=r"last.ckpt: not a whole .*previous.ckpt: not a whole .* remove it"):
        trainer(sets, tmp_path, "epochs=2").run()


def spoil(path, damage):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({"cut short": content[:-50], "flipped bit": content, "empty": b""}[damage])


def test_a_batch_that_is_not_finite_is_skipped_and_counted(sets, tmp_path, caplog):
    """The step leaves all parameters and all of the optimizer's state as they are."""
    states = []

    def spoil_batch(count, batch):
        states.append([p.asnumpy().copy() for p in training.step.state])
        if count in (1, 3):
            return dataclasses.replace(batch, mixture=np.full_like(batch.mixture, np.nan))

    training = watched(sets, tmp_path, "epochs=1", spoil_batch)
    training.run()
    same = [all(np.array_equal(a, b) for a, b in zip(first, then)) for first, then in itertools.pairwise(states)]
    assert same == [True, False, True]
    (entry,) = [json.loads(line) for line in (tmp_path / "history.jsonl").open()]
    assert entry["skipped_steps"] == 2
    assert np.isfinite([entry["train_loss"], entry["valid_loss"], entry["grad_norm"]]).all()
    assert "epoch 1, step 3: loss nan, gradient norm nan; skipped" in caplog.text


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


@pytest.mark.parametrize(
    ("name", "harm", "says"),
    [
        ("dev.mindrecord", "truncated", r"dump/dev/dev\.mindrecord: has \d+ bytes instead of \d+"),
        ("dev.mindrecord", "flipped", r"dump/dev/dev\.mindrecord: is damaged, its checksum differs"),
        ("dev.mindrecord.db", "missing", r"dump/dev/dev\.mindrecord\.db: is missing"),
    ],
)
def test_a_damaged_set_is_named_before_training(sets, tmp_path, name, harm, says):
    shutil.copytree(sets, tmp_path / "dump")
    file = tmp_path / "dump" / "dev" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[:-1] if harm == "truncated" else content)
    if harm == "missing":
        file.unlink()
    with pytest.raises(InputError, match=f"{says}.*; run stage 1 again"):
        trainer(tmp_path / "dump", tmp_path / "exp", "epochs=1")
    assert not (tmp_path / "exp").exists()


def test_cv_maxlen_says_what_it_leaves_out(sets):
    hour = 3600 * 8000
    valid = dataclasses.replace(read_manifest(sets / "dev"), num_samples=[hour, hour // 2, 2 * hour])
    assert loop.describe_validation(valid, hour) == (
        "validation: 2 of 3 utterances; 1 are longer than cv_maxlen (3600 s) and left out, 2.00 h of 3.50 h"
    )


def test_other_data_of_the_same_names_are_refused(sets, tmp_path):
    trainer(sets, tmp_path / "exp", "epochs=1").run()
    for name, other in (("train", "dev"), ("dev", "train")):
        shutil.copytree(sets / other, tmp_path / "dump" / name)
    with pytest.raises(InputError, match=r"dump/train: .*last\.ckpt was trained on other data"):
        trainer(tmp_path / "dump", tmp_path / "exp", "epochs=2").run()


def test_a_training_without_a_finished_epoch_may_change(sets, tmp_path):
    save_config(load_config(BASE, None, [TINY, "epochs=1"]), tmp_path / "config.yaml")
    trainer(sets, tmp_path, "epochs=1 lr=0.01").run()


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
