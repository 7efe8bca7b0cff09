"""Training on a small set: it learns, goes on exactly where it stopped, and refuses what does not fit."""

import dataclasses
import itertools
import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor, load_checkpoint, save_checkpoint
from thorough import UNDER_ALL, few
from tiny_experiment import make_data, write_wav

from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.data.conversation_statistics import Statistics
from mindaudio_ext.data.mindrecord import read_manifest
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.train import loop
from mindaudio_ext.train.loop import Trainer
from mindaudio_ext.train.stop import Stopped
from mindaudio_ext.train.validate import score_utterances

ROOT = Path(__file__).resolve().parents[2]

BASE = Path(__file__).parents[2] / "conf/base.yaml"
TINY = (
    "n_filters=16 kernel_size=16 separator=rnn separator_conf.hidden_size=8 separator_conf.rnn_layers=2 "
    "separator_conf.dropout=0.2 segment=0.2 batch_size=2 lr=0.003 log_interval=2"
)
DPRNN = (
    "separator=dprnn separator_conf.bottleneck_size=8 separator_conf.hidden_size=8 separator_conf.chunk_size=20 "
    "separator_conf.n_blocks=1"
)


@pytest.fixture(autouse=True)
def lines(caplog):
    caplog.set_level(logging.INFO, "mindaudio_ext")


def trainer(sets, expdir, options):
    config = load_config(BASE, None, [TINY, options])
    return Trainer(config, train_dir=sets / "train", valid_dir=sets / "dev", expdir=expdir)


def tensors(path):
    stored = load_checkpoint(str(path))
    return {name: value.asnumpy() for name, value in stored.items() if name != "progress"}


@pytest.mark.parametrize("options", few(["", "mixed_precision=true ema_decay=0.9"], ""))
def test_two_epochs_and_one_are_three_bit_for_bit(sets, tmp_path, options):
    trainer(sets, tmp_path / "whole", f"epochs=3 {options}").run()
    trainer(sets, tmp_path / "parts", f"epochs=2 {options}").run()
    trainer(sets, tmp_path / "parts", f"epochs=3 {options}").run()
    for name in ("last", "best"):
        whole, parts = (tensors(tmp_path / folder / f"checkpoints/{name}.ckpt") for folder in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert all(np.array_equal(whole[key], parts[key]) for key in whole)
    entries = [json.loads(line) for line in (tmp_path / "parts/history.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3]
    assert all(0 <= entry["waiting_share"] < 1 for entry in entries)
    facts = json.loads((tmp_path / "parts/model.json").read_text())
    assert facts["epoch"] == 1 + int(np.argmin([entry["valid_loss"] for entry in entries]))


class Watched:
    """A step that calls `watch(n, batch)` before the n-th step, counted from 1, and takes the batch it gives."""

    def __init__(self, step, watch):
        self.step, self.watch, self.state, self.count = step, watch, step.state, 0

    def __getattr__(self, name):
        return getattr(self.step, name)

    def __call__(self, batch, rate):
        if rate == 0:  # the measurement before the first step
            return self.step(batch, rate)
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
    times = ("seconds", "audio_seconds_per_second", "waiting_share")
    first, second = ([{k: v for k, v in e.items() if k not in times} for e in history] for history in histories)
    assert first == second


@pytest.fixture(scope="module")
def whole(sets, tmp_path_factory):
    """Three epochs of four steps, with dropout, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    trainer(sets, folder, "epochs=3").run()
    return folder


def test_the_same_seed_gives_the_same_bytes(sets, whole, tmp_path):
    trainer(sets, tmp_path, "epochs=3").run()
    check_equal_trainings(whole, tmp_path)


@pytest.mark.parametrize("number", few([signal.SIGTERM, signal.SIGINT], signal.SIGTERM))
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
from mindaudio_ext.train.loop import Trainer
from test_loop import Watched

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
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, here.parent, here.parents[1])))}
    assert subprocess.run(command, check=False, env=environment).returncode == -signal.SIGKILL
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


@pytest.mark.parametrize("damage", few(["cut short", "flipped bit", "empty"], "flipped bit"))
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

    def watch(count, batch):
        states.append([p.asnumpy().copy() for p in training.step.state if p.name != "dropout_count"])
        return spoil_batches(1, 3)(count, batch)

    training = watched(sets, tmp_path, "epochs=1", watch)
    training.run()
    same = [all(np.array_equal(a, b) for a, b in zip(first, then)) for first, then in itertools.pairwise(states)]
    assert same == [True, False, True]
    (entry,) = [json.loads(line) for line in (tmp_path / "history.jsonl").open()]
    assert entry["skipped_steps"] == 2
    assert np.isfinite([entry["train_loss"], entry["valid_loss"], entry["grad_norm"]]).all()
    assert "epoch 1, step 3: loss nan, gradient norm nan; skipped" in caplog.text


def spoil_batches(*numbers):
    """Puts NaN into the batches of these numbers."""

    def spoil_batch(count, batch):
        if count in numbers:
            return dataclasses.replace(batch, mixture=np.full_like(batch.mixture, np.nan))

    return spoil_batch


def test_an_explosion_goes_back_to_the_best_with_half_the_rate(sets, tmp_path, caplog):
    """Steps 6 and 7 are not finite and one in a row is allowed: the eighth begins with the first epoch's parameters."""
    starts = {}

    def watch(count, batch):
        starts[count] = training.model.trainable_params()[0].asnumpy().copy()
        return spoil_batches(6, 7)(count, batch)

    training = watched(sets, tmp_path, "epochs=2 max_skipped=1", watch)
    training.run()
    assert not np.array_equal(starts[7], starts[5])
    assert np.array_equal(starts[8], starts[5])
    assert (
        "2 steps in a row were not finite; back to the parameters of epoch 1 with half the rate (1 of 3" in caplog.text
    )
    first, second = [json.loads(line) for line in (tmp_path / "history.jsonl").open()]
    assert (first["lr"], second["lr"]) == (0.003, 0.0015)
    assert training.progress.rollbacks == 1


def test_explosions_are_bounded_and_end_with_an_explanation(sets, tmp_path):
    training = watched(sets, tmp_path, "epochs=2 max_skipped=1 max_rollbacks=1", spoil_batches(1, 2, 3, 4))
    with pytest.raises(InputError, match=r"step 4: 2 steps in a row were not finite, after 1 rollbacks .* lower lr"):
        training.run()


def test_a_bad_validation_goes_back_too(sets, tmp_path, caplog, monkeypatch):
    losses = iter([5.0, 30.0, 4.0])
    monkeypatch.setattr(loop, "mean_scores", lambda scores: (next(losses), 0.0))
    training = trainer(sets, tmp_path, "epochs=3")
    training.run()
    assert "the validation loss is 30.00 dB, the best was 5.00; back to the parameters of epoch 1" in caplog.text
    assert [past["lr"] for past in training.progress.history] == [0.003, 0.003, 0.0015]


def test_training_ends_early_without_a_better_validation(sets, tmp_path, caplog, monkeypatch):
    losses = iter([5.0, 4.0, 4.0, 4.5, 1.0])
    monkeypatch.setattr(loop, "mean_scores", lambda scores: (next(losses), 0.0))
    training = trainer(sets, tmp_path, "epochs=9 early_stop=2 examples_every=3 average_best=2")
    training.run()
    assert len(training.progress.history) == 4
    assert "no better validation for 2 epochs: training ends early" in caplog.text
    again = trainer(sets, tmp_path, "epochs=9 early_stop=2 average_best=2")
    again.run()
    assert "already trained for 4 epochs; nothing to do" in caplog.text
    names = {path.name for path in (tmp_path / "examples/epoch_3").iterdir()}
    assert names == {f"utt{i}_{part}.wav" for i in range(3) for part in ("mix", "s1", "s2")}
    assert {path.name for path in (tmp_path / "examples").iterdir()} == {"epoch_3"}
    kept = {path.name for path in (tmp_path / "checkpoints").glob("*.ckpt")}
    assert kept == {"last.ckpt", "previous.ckpt", "best.ckpt", "epoch_2.ckpt", "epoch_3.ckpt", "average.ckpt"}


def test_a_training_begins_with_other_parameters(sets, whole, tmp_path):
    source = whole / "checkpoints/best.ckpt"
    training = trainer(sets, tmp_path, f"epochs=1 init_from={source}")
    stored = tensors(source)
    assert all(np.array_equal(p.asnumpy(), stored[p.name]) for p in training.model.get_parameters())
    with pytest.raises(InputError, match=r"nothing.ckpt: no such checkpoint"):
        trainer(sets, tmp_path, "init_from=nothing.ckpt")


@UNDER_ALL
def test_a_deeper_model_is_trained_and_goes_on_without_the_file_it_began_with(sets, tmp_path):
    trainer(sets, tmp_path / "first", f"{DPRNN} epochs=1").run()
    first = tmp_path / "first/checkpoints/best.ckpt"
    options = f"{DPRNN.replace('n_blocks=1', 'n_blocks=2')} init_from={first} init_blocks=[0,0]"
    deeper = trainer(sets, tmp_path / "deeper", f"{options} epochs=1")
    assert not deeper.model.separator.blocks[1].intra_norm.gamma.asnumpy().any()
    deeper.run()
    assert deeper.model.separator.blocks[1].intra_norm.gamma.asnumpy().any()
    first.unlink()
    again = trainer(sets, tmp_path / "deeper", f"{options} epochs=2")
    again.run()
    assert len(again.progress.history) == 2


def test_the_moving_average_is_what_is_validated_and_kept(sets, tmp_path):
    trainer(sets, tmp_path, "epochs=1 ema_decay=0.9").run()
    best, last = (tensors(tmp_path / f"checkpoints/{name}.ckpt") for name in ("best", "last"))
    assert all(np.array_equal(best[name], last[f"ema.{name}"]) for name in best)
    assert not all(np.array_equal(best[name], last[name]) for name in best)


def run_command(sets, expdir, options="epochs=1", before=(), **limits):
    """Runs stage 2's command after the words `before`; `limits` are for the process."""
    config = expdir.parent / "resolved.yaml"
    save_config(load_config(BASE, None, [TINY, options]), config)
    paths = {"config": config, "train": sets / "train", "valid": sets / "dev", "expdir": expdir}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    command = [*before, sys.executable, "-m", "mindaudio_ext.bin.train", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, **limits)


def test_a_full_disk_gets_a_line_and_leaves_what_was_there(sets, whole, tmp_path):
    """A limit on the size of files stands for the disk: the state does not fit, the log does."""
    expdir = tmp_path / "exp"
    shutil.copytree(whole, expdir)
    before = (expdir / "checkpoints/last.ckpt").read_bytes()
    limit = len(before) // 2
    full = run_command(
        sets, expdir, "epochs=4", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert full.returncode == 1
    assert re.search(r"^train: error: .*last\.ckpt.*$", full.stderr.splitlines()[-1]), full.stderr
    assert (expdir / "checkpoints/last.ckpt").read_bytes() == before
    assert not (expdir / "checkpoints/.tmp.last.ckpt").exists()


def test_an_experiment_folder_that_cannot_be_written_gets_a_line(sets, tmp_path):
    (tmp_path / "exp").write_text("a file in its place")
    refused = run_command(sets, tmp_path / "exp")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("train: error: ")
    assert str(tmp_path / "exp") in refused.stderr.splitlines()[-1]


@pytest.mark.needs("mounts")
@pytest.mark.parametrize("trained", [False, True])
def test_an_experiment_folder_on_a_read_only_mount_gets_a_line(sets, whole, tmp_path, trained):
    expdir = tmp_path / "exp"
    if trained:
        shutil.copytree(whole, expdir)
    expdir.mkdir(exist_ok=True)
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    refused = run_command(sets, expdir, "epochs=9", before=("unshare", "-rm", "sh", "-c", script, str(expdir)))
    assert refused.returncode == 2
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("train: error: ")
    assert "Read-only file system" in last
    assert str(expdir) in last
    assert "Traceback" not in refused.stderr


def test_the_schedule_reaches_the_compiled_step(sets, tmp_path):
    """From the second epoch on the rate is next to nothing, so nothing moves any more."""
    options = "scheduler=exponential scheduler_conf.factor=1e-9 scheduler_conf.every=1"
    trainer(sets, tmp_path / "one", f"epochs=1 {options}").run()
    trainer(sets, tmp_path / "two", f"epochs=2 {options}").run()
    one, two = (tensors(tmp_path / name / "checkpoints/last.ckpt") for name in ("one", "two"))
    moved = [key for key in one if key.startswith("encoder.") and np.abs(one[key] - two[key]).max() > 1e-7]
    assert moved == []


def test_it_learns(sets, tmp_path):
    trainer(sets, tmp_path, f"epochs=25 {DPRNN}").run()
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
    with pytest.raises(InputError, match=r"no utterance has at least kernel_size \(16\) samples and at most cv_maxlen"):
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


def test_too_little_memory_is_said(sets, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("mindaudio_ext.train.loop.free_memory", lambda: 0.1)
    trainer(sets, tmp_path, f"epochs=1 {DPRNN}").run()
    assert "training takes about 0." in caplog.text
    assert "more than is free: recompute, a larger accum_steps or a smaller batch_size help" in caplog.text


def test_the_command_says_when_it_is_done(sets, tmp_path):
    assert run_command(sets, tmp_path / "exp").returncode == 0
    again = run_command(sets, tmp_path / "exp")
    assert again.returncode == 0
    assert "already trained for 1 epochs; nothing to do" in again.stderr
    log = (tmp_path / "exp/train.log").read_text()
    assert "a step takes" in log
    assert "epoch 1, step 2 of 4: loss" in log
    assert "epoch 1 of 1: train loss" in log


def test_silent_sources_and_utterances_shorter_than_a_filter_are_told_and_left_out(sets, tmp_path, caplog):
    lengths = {"a": 2000, "b": 2000, "c": 15}
    make_data(tmp_path / "data" / "dev", lengths)
    write_wav(tmp_path / "data/dev/wav/b_spk2.scp.wav", np.zeros(2000, np.int16))
    shutil.copyfile(tmp_path / "data/dev/wav/b_spk1.scp.wav", tmp_path / "data/dev/wav/b_wav.scp.wav")
    dump(tmp_path / "data" / "dev", tmp_path / "dump" / "dev")
    shutil.copytree(sets / "train", tmp_path / "dump" / "train")
    training = trainer(tmp_path / "dump", tmp_path / "exp", "epochs=1")
    training.run()
    assert [training.valid.keys[row] for row in training.valid_rows] == ["a", "b"]
    folder = tmp_path / "dump" / "dev"
    assert f"{folder}: 1 silent source: b (2); they are not scored" in caplog.messages
    assert (
        f"{folder}: 1 of 3 utterances are shorter than a filter (kernel_size, 16 samples) and left out: c"
        in caplog.messages
    )
    assert "validation: 1 of 4 sources are silent and not scored" in caplog.messages
    (entry,) = [json.loads(line) for line in (tmp_path / "exp/history.jsonl").open()]
    assert -100 < entry["valid_si_snri"] < 100


def test_an_ordinary_model_learns_silence(sets, whole, tmp_path, lines, caplog):
    """From an SI-SNR model, with crops and validation that have a silent source, whose losses are the new loss's."""
    for name, count in (("train", 4), ("dev", 2)):
        make_data(folder := tmp_path / name, {f"{name}{i}": 2400 for i in range(count)})
        for scp in ("spk1.scp", "wav.scp"):  # the first speaker alone
            text = (folder / "spk1.scp").read_text()
            (folder / scp).write_text(text)
        silence = write_wav(tmp_path / "silence.wav", np.zeros(2400, np.int16))
        (folder / "spk2.scp").write_text("".join(f"{name}{i} {silence}\n" for i in range(count)))
        dump(folder, tmp_path / "dump" / name)
    stored = tensors(whole / "checkpoints/best.ckpt")
    loud = {key: value * (64 if key == "decoder.weight" else 1) for key, value in stored.items()}
    parameters = [{"name": key, "data": Tensor(value)} for key, value in loud.items()]
    save_checkpoint(parameters, str(tmp_path / "loud.ckpt"), crc_check=True)
    options = (
        f"epochs=2 init_from={tmp_path}/loud.ckpt loss=pit_thresholded_snr mixture_consistency=true "
        "separator_conf.dropout=0 lr=0.01"
    )
    training = trainer(tmp_path / "dump", tmp_path / "exp", options)
    (gain,) = re.findall(r"loud.ckpt gets other filters, by least squares: .* were (\S+) dB farther", caplog.text)
    assert float(gain) > 10
    changed = {p.name for p in training.model.get_parameters() if not np.array_equal(p.asnumpy(), loud[p.name])}
    assert changed == {"decoder.weight"}
    training.run()
    first, last = [json.loads(line) for line in (tmp_path / "exp/history.jsonl").open()]
    assert last["valid_loss"] < first["valid_loss"]
    assert first["skipped_steps"] == last["skipped_steps"] == 0
    # Estimates that add up to x have errors of one power: at best -30 dB each, and 0 dB where nothing is separated.
    assert -30 < last["valid_loss"] < 0
    assert "2 of 4 sources are silent and not scored" in caplog.text
    assert "crops without one are trained on" not in caplog.text


def test_a_model_of_mindaudio_begins_at_its_own_level(sets, tmp_path):
    options = ["kernel_size=16 segment=0.2", "model=mindaudio.tasnet model_conf.hidden_size=8 model_conf.num_layers=2"]
    save_checkpoint(build_model(load_config(BASE, None, options)), str(tmp_path / "first.ckpt"), crc_check=True)
    options += [f"init_from={tmp_path}/first.ckpt loss=pit_thresholded_snr"]
    model = Trainer(
        load_config(BASE, None, options), train_dir=sets / "train", valid_dir=sets / "dev", expdir=tmp_path / "exp"
    ).model
    stored = tensors(tmp_path / "first.ckpt")
    assert all(np.array_equal(parameter.asnumpy(), stored[parameter.name]) for parameter in model.get_parameters())


def test_the_config_says_what_conversations_are_like():
    keys = {"silence": 0.12, "overlap": 0.18, "mean_pause": 0.7, "mean_overlap": 1.1}
    overrides = ["conversations=true", *(f"conversation_{name}={value}" for name, value in keys.items())]
    config = load_config(ROOT / "conf/base.yaml", ROOT / "conf/mini.yaml", overrides)
    assert loop.asked_conversations(config) == Statistics(**keys)
    assert loop.asked_conversations(dataclasses.replace(config, conversations=False)) is None
    with pytest.raises(InputError, match=r"conversation_mean_pause: .*above 0\.2"):
        load_config(ROOT / "conf/base.yaml", ROOT / "conf/mini.yaml", ["conversation_mean_pause=0.2"])
