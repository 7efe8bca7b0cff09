"""The export of an experiment: graphs proved and described truly, and gone when they compute something else."""

import hashlib
import json

import numpy as np
import pytest
from tiny_experiment import BASE, files_of, make_data, make_experiment

from mindaudio_ext.bin.export import main
from mindaudio_ext.config import load_config, save_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment
from mindaudio_ext.export import mindir, verify
from mindaudio_ext.export.verify import Fidelity, Parity, Segment
from mindaudio_ext.files import write_text
from mindaudio_ext.models.parameters import save_parameters
from mindaudio_ext.models.tasnet import build_model

GRAPHS = ["tiny_0.25s_host.mindir", "tiny_0.25s_ascend.mindir"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder é")
    make_experiment(folder / "tiny")
    make_data(folder / "test", {"a": 1601, "b": 4000, "c": 2000})
    (folder / "tiny" / "export").mkdir()
    (folder / "tiny" / "export" / "tiny_9s_host.mindir").write_text("of an older config")
    run(folder, "--export_batch", "2")
    return folder


def run(folder, *options):
    main(["--expdir", str(folder / "tiny"), "--data", str(folder / "test"), *options])


def manifest_of(folder):
    return json.loads((folder / "tiny" / "export" / "manifest.json").read_text())


def graphs_of(folder):
    return {path.name for path in (folder / "tiny" / "export").glob("*.mindir")}


def test_nothing_else_is_left_and_the_manifest_tells_the_truth(exported):
    files, manifest = files_of(exported / "tiny" / "export"), manifest_of(exported)
    assert graphs_of(exported) == set(GRAPHS)
    assert {"manifest.json", "run_infer_310.sh"} <= files.keys()
    assert [(graph["file"], graph["role"]) for graph in manifest["graphs"]] == list(zip(GRAPHS, ("host", "ascend")))
    for graph in manifest["graphs"]:
        content = files[graph["file"]]
        assert (graph["bytes"], graph["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert graph["inputs"] == [{"name": "mixture", "shape": [2, 2000], "dtype": "float32"}]
        assert [(each["shape"], each["dtype"]) for each in graph["outputs"]] == [([2, 2, 2000], "float32")]
        assert [graph[key] for key in ("separator", "batch", "samples", "segment")] == ["dprnn", 2, 2000, 0.25]
    host, ascend = (graph["operators"] for graph in manifest["graphs"])
    assert host["LSTM"] == 2  # within and across chunks, one block
    assert ascend["DynamicRNN"] == 4  # in both directions
    assert "LSTM" not in ascend
    assert [manifest[key] for key in ("format", "name", "sample_rate", "num_spks")] == [1, "tiny", 8000, 2]
    assert manifest["config"]["kernel_size"] == 16
    checkpoint = (exported / "tiny" / "checkpoints" / "best.ckpt").read_bytes()
    assert manifest["checkpoint"] == "checkpoints/best.ckpt"  # from the experiment, wherever that lies
    assert manifest["checkpoint_sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert manifest["versions"]["mindspore"] == "2.10.0"


def test_the_graphs_compute_what_the_checkpoint_does(exported):
    host, ascend = (graph["proof"] for graph in manifest_of(exported)["graphs"])
    assert host["key"] == "a"
    assert 0 <= host["max_abs_difference"] <= 1e-5 * host["peak"]
    assert ascend["utterances"] == 3
    assert ascend["lowest_si_snr"] > 40
    assert abs(ascend["si_snri"] - ascend["checkpoint_si_snri"]) <= 0.05


def test_a_second_export_keeps_the_files_but_for_new_scores(exported, capsys):
    before = files_of(exported / "tiny" / "export")
    run(exported, "--export_batch", "2")
    assert files_of(exported / "tiny" / "export") == before
    out = capsys.readouterr().out
    assert "max |graph - checkpoint|" in out
    assert "3 utterances: SI-SNR against float32 at least" in out
    head = {"checkpoint": "best.ckpt", "sha256": manifest_of(exported)["checkpoint_sha256"]}
    (exported / "tiny" / "separated_test").mkdir()
    (exported / "tiny" / "separated_test" / "made.jsonl").write_text(json.dumps(head) + "\n")
    rows = "a,1,5.0,1.0\na,2,5.0,2.0\nb,1,0.0,4.0\nb,2,0.0,5.0\n"
    (exported / "tiny" / "scores_test.csv").write_text("key,source,si_snr,si_snri\n" + rows)
    run(exported, "--export_batch", "2")
    assert manifest_of(exported)["scores"] == {"test": {"utterances": 2, "si_snri": 3.0}}
    assert {name: files_of(exported / "tiny" / "export")[name] for name in GRAPHS} == {n: before[n] for n in GRAPHS}


def test_other_lengths_targets_or_checkpoints_are_made_anew(tmp_path):
    make_experiment(tmp_path / "tiny", overrides="separator_conf.rnn_type=GRU")
    make_data(tmp_path / "test", {"a": 1601})
    run(tmp_path, "--export_targets", "host")
    assert [graph["file"] for graph in manifest_of(tmp_path)["graphs"]] == GRAPHS[:1]
    converted = tmp_path / "tiny" / "export" / "tiny_0.25s_ascend_lite.mindir"
    converted.write_text("mine")
    run(tmp_path, "--export_targets", "ascend", "--export_segment", "0.1", "0.2")
    files = {f"tiny_{seconds}s_ascend.mindir" for seconds in (0.1, 0.2)}
    assert graphs_of(tmp_path) == files | {converted.name}
    assert [graph["operators"]["DynamicGRUV2"] for graph in manifest_of(tmp_path)["graphs"]] == [4, 4]
    export = mindir._Export
    config = Experiment(tmp_path / "tiny").read_config()
    data = mindir.read_data_dir(tmp_path / "test")
    checkpoint = tmp_path / "tiny" / "checkpoints" / "best.ckpt"
    assert export(Experiment(tmp_path / "tiny"), config, checkpoint, data).kept() == []  # the config's are others


NEWER = {
    "skim": "hidden_size=5 n_blocks=2 chunk_size=20",
    "sepformer": "bottleneck_size=8 n_blocks=1 n_layers=1 n_heads=2 feedforward_size=12 chunk_size=20",
    "resepformer": "n_blocks=2 n_layers=1 n_heads=2 feedforward_size=12 chunk_size=20",
    "tdanet": "bottleneck_size=6 hidden_size=8 n_blocks=2 n_levels=3",
    "sepreformer": "bottleneck_size=8 n_stages=1 n_heads=2 kernel_size=5",
    "tfgridnet": "bottleneck_size=4 hidden_size=3 n_blocks=1 n_heads=2 attention_size=12",
    "tiger": "bottleneck_size=4 hidden_size=4 n_blocks=2 n_levels=2 n_heads=1 attention_size=4 sample_rate=1000",
}
STFT = "stft encoder_conf.window=hann encoder_conf.padding=reflect"
ENCODERS = {
    "tdanet": "mixing_conv",
    "sepreformer": "padded_conv encoder_activation=gelu mask_activation=mapping",
    "tfgridnet": f"{STFT} n_filters=18 mask_activation=mapping normalize_variance=true",
    "tiger": f"{STFT} kernel_size=40 n_filters=42 mask_activation=complex",
}


@pytest.mark.needs("--all", "onnx", "onnxruntime")
@pytest.mark.parametrize("separator", NEWER)
def test_newer_separators(tmp_path, separator):
    """Exported for all three targets (TIGER: the host) and proved; an Ascend gets recurrent operators for LSTMs."""
    targets = ("host",) if separator == "tiger" else ("host", "ascend", "onnx")
    options = " ".join(f"separator_conf.{option}" for option in NEWER[separator].split())
    encoder = ENCODERS.get(separator, "conv")
    make_experiment(tmp_path / "tiny", overrides=f"separator={separator} encoder={encoder} {options}")
    make_data(tmp_path / "test", {"a": 1601, "b": 4000})
    run(tmp_path, "--export_targets", *targets)
    graphs = {graph["role"]: graph for graph in manifest_of(tmp_path)["graphs"]}
    assert graphs.keys() == {*targets}
    for role, tolerance in (("host", 1e-5), ("onnx", 1e-4)):
        if role in targets:
            proof = graphs[role]["proof"]
            assert proof["max_abs_difference"] <= tolerance * proof["peak"]
    if "ascend" not in targets:
        return
    assert graphs["ascend"]["proof"]["lowest_si_snr"] >= 40
    assert any(name.startswith("Dynamic") for name in graphs["ascend"]["operators"]) == (
        separator in ("skim", "tfgridnet")
    )


@pytest.mark.needs("onnx", "onnxruntime")
def test_onnx(tmp_path):
    make_experiment(tmp_path / "tiny")
    make_data(tmp_path / "test", {"a": 1601})
    run(tmp_path, "--export_targets", "onnx")
    (graph,) = manifest_of(tmp_path)["graphs"]
    assert (graph["file"], graph["role"], graph["operators"]["LSTM"]) == ("tiny_0.25s.onnx", "onnx", 4)
    assert graph["proof"]["max_abs_difference"] <= 1e-4 * graph["proof"]["peak"]


def test_a_graph_that_differs_fails_with_the_figure(tmp_path, monkeypatch, capsys):
    make_experiment(tmp_path / "tiny")
    make_data(tmp_path / "test", {"a": 1601})
    monkeypatch.setattr(mindir, "read_graph", lambda path: lambda mixtures: np.ones((1, 2, 2000), np.float32))
    with pytest.raises(SystemExit) as status:
        run(tmp_path, "--export_targets", "ascend")
    assert status.value.code == 1
    error = capsys.readouterr().err
    assert "tiny_0.25s_ascend.mindir does not compute what the checkpoint does: 1 utterances: SI-SNR" in error
    assert files_of(tmp_path / "tiny" / "export") == {}


def test_a_model_with_other_operators_has_a_host_graph_alone(tmp_path, capsys):
    config = load_config(
        BASE,
        None,
        ["model=mindaudio.tasnet model_conf.hidden_size=6 model_conf.num_layers=1", "n_filters=8 kernel_size=16"],
    )
    save_config(config, tmp_path / "tiny" / "config.yaml")
    save_parameters(build_model(config), tmp_path / "tiny" / "checkpoints" / "best.ckpt")
    make_data(tmp_path / "test", {"a": 1601})
    for target in ("ascend", "onnx"):
        with pytest.raises(SystemExit) as status:
            run(tmp_path, "--export_segment", "0.25", "--export_targets", "host", target)
        assert status.value.code == 2
        message = f"export_targets: mindaudio.tasnet has no graph for {target}; it has: host"
        assert message in capsys.readouterr().err
        assert graphs_of(tmp_path) == set()
    run(tmp_path, "--export_segment", "0.25", "--export_targets", "host")
    (graph,) = manifest_of(tmp_path)["graphs"]
    assert (graph["separator"], graph["operators"]["LSTM"]) == ("mindaudio.tasnet", 1)


def test_parity_is_relative_to_the_peak():
    assert Parity("a", 0.9e-5, 1.0).passed
    assert not Parity("a", 0.9e-5, 0.5).passed
    assert Parity("a", 0.9e-5, 0.5, tolerance=1e-4).passed
    assert not Parity("a", float("nan"), 1.0).passed


def test_fidelity_has_two_limits():
    assert Fidelity(20, 40.0, 9.96, 10.0).passed
    assert not Fidelity(20, 39.9, 10.0, 10.0).passed
    assert not Fidelity(20, 60.0, 9.9, 10.0).passed
    assert not Fidelity(20, 60.0, float("nan"), 10.0).passed


def test_a_score_whose_value_is_known():
    """Orthogonal sources and errors: 10 log10(1 / 0.1^2) = 20 dB against the checkpoint, the mixture at 0 dB."""
    first, second, error = np.tile([1.0, 1, -1, -1], 8), np.tile([1.0, -1, 1, -1], 8), np.tile([1.0, -1, -1, 1], 8)
    sources = np.stack([first, second])
    padded = [np.pad(each, (0, 8)) for each in (first + second, first, second)]
    segment = Segment("a", 32, padded[0], np.stack(padded[1:]), np.stack(padded[2:0:-1]))  # the checkpoint is perfect
    estimates = np.pad(sources + 0.1 * error, ((0, 0), (0, 8)))[::-1]
    calls = []

    def graph(mixtures):
        calls.append(mixtures.shape)
        return np.stack([estimates] * len(mixtures))

    fidelity = verify.score(graph, [segment] * 3, batch=2)
    assert calls == [(2, 40), (2, 40)]
    assert fidelity.utterances == 3
    assert fidelity.lowest_si_snr == pytest.approx(20)
    assert fidelity.si_snri == pytest.approx(20)
    assert fidelity.checkpoint_si_snri == pytest.approx(100)
    assert verify.score(lambda mixtures: np.full((2, 2, 40), np.nan), [segment], batch=2).lowest_si_snr == -100


@pytest.mark.parametrize("text", ['{"name": "my web app"}', "[]", "mine", "1"])
def test_a_manifest_of_something_else_stays(tmp_path, text):
    make_experiment(tmp_path / "exp")
    make_data(tmp_path / "test", {"a": 4000})
    write_text(tmp_path / "exp/export/manifest.json", text)
    with pytest.raises(
        InputError, match=r"export/manifest\.json: is there and is not what stage 5 writes; move it away"
    ):
        mindir.export_graphs(tmp_path / "exp", tmp_path / "test")
    assert (tmp_path / "exp/export/manifest.json").read_text() == text


def test_wrong_input_is_one_line(tmp_path, capsys):
    make_experiment(tmp_path / "tiny")
    make_data(tmp_path / "test", {"a": 1601})
    data = ["--expdir", tmp_path / "tiny", "--data", tmp_path / "test"]
    for options, message in (
        (["--expdir", tmp_path / "x", "--data", tmp_path], "no such experiment folder"),
        (["--expdir", tmp_path / "tiny", "--data", tmp_path / "x"], "no such data directory"),
        (
            [*data, "--export_segment", "0.001"],
            "export: error: --export_segment: 0.001 s are 8 samples, fewer than kernel_size (16)\n",
        ),
        ([*data, "--export_batch", "0"], "export_batch: must be a whole number of 1 to 65536, got '0'"),
        ([*data, "--export_targets", "om"], "invalid choice: 'om'"),
    ):
        with pytest.raises(SystemExit) as status:
            main([str(option) for option in options])
        error = capsys.readouterr().err
        assert (status.value.code, error.count("\n")) == (2, 1)
        assert message in error
