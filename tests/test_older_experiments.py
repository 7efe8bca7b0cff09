"""Experiments trained by older code, in tests/experiments/<commit>: today's code goes on with each, for good."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mindspore import load_checkpoint
from tiny_experiment import BASE, make_data

from mindaudio_ext.bin.export import main as export
from mindaudio_ext.bin.score import main as score
from mindaudio_ext.config import load_config, read_resolved, refuse_other_training
from mindaudio_ext.config.config import KEYS, OPTIONS_OF
from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.inference.decode_set import decode_set
from mindaudio_ext.train.loop import Trainer

EXPERIMENTS = Path(__file__).with_name("experiments")
N_UTTS = {"train": 4, "dev": 1, "test": 1}
# What the third epoch came to where the older code trained all three at once: train loss, validation loss, dB.
THIRD_EPOCH = {
    "3bd8559": (22.52505, 22.43187),
    "c4e37da": (22.52505, 22.43187),
    "bb36791": (22.52505, 22.43187),
    "1a2752f": (22.52505, 22.43187),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data that these experiments were trained on, made again: data/ and dump/."""
    folder = tmp_path_factory.mktemp("data")
    for seed, (name, n_utts) in enumerate(N_UTTS.items()):
        make_data(folder / "data" / name, {f"utt{i}": 2000 for i in range(n_utts)}, seed=seed)
        dump(folder / "data" / name, folder / "dump" / name)
    return folder


def test_every_experiment_that_is_kept_is_tried():
    folders = {path.name for path in EXPERIMENTS.iterdir() if path.is_dir()}
    assert folders == {*THIRD_EPOCH, "3bd8559_sgd"}


@pytest.mark.parametrize("name", THIRD_EPOCH)
def test_what_its_config_does_not_say_is_what_it_meant_in_every_stage(name):
    """Stages 3 to 5 read it over conf/base.yaml, whose defaults may change; training reads it alone."""
    path = EXPERIMENTS / name / "config.yaml"
    over_base, alone = load_config(BASE, path), read_resolved(path)
    names = [name for name in KEYS if name not in OPTIONS_OF]  # options are filled in where they are used
    assert [name for name in names if getattr(over_base, name) != getattr(alone, name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", THIRD_EPOCH)
def test_it_resumes_decodes_scores_and_exports(data, tmp_path, name):
    expdir = shutil.copytree(EXPERIMENTS / name, tmp_path / name)
    before = [json.loads(line) for line in (expdir / "history.jsonl").open()]
    resume(data, expdir)
    *past, third = [json.loads(line) for line in (expdir / "history.jsonl").open()]
    assert [{key: entry[key] for key in old} for entry, old in zip(past, before)] == before  # times as well
    np.testing.assert_allclose([third["train_loss"], third["valid_loss"]], THIRD_EPOCH[name], atol=1e-3)
    assert third["epoch"] == json.loads((expdir / "model.json").read_text())["epochs"] == 3
    assert decode_set(expdir, data / "data" / "test").num_made == N_UTTS["test"]
    score(["--expdir", str(expdir), "--data", str(data / "data" / "test"), "--cal_sdr", "false"])
    assert len((expdir / "scores_test.csv").read_text().splitlines()) == 1 + 2 * N_UTTS["test"]
    assert "1 scored of 1" in (expdir / "RESULTS.md").read_text()
    export(["--expdir", str(expdir), "--data", str(data / "data" / "test"), "--export_targets", "ascend"])
    manifest = json.loads((expdir / "export" / "manifest.json").read_text())
    assert manifest["graphs"][0]["proof"]["lowest_si_snr"] > 40


def resume(data, expdir):
    """Trains one epoch more, as run.sh does."""
    config = load_config(BASE, expdir / "config.yaml", ["epochs=3"])
    refuse_other_training(expdir / "config.yaml", config)
    Trainer(config, train_dir=data / "dump" / "train", valid_dir=data / "dump" / "dev", expdir=expdir).run()


def test_the_velocities_of_mindspores_sgd_are_ours(data, tmp_path):
    expdir = shutil.copytree(EXPERIMENTS / "3bd8559_sgd", tmp_path / "exp")
    config = load_config(BASE, expdir / "config.yaml")
    trainer = Trainer(config, train_dir=data / "dump" / "train", valid_dir=data / "dump" / "dev", expdir=expdir)
    progress = trainer.states.load(trainer.step.state, trainer.data)
    assert (len(progress.history), progress.data) == (2, trainer.data)
    stored = load_checkpoint(str(expdir / "checkpoints" / "last.ckpt"))
    velocities = {p.name: p.asnumpy() for p in trainer.step.state if p.name.startswith("velocity.")}
    assert len(velocities) == len(trainer.model.trainable_params()) == 38
    for name, value in velocities.items():
        np.testing.assert_array_equal(value, stored[name.replace("velocity.", "accum.")].asnumpy())
        assert value.any()
