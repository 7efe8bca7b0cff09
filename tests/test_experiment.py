"""An experiment's folder: what is where, which checkpoint is decoded, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_experiment import BASE

from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment, SeparatedSet
from mindaudio_ext.files import write_text


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("config.yaml", "epochs: 3\n", r"config\.yaml"),  # a recipe's differences
        ("config.yaml", "window: wide\n", r"config\.yaml"),
        ("model.json", "{}", r"model\.json: is there, but no config\.yaml of its training; give another --expdir"),
        ("history.jsonl", "{}", r"history\.jsonl: is there, but no config\.yaml of its training"),
        ("plots/curves.png", "mine", r"curves\.png: is there, but no config\.yaml of its training"),
        ("checkpoints/best.ckpt", "mine", r"best\.ckpt: is there, but no config\.yaml of its training"),
        ("checkpoints/times.json", "mine", r"times\.json: is there, but no config\.yaml of its training"),
    ],
)
def test_a_folder_with_files_of_something_else_is_refused(tmp_path, name, text, says):
    write_text(tmp_path / name, text)
    with pytest.raises(InputError, match=says):
        Experiment(tmp_path).require_own()


def test_an_experiment_and_a_folder_with_notes_are_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    Experiment(tmp_path).require_own()
    save_config(load_config(BASE, None, []), tmp_path / "config.yaml")
    (tmp_path / "model.json").write_text("{}")
    Experiment(tmp_path).require_own()


def test_every_file_is_where_the_contract_says():
    experiment = Experiment(Path("exp/mini"))
    separated = experiment.separated("test")
    assert experiment.name == "mini"
    assert [str(path) for path in (experiment.config_file, experiment.train_log, experiment.history)] == [
        *("exp/mini/config.yaml", "exp/mini/train.log", "exp/mini/history.jsonl")
    ]
    assert str(experiment.facts) == "exp/mini/model.json"
    assert [str(experiment.checkpoint(name)) for name in ("best", "last")] == [
        *("exp/mini/checkpoints/best.ckpt", "exp/mini/checkpoints/last.ckpt")
    ]
    assert [str(path) for path in (experiment.times, experiment.tensorboard, experiment.curves)] == [
        *("exp/mini/checkpoints/times.json", "exp/mini/tensorboard", "exp/mini/plots/curves.png")
    ]
    assert [str(path) for path in (experiment.examples(3), experiment.scores("test"), experiment.results)] == [
        *("exp/mini/examples/epoch_3", "exp/mini/scores_test.csv", "exp/mini/RESULTS.md")
    ]
    assert [str(path) for path in (experiment.report, experiment.export)] == ["exp/mini/report.html", "exp/mini/export"]
    assert [path.name for path in (separated.path, separated.decoding, separated.log, separated.wavs)] == [
        *("separated_test", "decode.json", "decode.log", "wav")
    ]
    assert [str(path) for path in (separated.journal, separated.scp(2))] == [
        *("exp/mini/separated_test/made.jsonl", "exp/mini/separated_test/spk2.scp")
    ]


def test_the_checkpoint_that_is_decoded(tmp_path):
    experiment = Experiment(tmp_path)
    config = load_config(BASE, None, ["decode_checkpoint=average average_best=3"])
    assert not experiment.is_trained
    with pytest.raises(InputError, match=r"no model here: checkpoints/average\.ckpt is missing; stage 2 makes it"):
        experiment.find_checkpoint(config)
    experiment.checkpoints.mkdir()
    for name in ("best", "average", "epoch_7"):
        experiment.checkpoint(name).touch()
    assert experiment.is_trained
    seven = experiment.checkpoint("epoch_7")
    of_run = load_config(BASE, None, [{"model_path": str(seven)}])
    assert experiment.find_checkpoint(config) == tmp_path / "checkpoints" / "average.ckpt"
    assert experiment.find_checkpoint(of_run) == seven
    assert experiment.find_checkpoint(of_run, experiment.checkpoint()) == tmp_path / "checkpoints" / "best.ckpt"
    with pytest.raises(InputError, match=r"other\.ckpt: no such checkpoint \(model_path\)"):
        experiment.find_checkpoint(config, tmp_path / "other.ckpt")


@pytest.mark.parametrize("text", ["", "[]\n", '{"sha256": "ab"}\n', '{"checkpoint": "best'])
def test_of_estimates_of_something_else_the_origin_is_not_known(tmp_path, text):
    separated = SeparatedSet(tmp_path)
    assert separated.read_origin() is None
    separated.journal.write_text(text)
    assert separated.read_origin() is None
    head = {"checkpoint": "best.ckpt", "sha256": "ab", "shifts": 2}
    separated.journal.write_text(json.dumps(head) + '\n{"key": "a"}\n')
    assert separated.read_origin() == head


def test_asking_for_a_file_imports_no_mindspore():
    program = "import sys, mindaudio_ext.experiment; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
