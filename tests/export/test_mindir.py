"""The exported graph: described truly, compared in a fresh process, and gone when it computes something else."""

import hashlib
import json

import numpy as np
import pytest
from tiny_experiment import files_of, make_data, make_experiment

from mindaudio_ext.bin.export import main
from mindaudio_ext.export import mindir as module


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder é")
    make_experiment(folder / "tiny")
    make_data(folder / "test", {"a": 1601, "b": 4000})
    main(["--expdir", str(folder / "tiny"), "--data", str(folder / "test")])
    return folder


def _json(folder, name):
    return json.loads((folder / "tiny" / "export" / name).read_text())


def test_nothing_else_is_left_and_the_manifest_tells_the_truth(exported):
    files = files_of(exported / "tiny" / "export")
    assert set(files) == {"tiny_host.mindir", "manifest.json", "parity.json"}
    graph, manifest = files["tiny_host.mindir"], _json(exported, "manifest.json")
    assert manifest["file"] == "tiny_host.mindir"
    assert (manifest["bytes"], manifest["sha256"]) == (len(graph), hashlib.sha256(graph).hexdigest())
    assert [(each["shape"], each["dtype"]) for each in manifest["inputs"]] == [([1, 2000], "float32")]
    assert [(each["shape"], each["dtype"]) for each in manifest["outputs"]] == [([1, 2, 2000], "float32")]
    assert manifest["operators"]["LSTM"] == 2  # within and across chunks, one block
    assert (manifest["sample_rate"], manifest["num_spks"], manifest["config"]["kernel_size"]) == (8000, 2, 16)
    checkpoint = (exported / "tiny" / "checkpoints" / "best.ckpt").read_bytes()
    assert manifest["checkpoint_sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert manifest["versions"]["mindspore"] == "2.10.0"


def test_the_graph_computes_what_the_checkpoint_does(exported):
    parity = _json(exported, "parity.json")
    assert parity["key"] == "a"
    assert parity["passed"] is True
    assert parity["peak"] > 0
    assert parity["max_abs_difference"] <= 1e-5 * parity["peak"]


def test_a_gru_can_be_exported_too(tmp_path):
    make_experiment(tmp_path / "tiny", overrides="separator_conf.rnn_type=GRU")
    make_data(tmp_path / "test", {"a": 1601})
    main(["--expdir", str(tmp_path / "tiny"), "--data", str(tmp_path / "test")])
    assert _json(tmp_path, "parity.json")["passed"] is True


def test_a_second_export_keeps_the_files_and_another_checkpoint_does_not(exported, tmp_path, capsys):
    before = files_of(exported / "tiny" / "export")
    main(["--expdir", str(exported / "tiny"), "--data", str(exported / "test")])
    assert files_of(exported / "tiny" / "export") == before
    out = capsys.readouterr().out
    assert "max |graph - checkpoint|" in out
    assert "holds the LSTM operator and is for the host" in out
    source = {"checkpoint_sha256": "another"}
    assert module._kept(exported / "tiny" / "export" / "tiny_host.mindir", source, "a") is None
    assert module._kept(exported / "tiny" / "export" / "tiny_host.mindir", {}, "b") is None


def test_a_graph_that_differs_fails_with_the_figure(tmp_path, monkeypatch, capsys):
    make_experiment(tmp_path / "tiny")
    make_data(tmp_path / "test", {"a": 1601})
    (tmp_path / "tiny" / "export").mkdir()
    (tmp_path / "tiny" / "export" / "tiny_host.mindir").write_text("of an older checkpoint")
    monkeypatch.setattr(module, "_run_in_fresh_process", lambda path, inputs: np.full((1, 2, 2000), 1e3, np.float32))
    with pytest.raises(SystemExit) as status:
        main(["--expdir", str(tmp_path / "tiny"), "--data", str(tmp_path / "test")])
    assert status.value.code == 1
    assert "tiny_host.mindir does not compute what the checkpoint does: a: max |graph" in capsys.readouterr().err
    assert _json(tmp_path, "parity.json")["passed"] is False
    assert set(files_of(tmp_path / "tiny" / "export")) == {"parity.json"}


def test_parity_is_relative_to_the_peak():
    assert module.Parity("a", 0.9e-5, 1.0).passed
    assert not module.Parity("a", 0.9e-5, 0.5).passed
    assert not module.Parity("a", float("nan"), 1.0).passed


def test_wrong_input_is_one_line(tmp_path, capsys):
    make_experiment(tmp_path / "tiny")
    for options, message in (
        (["--expdir", tmp_path / "x", "--data", tmp_path], "no such experiment folder"),
        (["--expdir", tmp_path / "tiny", "--data", tmp_path / "x"], "no such data directory"),
    ):
        with pytest.raises(SystemExit) as status:
            main([str(option) for option in options])
        error = capsys.readouterr().err
        assert (status.value.code, error.count("\n")) == (2, 1)
        assert message in error
