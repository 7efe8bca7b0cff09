"""Converted experiments separate as Asteroid does, go back unchanged, and mistakes are one line that leaves nothing."""

import dataclasses
import json
import re
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import yaml
from mindspore import Tensor
from thorough import few

from mindaudio_ext.bin.convert import main
from mindaudio_ext.config import make_config, read_resolved, save_config
from mindaudio_ext.convert.asteroid import architectures
from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.convert.torch_writer import write_torch_file
from mindaudio_ext.models.parameters import load_parameters, save_parameters
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.registry import SEPARATORS

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = sorted(GOLDEN.glob("*.pth"))
SHOWN = [GOLDEN / f"{name}.pth" for name in ("convtasnet_causal_cln_3src", "dprnn_cln_gru_uni_3src", "lstmtasnet")]
DPRNN = GOLDEN / "dprnn_gln_lstm_k2.pth"
DPRNN_CONFIG = {
    "num_spks": 2,
    "n_filters": 8,
    "kernel_size": 2,
    "mask_activation": "sigmoid",
    "separator_conf": {"bottleneck_size": 6, "hidden_size": 5, "chunk_size": 50, "n_blocks": 1},
}


def refused(capsys, *argv):
    """Returns the line with which a command refuses."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in argv])
    output = capsys.readouterr().err
    assert exit_.value.code == 2, output
    assert output.count("\n") == 1, output
    return output


def changed(tmp_path, path=DPRNN, **changes):
    """Writes a golden checkpoint with changes: of `model_args`, of `state_dict`, or of the top."""
    content = read_torch_file(path)
    for key, value in changes.items():
        if isinstance(value, dict):
            content[key].update(value)
            for name in [name for name, new in value.items() if new is ...]:
                del content[key][name]
        else:
            content[key] = value
    write_torch_file(tmp_path / "in.pth", content)
    return tmp_path / "in.pth"


def load(expdir):
    model = build_model(read_resolved(expdir / "config.yaml"))
    load_parameters(model, expdir / "checkpoints" / "best.ckpt")
    return model.set_train(False)


@pytest.mark.parametrize("path", few(MODELS, *SHOWN), ids=lambda path: path.stem)
def test_converted_model_gives_asteroids_estimate_and_goes_back(path, tmp_path):
    golden = np.load(path.with_suffix(".npz"))
    main([str(path), str(tmp_path / "exp" / "it")])
    expdir = tmp_path / "exp" / "it"
    assert sorted(p.name for p in expdir.rglob("*")) == ["best.ckpt", "checkpoints", "config.yaml", "model.json"]
    assert [p.name for p in expdir.parent.iterdir()] == ["it"]
    model = load(expdir)
    if not read_torch_file(path)["model_args"].get("dropout"):  # theirs was training, with its dropout at work
        estimate = model(Tensor(golden["mixture"])).asnumpy()
        assert np.abs(estimate - golden["estimate"]).max() < 1e-5 * np.abs(golden["estimate"]).max()

    main(["--to", "asteroid", str(expdir), str(tmp_path / "back.pth")])
    before, after = read_torch_file(path), read_torch_file(tmp_path / "back.pth")
    before["model_args"].pop("rnn_type", None), after["model_args"].pop("rnn_type", None)
    assert after["model_name"] == before["model_name"]
    assert after["model_args"] == before["model_args"]
    assert after["state_dict"].keys() == before["state_dict"].keys()
    for name, value in before["state_dict"].items():
        other = after["state_dict"][name]
        assert (other.dtype, other.shape, other.tobytes()) == (value.dtype, value.shape, value.tobytes()), name


@pytest.mark.parametrize("name", ["published.pth", "published_parallel.pth"])
def test_what_asteroid_publishes_is_converted(name, tmp_path):
    main([str(DPRNN.parents[1] / "convert" / name), str(tmp_path / "it")])
    check_estimate(tmp_path / "it", np.load(DPRNN.with_suffix(".npz")))


def test_what_lightning_saves_is_converted_with_a_mapping(tmp_path):
    names = [[f"model.{rule.theirs}", rule.ours] for rule in architectures()["dprnn"].rules]
    path = write_mapping(tmp_path, {"config": DPRNN_CONFIG, "names": names, "key": "state_dict"})
    main([str(DPRNN.parents[1] / "convert" / "lightning.ckpt"), str(tmp_path / "it"), "--mapping", str(path)])
    golden = np.load(DPRNN.with_suffix(".npz"))
    estimate = load(tmp_path / "it")(Tensor(golden["mixture"])).asnumpy()
    difference = np.abs(estimate - golden["estimate"]).max() / np.abs(golden["estimate"]).max()
    assert 1e-5 < difference < 0.02  # parameters of 8 bits


def test_facts_of_the_model(tmp_path):
    main([str(DPRNN), str(tmp_path / "it")])
    facts = json.loads((tmp_path / "it" / "model.json").read_text())
    values = read_torch_file(DPRNN)["state_dict"].values()
    assert facts == {"parameters": sum(value.size for value in values), "converted_from": DPRNN.name}
    config = read_resolved(tmp_path / "it" / "config.yaml")
    assert (config.sample_rate, config.num_spks, config.kernel_size, config.mask_activation) == (8000, 2, 2, "sigmoid")
    assert config.lr == make_config({}, "x").lr  # what a checkpoint does not say has its default


def test_arguments_that_older_files_leave_out_are_asteroids_defaults(tmp_path):
    gone = dict.fromkeys(("use_mulcat", "encoder_activation", "hop_size", "fb_name", "dropout", "sample_rate"), ...)
    path = changed(tmp_path, model_args=gone)
    main([str(path), str(tmp_path / "it"), "--sample_rate", "16000"])
    config = read_resolved(tmp_path / "it" / "config.yaml")
    assert (config.sample_rate, config.encoder_activation) == (16000, "linear")


def test_separators_say_which_model_of_asteroids_they_are():
    found = architectures()
    names = {separator: architecture.name for separator, architecture in found.items()}
    assert names == {"dprnn": "DPRNNTasNet", "tcn": "ConvTasNet", "rnn": "LSTMTasNet", "dptnet": "DPTNet"}
    for separator, architecture in found.items():
        assert set(architecture.options.values()) == set(SEPARATORS.options(separator))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": "DPRNNTasNed"}, r"no model 'DPRNNTasNed' here \(did you mean 'DPRNNTasNet'"),
        ({"model_args": {"use_mulcat": True}}, "use_mulcat=True has no equal here"),
        ({"model_args": {"mask_act": "softmax"}}, "mask_act='softmax' has no equal"),  # theirs is over the features
        ({"model_args": {"norm_type": "bN"}}, "norm_type='bN' has no equal"),
        ({"model_args": {"fb_name": "STFTFB"}}, "fb_name='STFTFB' has no equal"),
        ({"model_args": {"out_chan": 4}}, "out_chan=4 has no equal"),
        ({"model_args": {"magic": 3}}, "argument magic=3 of the model is unknown"),
        ({"model_args": {"magic": [3]}}, "argument magic of the model is a list"),
        ({"model_args": {"n_filters": np.zeros(2)}}, "argument n_filters of the model is a ndarray"),
        ({"model_args": {"sample_rate": "fast"}}, "sample_rate: expected a whole number, got text 'fast'"),
        ({"model_args": {"sample_rate": ...}}, "does not say its sample rate; give --sample_rate"),
        ({"model_args": {"n_src": ...}}, "has no n_src"),
        ({"model_args": {"n_src": 7}}, "num_spks: must be .* at most 5, got 7"),
        ({"model_args": {"hid_size": 6}}, r"parameter separator\..*intra_rnn.* has shape \(20, 6\), the model wants"),
        ({"model_args": {"n_repeats": 2}}, r"parameter separator\.blocks\.1\..* of the model is missing"),
        ({"state_dict": {"masker.mask_net.weight": ...}}, r"parameter separator\.mask\.weight of the model is missing"),
        ({"state_dict": {"masker.extra": np.zeros(2)}}, "parameter masker.extra does not belong to a DPRNNTasNet"),
        ({"state_dict": {"masker.net.1.inter_norm.beta": np.zeros(6)}}, r"blocks\.1\.inter_norm\.beta is not one of"),
        ({"state_dict": {"masker.net.0.inter_norm.beta": np.zeros(7)}}, r"has shape \(7,\), the model wants \(6,\)"),
        ({"state_dict": {"masker.net.0.inter_norm.beta": np.zeros(6, int)}}, "holds int64, expected"),
        ({"state_dict": {"masker.net.0.inter_norm.beta": np.full(6, np.nan)}}, "holds NaN or infinity"),
        ({"state_dict": {"masker.net.0.inter_norm.beta": 3}}, "is no tensor but a int"),
        ({"state_dict": 3}, "state_dict is no dictionary"),
        ({"model_args": 3}, "model_args is no dictionary"),
    ],
)
def test_wrong_checkpoint_is_one_line_and_nothing_is_written(changes, message, tmp_path, capsys):
    path = changed(tmp_path, **changes)
    line = refused(capsys, path, tmp_path / "new" / "it")
    assert str(path) in line
    assert re.search(message, line), line
    assert [p.name for p in tmp_path.iterdir()] == ["in.pth"]


def test_broken_and_foreign_files(tmp_path, capsys):
    path = tmp_path / "in.pth"
    path.write_bytes(DPRNN.read_bytes()[:5000])
    assert "not a whole PyTorch checkpoint" in refused(capsys, path, tmp_path / "it")
    path.write_text("hello")
    assert "not a whole PyTorch file" in refused(capsys, path, tmp_path / "it")
    write_torch_file(path, {"w": np.zeros(2)})
    assert "no checkpoint of Asteroid's serialize(); give --mapping" in refused(capsys, path, tmp_path / "it")
    assert "no such file" in refused(capsys, tmp_path / "none.pth", tmp_path / "it")
    assert [p.name for p in tmp_path.iterdir()] == ["in.pth"]


def test_what_is_there_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "it").mkdir()
    assert "is already there" in refused(capsys, DPRNN, tmp_path / "it")
    assert list((tmp_path / "it").iterdir()) == []
    main([str(DPRNN), str(tmp_path / "exp")])
    (tmp_path / "out.pth").write_text("mine")
    assert "is already there" in refused(capsys, "--to", "asteroid", tmp_path / "exp", tmp_path / "out.pth")
    assert (tmp_path / "out.pth").read_text() == "mine"


def test_models_that_asteroid_has_not(tmp_path, capsys):
    assert "config.yaml is missing" in refused(capsys, "--to", "asteroid", tmp_path, tmp_path / "out.pth")
    main([str(DPRNN), str(tmp_path / "exp")])
    config = tmp_path / "exp" / "config.yaml"
    config.write_text(config.read_text().replace("mask_activation: sigmoid", "mask_activation: softmax"))
    line = refused(capsys, "--to", "asteroid", tmp_path / "exp", tmp_path / "out.pth")
    assert "mask_activation softmax has no equal in Asteroid's dprnn; what has: relu, sigmoid" in line
    assert not (tmp_path / "out.pth").exists()


def test_to_asteroid_takes_the_checkpoint_that_the_experiment_decodes(tmp_path):
    expdir = tmp_path / "exp"
    main([str(DPRNN), str(expdir)])
    model = load(expdir)
    best = model.decoder.weight.asnumpy()
    for name, added in (("average", 1), ("other", 2)):
        model.decoder.weight.set_data(Tensor(best + added))
        save_parameters(model, expdir / "checkpoints" / f"{name}.ckpt")
    config = read_resolved(expdir / "config.yaml")
    for number, (changes, added) in enumerate(
        [
            ({}, 0),
            ({"decode_checkpoint": "average"}, 1),
            ({"decode_checkpoint": "average", "model_path": str(expdir / "checkpoints" / "other.ckpt")}, 2),
        ]
    ):
        save_config(dataclasses.replace(config, average_best=3, **changes), expdir / "config.yaml")
        out = tmp_path / f"{number}.pth"
        main(["--to", "asteroid", str(expdir), str(out)])
        found = read_torch_file(out)["state_dict"]["decoder.filterbank._filters"]
        np.testing.assert_array_equal(found.reshape(best.shape), best + np.float32(added))


@pytest.fixture
def theirs(tmp_path):
    """A state dict with names of its own, its mapping file, and Asteroid's estimate for the mixture."""
    content = read_torch_file(DPRNN)["state_dict"]
    state = {name.replace("masker.", "net.").replace("_RNN.rnn.", ".lstm."): v for name, v in content.items()}
    state["net.counter"] = np.array(3)
    mapping = {
        "config": DPRNN_CONFIG,
        "names": [
            ["encoder.filterbank._filters", "encoder.weight"],
            ["decoder.filterbank._filters", "decoder.weight"],
            ["net.bottleneck.0.*", "separator.input_norm.*"],
            ["net.bottleneck.1.*", "separator.bottleneck.*"],
            ["net.net.#.intra.lstm.*", "separator.blocks.#.intra_rnn.*"],
            ["net.net.#.inter.lstm.*", "separator.blocks.#.inter_rnn.*"],
            ["net.net.#.intra_linear.*", "separator.blocks.#.intra_dense.*"],
            ["net.net.#.inter_linear.*", "separator.blocks.#.inter_dense.*"],
            ["net.net.#.*", "separator.blocks.#.*"],
            ["net.first_out.0.weight", "separator.prelu.weight"],
            ["net.first_out.1.*", "separator.expand.*"],
            ["net.net_out.0.*", "separator.output.*"],
            ["net.net_gate.0.*", "separator.gate.*"],
            ["net.mask_net.*", "separator.mask.*"],
        ],
        "ignore": ["net.counter"],
    }
    return state, mapping, np.load(DPRNN.with_suffix(".npz"))


def write_mapping(tmp_path, mapping):
    path = tmp_path / "mapping.yaml"
    path.write_text(yaml.safe_dump(mapping))
    return path


def check_estimate(expdir, golden):
    estimate = load(expdir)(Tensor(golden["mixture"])).asnumpy()
    assert np.abs(estimate - golden["estimate"]).max() < 1e-5 * np.abs(golden["estimate"]).max()


def test_plain_state_dict_below_a_key(theirs, tmp_path):
    state, mapping, golden = theirs
    write_torch_file(tmp_path / "in.pt", {"model": {"best": state}, "epoch": 3})
    path = write_mapping(tmp_path, {**mapping, "key": "model.best"})
    main([str(tmp_path / "in.pt"), str(tmp_path / "it"), "--mapping", str(path)])
    check_estimate(tmp_path / "it", golden)


def test_folder_of_state_dicts(theirs, tmp_path):
    state, mapping, golden = theirs
    folder = tmp_path / "save"
    for file in ("encoder", "net", "decoder"):
        part = {name.removeprefix(f"{file}."): v for name, v in state.items() if name.startswith(f"{file}.")}
        write_torch_file(folder / f"{file}.ckpt", part)
    path = write_mapping(tmp_path, {**mapping, "files": ["encoder.ckpt", "net.ckpt", "decoder.ckpt"]})
    main([str(folder), str(tmp_path / "it"), "--mapping", str(path)])
    check_estimate(tmp_path / "it", golden)


def test_mindspore_checkpoint(theirs, tmp_path, capsys):
    state, mapping, golden = theirs
    stored = [{"name": name, "data": Tensor(value)} for name, value in state.items()]
    ms.save_checkpoint(stored, str(tmp_path / "in.ckpt"))
    path = write_mapping(tmp_path, mapping)
    main([str(tmp_path / "in.ckpt"), str(tmp_path / "it"), "--mapping", str(path)])
    check_estimate(tmp_path / "it", golden)
    (tmp_path / "in.ckpt").write_bytes(b"\xff" * 1000)
    assert "nor a whole .ckpt" in refused(capsys, tmp_path / "in.ckpt", tmp_path / "new", "--mapping", path)


REFERENCE_NAMES = {
    "encoder.weight": "encoder.conv1d.weight",
    "separator.bottleneck.weight": "separation.conv1d.weight",
    "separator.prelu.weight": "separation.prelu.a",
    "separator.expand.weight": "separation.conv2d.weight",
    "separator.expand.bias": "separation.conv2d.bias",
    "separator.output.weight": "separation.output.0.weight",
    "separator.output.bias": "separation.output.0.bias",
    "separator.gate.weight": "separation.output_gate.0.weight",
    "separator.gate.bias": "separation.output_gate.0.bias",
    "separator.mask.weight": "separation.end_conv1x1.weight",
    "decoder.weight": "decoder.conv1dTranspose.weight",
}
CONVOLUTIONS = {"encoder.weight": (1, 2), "decoder.weight": (1, 2), "separator.expand.weight": (2, 3)}


def reference_checkpoint(folder, model, *, first_norm=None, left_out=(), **more):
    """Writes the parameters of one of our models as the 2022 implementation stores its own, and gives the file."""
    stored = {}
    for parameter in model.get_parameters():
        name, value = parameter.name, parameter.asnumpy()
        if "norm" in name or name == "separator.bottleneck.bias":
            continue
        if name.startswith("separator.blocks"):
            theirs = name.replace("separator.blocks", "separation.dual_rnn").replace("_dense", "_linear")
        else:
            theirs = REFERENCE_NAMES[name]
        stored[theirs] = np.expand_dims(value, CONVOLUTIONS.get(name, ())) if theirs not in left_out else None
    for which in ("norm", "norm1") if first_norm else ():
        gamma, beta = first_norm if which == "norm1" else (np.ones(8), np.zeros(8))
        stored |= {f"separation.{which}.gamma": gamma, f"separation.{which}.beta": beta}
    stored |= {"moment1.encoder.conv1d.weight": np.ones(3), "beta1_power": np.ones(1), "global_step": np.ones(1)} | more
    saved = [{"name": k, "data": Tensor(np.float32(v))} for k, v in stored.items() if v is not None]
    ms.save_checkpoint(saved, str(folder / "DPRNN-100_445.ckpt"))
    return folder / "DPRNN-100_445.ckpt"


@pytest.fixture(scope="module")
def reference():
    """A small model of the reference's kind, whose norms are the identity's."""
    model = build_model(
        make_config(
            {
                "num_spks": 3,
                "n_filters": 8,
                "kernel_size": 4,
                "encoder_activation": "relu",
                "separator_conf": {"bottleneck_size": 6, "hidden_size": 5, "chunk_size": 250, "n_blocks": 2},
            },
            "test",
        )
    )
    model.separator.bottleneck.bias.set_data(ms.ops.zeros(6))
    return model.set_train(False)


def test_checkpoint_of_the_reference(reference, tmp_path):
    main([str(reference_checkpoint(tmp_path, reference)), str(tmp_path / "it")])
    config = read_resolved(tmp_path / "it" / "config.yaml")
    assert (config.sample_rate, config.num_spks, config.kernel_size, config.n_filters) == (8000, 3, 4, 8)
    assert config.separator_conf["n_blocks"] == 2
    mixture = Tensor(np.random.default_rng(0).standard_normal((1, 1003)).astype(np.float32))
    np.testing.assert_array_equal(load(tmp_path / "it")(mixture).asnumpy(), reference(mixture).asnumpy())


def test_first_norm_of_the_reference_is_the_trained_one(reference, tmp_path):
    trained = np.arange(8) / 8 + 2, np.arange(8) / 4
    main([str(reference_checkpoint(tmp_path, reference, first_norm=trained)), str(tmp_path / "it")])
    norm = load(tmp_path / "it").separator.input_norm
    np.testing.assert_array_equal([norm.gamma.asnumpy(), norm.beta.asnumpy()], np.float32(trained))


def test_wrong_checkpoint_of_the_reference_is_one_line(reference, tmp_path, capsys):
    path = reference_checkpoint(tmp_path, reference, **{"separation.extra": np.ones(2)})
    assert "separation.extra is none of the 2022 DPRNN's" in refused(capsys, path, tmp_path / "it")
    path = reference_checkpoint(tmp_path, reference, left_out=("separation.prelu.a",))
    assert "parameter separator.prelu.weight of the model is missing" in refused(capsys, path, tmp_path / "it")
    ms.save_checkpoint([{"name": "a", "data": Tensor(np.ones(2))}], str(tmp_path / "a.ckpt"))
    assert "not a .ckpt of the 2022 DPRNN" in refused(capsys, tmp_path / "a.ckpt", tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_parameter_that_theirs_has_not_may_be_zero(theirs, tmp_path):
    state, mapping, _ = theirs
    del state["net.bottleneck.1.bias"]
    write_torch_file(tmp_path / "in.pt", state)
    path = write_mapping(tmp_path, {**mapping, "zeros": ["separator.bottleneck.bias"]})
    main([str(tmp_path / "in.pt"), str(tmp_path / "it"), "--mapping", str(path)])
    assert not load(tmp_path / "it").separator.bottleneck.bias.asnumpy().any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": [["a.#", "b.*"]]}, "'a.#' and 'b.*' must have the same"),
        ({"names": ["a"]}, "expected [theirs, ours]"),
        ({"nmes": []}, "unknown key 'nmes' (did you mean 'names'?)"),
        ({"config": {}}, "'config' is missing or empty"),
        ({"config": {"separator": "dprn"}}, "no separator 'dprn' (did you mean 'dprnn'?)"),
        ({"config": {"chunk": 3}}, "unknown key 'chunk'"),
        ({"ignore": []}, "parameter net.counter is not in"),
        ({"key": "model"}, "has no 'model'"),
        ({"zeros": ["separator.x"]}, "zeros: separator.x is not a parameter of the model"),
        ({"zeros": ["encoder.weight"]}, "zeros: encoder.weight is in the checkpoint"),
        ({"names": [["*", "separator.*"]]}, "parameter encoder.weight of the model is missing"),
        ({"names": [["net.*", "a.*"], ["encoder.filterbank.*", "x.*"], ["decoder.filterbank.*", "x.*"]]}, "two para"),
    ],
)
def test_wrong_mapping_is_one_line(changes, message, theirs, tmp_path, capsys):
    state, mapping, _ = theirs
    write_torch_file(tmp_path / "in.pt", state)
    path = write_mapping(tmp_path, {**mapping, **changes})
    assert message in refused(capsys, tmp_path / "in.pt", tmp_path / "it", "--mapping", path)
    assert not (tmp_path / "it").exists()
