"""Public models by name: from caches as others leave them, without a network, once; every mistake is one line."""

import gzip
import json
import re
import socket
import subprocess
import sys
import types
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import soundfile
from hub_cache import COMMIT, add_model, copy_tree, replace
from mindspore import Tensor

from mindaudio_ext.bin.convert import main as convert
from mindaudio_ext.bin.separate import main as separate
from mindaudio_ext.config import read_resolved
from mindaudio_ext.convert.torch_file import read_torch_file
from mindaudio_ext.convert.torch_writer import write_torch_file
from mindaudio_ext.hub import model as hub_model
from mindaudio_ext.hub.model import public_model
from mindaudio_ext.inference.separator import Separator

ROOT = Path(__file__).parents[2]
ASTEROID = ROOT / "tests" / "golden"
DPRNN = ASTEROID / "dprnn_gln_lstm_k2.pth"
NEWER = (
    "sepformer_2spk", "sepformer_3spk", "resepformer_2spk", "resepformer_3spk", "skim_speechbrain_2spk",
    "skim_noncausal", "skim_noncausal_overlap", "skim_causal_3spk", "skim_causal_mem_c", "tdanet_2spk", "tdanet_3spk",
    "tdanet_best_2spk", "tiger_2spk", "tiger_3spk", "tfgridnetv2", "tfgridnetv2_ks_equals_hs",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, no package huggingface_hub, and a network that refuses."""

    def refused(*_, **__):
        raise AssertionError("the network was asked")

    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "ASTEROID_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return tmp_path


def hub(home):
    return home / ".cache/huggingface/hub"


def ours(home, repository, commit=COMMIT):
    return home / f".cache/mindaudio_ext/hub/models--{repository.replace('/', '--')}/snapshots/{commit}"


def check_estimate(expdir, golden):
    model = Separator.from_expdir(expdir).model
    ms.set_context(mode=ms.PYNATIVE_MODE)  # without compiling
    estimate = model(Tensor(golden["mixture"])).asnumpy()
    assert np.abs(estimate - golden["estimate"]).max() < 1e-5 * np.abs(golden["estimate"]).max()


@pytest.mark.needs("speech_data")
@pytest.mark.parametrize("name", NEWER)
def test_models_of_other_toolkits_give_their_estimates(name, home, speech_data):
    files = speech_data / "newer_golden" / name
    add_model(hub(home), f"someone/{name}", files)
    expdir = public_model(f"hf:someone/{name}")
    assert expdir == ours(home, f"someone/{name}")
    check_estimate(expdir, np.load(ASTEROID / "newer" / f"{name}.npz"))


@pytest.mark.needs("speech_data")
@pytest.mark.parametrize("option", ["normalize_variance", "normalize_variance_per_ch"])
def test_espnets_skim_at_one_level(option, home, speech_data):
    """The model is given the mixture over its standard deviation, of n - 1, and its estimates are multiplied by it."""
    snapshot = add_model(hub(home), "a/b", speech_data / "newer_golden" / "skim_noncausal")
    config = "exp/enh_train_enh_skim_noncausal/config.yaml"
    text = (snapshot / config).read_text()
    replace(snapshot, config, text.replace("model_conf:\n", f"model_conf:\n  {option}: true\n").encode())
    expdir = public_model("hf:a/b")
    assert read_resolved(expdir / "config.yaml").normalize_variance

    golden = np.load(ASTEROID / "newer" / "skim_noncausal.npz")
    level = golden["mixture"].std(axis=1, ddof=1, keepdims=True)  # [B, 1]
    model = Separator.from_expdir(expdir).model
    ms.set_context(mode=ms.PYNATIVE_MODE)  # without compiling
    estimate = model(Tensor(3 * golden["mixture"])).asnumpy()
    model.normalize_variance = False
    expected = 3 * level[:, None] * model(Tensor(golden["mixture"] / level)).asnumpy()
    np.testing.assert_allclose(estimate, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(estimate / 3 - golden["estimate"]).max() > 0.01 * np.abs(golden["estimate"]).max()


@pytest.mark.parametrize(
    "name", ["dprnn_gln_lstm_k2", "dprnn_cln_gru_uni_3src", "convtasnet_gln", "convtasnet_causal_cln_3src", "dptnet"]
)
def test_asteroids_models_give_its_estimates(name, home):
    add_model(home / ".cache/torch/asteroid", f"someone/{name}", ASTEROID / f"{name}.pth")
    expdir = public_model(f"hf:someone/{name}")
    if read_torch_file(ASTEROID / f"{name}.pth")["model_args"].get("dropout"):
        return  # that estimate was made with its dropout at work
    check_estimate(expdir, np.load(ASTEROID / f"{name}.npz"))


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_second_call_converts_nothing(home, monkeypatch):
    snapshot = add_model(hub(home), "a/b", DPRNN)
    expdir = public_model("hf:a/b")
    assert {path.name for path in expdir.rglob("*")} == {
        "README.md", "best.ckpt", "checkpoints", "config.yaml", "model.json"
    }  # fmt: skip
    before = files_of(home / ".cache/mindaudio_ext")
    monkeypatch.setattr("mindaudio_ext.convert.public.convert_public", None)
    for name in ("hf:a/b", "hf:a/b@main", f"hf:a/b@{COMMIT}"):
        assert public_model(name) == expdir
    assert files_of(home / ".cache/mindaudio_ext") == before
    replace(snapshot, "pytorch_model.bin", b"")  # what was converted does not need it
    assert public_model("hf:a/b") == expdir
    for path in sorted(snapshot.parents[1].rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert public_model("hf:a/b") == expdir


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, ".cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "{}/x"}, "x/huggingface/hub"),
        ({"XDG_CACHE_HOME": "{}/x", "HF_HOME": "{}/h"}, "h/hub"),
        ({"HF_HOME": "{}/h", "HF_HUB_CACHE": "{}/c"}, "c"),
        ({"HUGGINGFACE_HUB_CACHE": "{}/o"}, "o"),
        ({"ASTEROID_CACHE": "~/a"}, "a"),
    ],
)
def test_caches_are_where_the_variables_say(variables, place, home, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home))
    add_model(home / place, "a/b", DPRNN)
    converted = []
    monkeypatch.setattr(hub_model, "_converted", lambda name, snapshot, *_: converted.append(snapshot) or home)
    monkeypatch.setattr(hub_model, "_terms", str)
    public_model("hf:a/b")
    assert converted == [home / place / "models--a--b/snapshots" / COMMIT]
    cache = home / ("x" if "XDG_CACHE_HOME" in variables else ".cache") / "mindaudio_ext/hub"
    assert (cache / "models--a--b/refs/main").is_file()


def test_revisions(home):
    other = "f" * 40
    add_model(hub(home), "a/b", DPRNN)
    add_model(hub(home), "a/b", ASTEROID / "convtasnet_gln.pth", commit=other, ref="v1")
    assert public_model("hf:a/b@v1") == ours(home, "a/b", other)
    assert read_resolved(ours(home, "a/b", other) / "config.yaml").separator == "tcn"
    assert public_model("hf:a/b") == ours(home, "a/b")
    assert read_resolved(ours(home, "a/b") / "config.yaml").separator == "dprnn"


def test_licence_and_data_are_told_and_kept(home, caplog):
    add_model(hub(home), "a/b", DPRNN)
    with caplog.at_level("INFO", logger="mindaudio_ext"):
        expdir = public_model("hf:a/b")
    assert f"hf:a/b: licence cc-by-sa-4.0, trained on Libri2Mix, WHAM!; its card is {expdir}/README.md" in caplog.text
    card = (expdir / "README.md").read_text()
    assert "| licence | cc-by-sa-4.0 |" in card
    assert "Trained by somebody; non-commercial." in card
    facts = json.loads((expdir / "model.json").read_text())
    assert facts["converted_from"] == f"hf:a/b@{COMMIT}"
    assert (facts["licence"], facts["training_data"]) == ("cc-by-sa-4.0", ["Libri2Mix", "WHAM!"])


def test_without_a_card_asteroids_file_tells_them(home):
    add_model(hub(home), "a/b", ROOT / "tests/convert/published.pth", card=None)
    facts = json.loads((public_model("hf:a/b") / "model.json").read_text())
    assert (facts["licence"], facts["training_data"]) == ("CC BY 4.0", ["Libri2Mix"])


def test_a_rate_that_no_file_says(home):
    content = read_torch_file(DPRNN)
    del content["model_args"]["sample_rate"]
    write_torch_file(home / "in.bin", content)
    add_model(hub(home), "a/b", home / "in.bin")
    assert read_resolved(public_model("hf:a/b") / "config.yaml").sample_rate == 8000


def line_of(capsys, command, *argv):
    """Returns the one line with which a command refuses, status 2."""
    with pytest.raises(SystemExit) as exit_:
        command([str(argument) for argument in argv])
    lines = [line for line in capsys.readouterr().err.splitlines() if ": is converted, once, into " not in line]
    assert exit_.value.code == 2, lines
    assert len(lines) == 1, lines
    return lines[0]


def refused(capsys, home, name="hf:a/b"):
    line = line_of(capsys, convert, name)
    assert not list((home / ".cache/mindaudio_ext").rglob("best.ckpt"))
    return line


@pytest.mark.parametrize(
    "name", ["hf:", "hf:b", "hf:a/", "hf:/b", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@", "hf:a/b@../x", "hf:a/b@/x"]
)
def test_no_name_of_a_model(name, home, capsys):
    assert "is no name of a public model; write hf:ORG/NAME" in refused(capsys, home, name)


def test_a_model_that_is_in_no_cache(home, capsys):
    line = refused(capsys, home)
    assert f"hf:a/b: is not in {hub(home)} or {home}/.cache/torch/asteroid; to fetch it, pip install" in line
    assert "hf:a/b: is not in" in line_of(capsys, separate, "x.wav", "-o", home / "out", "--model", "hf:a/b")
    assert not (home / "out").exists()


def test_a_revision_that_is_not_there(home, capsys):
    add_model(hub(home), "a/b", DPRNN)
    assert f"has no revision v2 of it, but main, {COMMIT}; to fetch it" in refused(capsys, home, "hf:a/b@v2")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 130\n"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"pytorch_model.bin": POINTER}, "pytorch_model.bin: is a pointer of Git LFS"),
        ({"pytorch_model.bin": DPRNN.read_bytes()[:3000]}, "not a whole PyTorch checkpoint"),
        ({"last_best_checkpoint": b"x.pt"}, "no model of Asteroid's, SpeechBrain's, .* holds README.md, last_best_che"),
        ({"config.json": b"{}"}, "has a config.json, but neither model.safetensors nor"),
        ({"config.json": b"{}", "model.safetensors": POINTER}, "model.safetensors: is a pointer of Git LFS"),
        ({"config.json": b"{}", "model.safetensors": b"\xff" * 20}, "not a whole safetensors file"),
        ({"config.json": b"{", "model.safetensors": b"\x02" + bytes(7) + b"{}"}, "config.json: not JSON"),
        ({"config.json": b"{}", "model.safetensors": b"\x02" + bytes(7) + b"{}"}, "no model with these arguments here"),
        ({"hyperparams.yaml": b"a: [", "encoder.ckpt": b""}, "hyperparams.yaml: not YAML"),
        ({"hyperparams.yaml": b"a: 1"}, "hyperparams.yaml: no separation model of SpeechBrain's"),
        ({"meta.yaml": b"files: {model_file: ../../x}"}, "has no yaml_files: train_config"),
        ({"meta.yaml": b"yaml_files: {train_config: ../../x}"}, "train_config: ../../x is not below the folder"),
        ({"meta.yaml": b"yaml_files: {train_config: /etc/passwd}"}, "/etc/passwd is not below the folder"),
        ({"meta.yaml": b"yaml_files: {train_config: c.yaml}"}, "has no c.yaml, which belongs to it"),
    ],
)
def test_files_that_are_none_of_a_model(files, message, home, capsys):
    for name, content in files.items():
        write(home / "files" / name, content)
    add_model(hub(home), "a/b", home / "files")
    line = refused(capsys, home)
    assert re.search(message, line), line


@pytest.fixture
def sepformer(home, speech_data):
    """A snapshot of SpeechBrain's SepFormer."""
    return add_model(hub(home), "a/b", speech_data / "newer_golden" / "sepformer_2spk")


@pytest.mark.needs("speech_data")
@pytest.mark.parametrize("part", ["encoder.ckpt", "masknet.ckpt", "decoder.ckpt", "hyperparams.yaml"])
def test_a_download_that_was_broken_off(part, sepformer, home, capsys):
    replace(sepformer, part, None)
    assert f"has no {part}, which belongs to it; was its download broken off?; to fetch it" in refused(capsys, home)


@pytest.mark.needs("speech_data")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("K: 20", "K: !ref <K> // 2", "separator_conf.chunk_size"),
        ("K: 20", "K: !apply:os.system ['touch /tmp/never']", "separator_conf.chunk_size"),
        ("K: 20", "K: 20\n  magic: 3", r"argument masknet.magic=3 of the model is unknown"),
        ("norm: ln", "norm: gln", "masknet.norm='gln' has no equal here; what has: ln"),
        ("norm_before: true", "norm_before: false", "norm_before=False has no equal"),
        ("SBTransformerBlock", "SBRNNBlock", "no model 'Dual_Path_Model of SBRNNBlock' here"),
        ("nhead: 2", "nhead: 3", "must be a multiple of|multiple"),
        ("in_channels: 8", "in_channels: 9", "in_channels=9 has no equal here; what has: 8"),
        ("num_layers: 2", "num_layers: x", "n_blocks|n_layers"),
        ("d_ffn: 12", "d_ffn: 13", r"has shape \(12, 8\), the model wants \(13, 8\)"),
        ("num_spks: 2", "num_spks: 3", "has shape"),
        ("sample_rate: 8000", "sample_rate: !new:os.system", "sample_rate"),
        ("sample_rate: 8000", "", "does not say its sample rate; convert it with --sample_rate"),
        ("sample_rate: 8000", "sample_rate: 8000\nx: !!python/object/apply:os.system ['touch /tmp/never']", None),
    ],
)
def test_hyperparams_that_do_not_fit(old, new, message, sepformer, home, capsys):
    text = (sepformer / "hyperparams.yaml").read_text()
    assert old in text
    replace(sepformer, "hyperparams.yaml", text.replace(old, new).encode())
    if message is None:  # a tag that nothing needs is read over
        assert public_model("hf:a/b") == ours(home, "a/b")
    else:
        line = refused(capsys, home)
        assert re.search(message, line), line
    assert not Path("/tmp/never").exists()


@pytest.mark.needs("speech_data")
def test_references_to_references_end(sepformer, home, capsys):
    bomb = "".join(f"a{i}: {{x: !ref <a{i + 1}>, y: !ref <a{i + 1}>}}\n" for i in range(30))
    text = (sepformer / "hyperparams.yaml").read_text().replace("K: 20", "K: !ref <a0>") + bomb
    replace(sepformer, "hyperparams.yaml", text.encode())
    assert "has more arguments, or deeper ones, than any model" in refused(capsys, home)


@pytest.mark.needs("speech_data")
def test_parameters_of_another_model(sepformer, home, capsys):
    state = read_torch_file(sepformer / "masknet.ckpt")
    state["extra.weight"] = np.zeros(2, np.float32)
    write_torch_file(home / "x.ckpt", state)
    replace(sepformer, "masknet.ckpt", (home / "x.ckpt").read_bytes())
    assert "parameter masknet.extra.weight does not belong to a Dual_Path_Model" in refused(capsys, home)
    replace(sepformer, "masknet.ckpt", gzip.compress(b"x"))
    assert "not a whole PyTorch checkpoint" in refused(capsys, home)
    write_torch_file(home / "x.ckpt", {"prelu.weight": 3})
    replace(sepformer, "masknet.ckpt", (home / "x.ckpt").read_bytes())
    assert "prelu.weight is no tensor but a int" in refused(capsys, home)


def fake_hub(monkeypatch, snapshot_download):
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("RepositoryNotFoundError", "no such model on the hub, or it is private"),
        ("GatedRepoError", "is only for those whom its authors let in"),
        ("RevisionNotFoundError", "has no revision v9"),
        ("OfflineModeIsEnabled", "HF_HUB_OFFLINE forbids to fetch it"),
        ("LocalEntryNotFoundError", "no connection to the hub"),
        ("ConnectError", "it cannot be fetched: first line"),
    ],
)
def test_what_cannot_be_fetched(kind, message, home, capsys, monkeypatch):
    def snapshot_download(repository, **_):
        raise type(kind, (OSError,), {})("first line\nsecond line")

    fake_hub(monkeypatch, snapshot_download)
    assert message in refused(capsys, home, "hf:a/b@v9")


def test_fetched_when_no_cache_has_it_whole(home, monkeypatch):
    asked = []

    def snapshot_download(repository, *, revision, allow_patterns):
        asked.append((repository, revision))
        return str(add_model(hub(home), repository, DPRNN))

    fake_hub(monkeypatch, snapshot_download)
    assert public_model("hf:a/b") == ours(home, "a/b")
    assert public_model("hf:a/b") == ours(home, "a/b")
    write(home / "files/config.json", b"{}")
    add_model(hub(home), "c/d", home / "files", commit="e" * 40)
    assert public_model("hf:c/d") == ours(home, "c/d")
    assert asked == [("a/b", None), ("c/d", None)]


def test_commands_take_the_name(home, capsys):
    add_model(hub(home), "a/b", DPRNN)
    convert(["hf:a/b"])
    assert capsys.readouterr().out == f"{ours(home, 'a/b')}\n"
    convert(["hf:a/b", str(home / "exp/copy")])
    assert (home / "exp/copy/README.md").read_bytes() == (ours(home, "a/b") / "README.md").read_bytes()
    capsys.readouterr()
    assert "is already there" in line_of(capsys, convert, "hf:a/b", home / "exp/copy")
    assert "another --sample_rate" in line_of(capsys, convert, "hf:a/b", "--sample_rate", 16000)
    assert "needs OUT" in line_of(capsys, convert, "a.pth")
    soundfile.write(home / "mix.wav", 0.1 * np.random.default_rng(0).standard_normal(4000), 8000)
    separate([str(home / "mix.wav"), "-o", str(home / "out"), "--model", "hf:a/b"])
    assert sorted(path.name for path in (home / "out").glob("*.wav")) == ["mix_s1.wav", "mix_s2.wav"]
    assert "licence cc-by-sa-4.0" in capsys.readouterr().err
    assert Separator.load("hf:a/b").config.separator == "dprnn"


def test_run_sh_takes_the_name(home):
    """Stage 2 is left out with --pretrained, so this only makes the experiment."""
    add_model(hub(home), "a/b", DPRNN)
    recipe = copy_tree(ROOT / "egs/librimix/dprnn", home / "recipe")
    call = [
        "bash", str(ROOT / "run.sh"), "--recipe", str(recipe), "--stage", "2", "--stop_stage", "2", "--pretrained",
    ]  # fmt: skip
    done = subprocess.run([*call, "hf:a/b"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (recipe / "exp/a--b/config.yaml").is_file()
    assert "licence cc-by-sa-4.0" in done.stderr
    done = subprocess.run([*call, "hf:a/c"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "hf:a/c: is not in" in done.stderr
