"""Two ranks train as one process does, and go on where they stopped."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_launch import ENVIRONMENT, HERE, processes_of, run, wait_for
from test_loop import BASE, TINY, tensors

from mindaudio_ext.config import load_config, save_config

RUNS = {
    "one_step": "optimizer=sgd lr=0.001 clip_norm=1e9 batch_size=8 epochs=1",
    "sgd": "optimizer=sgd lr=0.001 batch_size=2 epochs=5",
    "adam": "optimizer=adam lr=0.001 batch_size=2 epochs=5",
    "unequal": "optimizer=sgd lr=0.001 clip_norm=1e9 batch_size=3 epochs=1",
}


@pytest.fixture(scope="module")
def trained(sets, tmp_path_factory):
    """The experiments' folders of one process and of two, by size."""
    folders = {}
    for size in (1, 2):
        folders[size] = tmp_path_factory.mktemp(f"ranks{size}")
        configs = [folders[size] / f"{name}.yaml" for name in RUNS]
        for path, options in zip(configs, RUNS.values()):
            save_config(
                load_config(BASE, None, [TINY, "separator_conf.dropout=0", options]), path
            )  # draws by place in a share
        arguments = ["train", sets, *configs]
        if size == 1:
            command = [sys.executable, HERE / "rank_programs.py", *arguments]
            subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
        else:
            done = run(folders[size] / "log", *arguments)
            assert done.returncode == 0, done.stderr
    return folders


def flat(trained, size, name, prefixes):
    """The tensors of a state whose names begin so, as one vector."""
    state = tensors(trained[size] / name / "checkpoints/last.ckpt")
    return np.concatenate([state[key].ravel() for key in sorted(state) if key.startswith(prefixes)]).astype(float)


def distance(trained, name, prefixes):
    one, two = (flat(trained, size, name, prefixes) for size in (1, 2))
    assert len(one) > 1000
    return np.linalg.norm(two - one) / np.linalg.norm(one)


def test_the_gradients_of_the_first_step_are_equal(trained):
    """After one step of SGD the velocity is the gradient."""
    assert distance(trained, "one_step", "velocity.") < 1e-6


def test_shares_may_differ_by_one(trained):
    """Of 3 crops one rank has 1, the other 2; each crop counts the same."""
    assert distance(trained, "unequal", "velocity.") < 1e-5


@pytest.mark.parametrize(("name", "tolerance"), [("sgd", 1e-5), ("adam", 1e-3)])
def test_the_parameters_after_20_steps_are_equal(trained, name, tolerance):
    model = ("encoder.", "separator.", "decoder.")
    assert distance(trained, name, model) < tolerance
    moved = flat(trained, 2, name, model) - flat(trained, 2, "one_step", model)
    assert np.linalg.norm(moved) > 1e-2 * np.linalg.norm(flat(trained, 2, name, model))


def test_histories_are_equal_and_each_utterance_counts_once(trained):
    """Three utterances among two ranks: one counted twice, or left out, would show."""
    one, two = ([json.loads(line) for line in (trained[size] / "sgd/history.jsonl").open()] for size in (1, 2))
    assert len(one) == len(two) == 5
    for alone, together in zip(one, two):
        for key in ("epoch", "train_loss", "valid_loss", "valid_si_snri", "lr", "grad_norm", "skipped_steps"):
            assert together[key] == pytest.approx(alone[key], rel=1e-4), key


def test_only_rank_0_writes(trained):
    assert (trained[2] / "sgd").is_dir()
    assert not (trained[2] / "sgd.1").exists()


def command(sets, folder, options):
    save_config(load_config(BASE, None, [TINY, options]), folder / "config.yaml")
    return [
        *(sys.executable, "-m", "mindaudio_ext.bin.launch", "--ngpu", "2", "--log_dir", folder / "log"),
        *("mindaudio_ext.bin.train", "--config", folder / "config.yaml", "--expdir", folder / "exp"),
        *("--train", sets / "train", "--valid", sets / "dev"),
    ]


def test_two_ranks_go_on_where_they_were_stopped(sets, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = "epochs=8 log_interval=1"
    subprocess.run(command(sets, whole, options), env=ENVIRONMENT, check=True, capture_output=True)
    log = parts / "exp/train.log"
    first = subprocess.Popen(command(sets, parts, options), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    wait_for(lambda: log.is_file() and "epoch 2, step 2 of 4" in log.read_text())
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=300) == 128 + signal.SIGTERM
    assert "the same command goes on from here" in log.read_text()
    assert processes_of(tmp_path) == []
    subprocess.run(command(sets, parts, options), env=ENVIRONMENT, check=True, capture_output=True)
    assert "going on after epoch" in log.read_text()
    for name in ("last", "best"):
        first, second = (tensors(folder / f"exp/checkpoints/{name}.ckpt") for folder in (whole, parts))
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first), name


def test_a_batch_that_cannot_be_shared_is_one_line(sets, tmp_path):
    refused = subprocess.run(
        command(sets, tmp_path, "batch_size=1"), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    line = "train: error: batch_size: 1 crops a step cannot be shared among 2 processes; give at least one for each"
    said = [line for line in refused.stderr.splitlines() if not line.startswith("[")]  # MindSpore's own, at times
    assert (refused.returncode, said) == (2, [line])
