"""The 310 kit as its command runs it: the same chunks, files, scores and messages whatever runs the graph."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from test_runner_310 import STUB, run_program
from tiny_experiment import files_of, make_data, make_experiment, make_kit, make_librimix_set

from mindaudio_ext.bin.export import main as export
from mindaudio_ext.bin.infer_310 import main
from mindaudio_ext.errors import InputError
from mindaudio_ext.export import backends, lite
from mindaudio_ext.export.io_lists import ChunkedUtterance, Layout, read_bin, read_list, write_list
from mindaudio_ext.export.kit import PROGRAMS, KitGraph, find_graph, read_kit, write_programs
from mindaudio_ext.export.kit_chunks import join, split_mixture

LENGTHS = {"a": 1500, "b": 2000, "c": 5003}  # chunks of 2000: 1, 1, 5


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "a folder é"
    make_experiment(folder / "tiny")
    make_data(folder / "test", LENGTHS)
    make_kit(folder / "tiny")
    return folder


def infer_310(folder, *options, graph="tiny_0.25s_ascend.mindir", test="test"):
    kit = folder / "tiny" / "export"
    main(["--kit", str(kit), str(kit / graph), str(folder / test), *map(str, options)])


def refused(capsys, *call, status=2, **named):
    with pytest.raises(SystemExit) as stopped:
        infer_310(*call, **named)
    error = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == status, error
    return error


@pytest.fixture
def fake_backend(monkeypatch):
    """Estimates c = (c + 1) x of every chunk x, by the name `host`; gives the shapes of the batches."""
    shapes = []

    def load(kit, graph, mindir):
        def run(chunks):
            shapes.append(chunks.shape)
            return np.stack([chunks, 2 * chunks], axis=1)

        return run

    monkeypatch.setitem(backends.BACKENDS, "host", load)
    return shapes


def test_all_three_steps(folder, fake_backend, capsys):
    """Estimates that are the mixture improve nothing: 0 dB, whatever their levels are."""
    infer_310(folder, "y", "--backend", "host")
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "Average SISNR improvement: 0.00"
    assert out[-2] == "test: the checkpoint on whole utterances (stage 4): 1.23 dB (3 utterances)"
    assert out[-3].startswith("test: 3 scored of 3, chunks joined, tiny_0.25s_ascend.mindir by host: ")
    assert fake_backend == [(4, 2000), (4, 2000)]
    made = folder / "tiny" / "export" / "infer_test"
    assert {path.split("/")[0] for path in files_of(made)} == {"inputs_2000", "host"}
    layout, utterances = read_list(made / "inputs_2000" / "inputs.txt")
    assert layout == Layout("float32", 2000, 2)
    assert [(each.key, each.num_samples, each.chunks) for each in utterances] == [
        ("a", 1500, 1),
        ("b", 2000, 1),
        ("c", 5003, 5),
    ]
    with open(made / "host" / "scores_test.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["key"], row["source"]) for row in rows] == [(key, source) for key in "abc" for source in "12"]
    assert max(abs(float(row["si_snri"])) for row in rows) < 0.01  # 16 bits
    results = (made / "host" / "RESULTS.md").read_text()
    assert "3 scored of 3" in results
    assert "Checkpoint: tiny_0.25s_ascend.mindir, backend host, chunks of 0.25 s joined, sha256" in results
    assert "`run_infer_310.sh tiny_0.25s_ascend.mindir test y --backend host`" in results
    assert str(folder) not in results


def test_wavs_are_whole_utterances_of_the_mixtures_length(folder, fake_backend):
    infer_310(folder, "--backend", "host")
    scp = (folder / "tiny/export/infer_test/host/separated_test/spk2.scp").read_text().splitlines()
    lengths = {line.split(" ", 1)[0]: soundfile.info(line.split(" ", 1)[1]).frames for line in scp}
    assert lengths == LENGTHS


def test_without_preprocessing_the_bins_are_used(folder, fake_backend, capsys):
    assert "inputs.txt: no such file; preprocessing makes it" in refused(capsys, folder, "n", "--backend", "host")
    infer_310(folder, "--step", "preprocess", "--backend", "host")
    assert fake_backend == []
    inputs = folder / "tiny/export/infer_test/inputs_2000"
    before = {path.name: path.stat().st_mtime_ns for path in inputs.iterdir()}
    infer_310(folder, "n", "--backend", "host")
    assert {path.name: path.stat().st_mtime_ns for path in inputs.iterdir()} == before
    assert len(fake_backend) == 2


def test_outputs_of_another_state_of_the_data_are_refused(folder, fake_backend, capsys):
    infer_310(folder, "--backend", "host")
    make_data(folder / "test", LENGTHS | {"b": 2001})
    error = refused(capsys, folder, "--backend", "host", "--step", "postprocess")
    assert "outputs.txt: is not of" in error
    assert "(b)" in error
    make_data(folder / "test", LENGTHS | {"d": 100})
    assert "(3 utterances)" in refused(capsys, folder, "--backend", "host", "--step", "postprocess")


def test_estimates_that_are_not_finite_are_named(folder, monkeypatch, capsys):
    def load(*_):
        return lambda chunks: np.full((4, 2, 2000), np.nan, np.float32)

    monkeypatch.setitem(backends.BACKENDS, "host", load)
    assert "000000.bin: the graph's estimates of a have NaN" in refused(capsys, folder, "--backend", "host")


def test_a_librimix_folder_is_a_test_set_too(folder, fake_backend, capsys):
    make_librimix_set(folder / "min" / "dev", lengths={"1-2_3-4": 3000, "5-6_7-8": 900})
    infer_310(folder, "y", "--backend", "host", test="min/dev")
    out = capsys.readouterr().out
    assert "dev: 2 scored of 2" in out
    assert "dev: the checkpoint on whole utterances (stage 4): not known" in out
    (folder / "min" / "dev").rename(folder / "min" / "test")  # the name of a set with scores, but not that set
    infer_310(folder, "y", "--backend", "host", test="min/test")
    assert "test: the checkpoint on whole utterances (stage 4): not known" in capsys.readouterr().out


def test_the_checkpoint_over_the_same_chunks(folder, capsys):
    """What the kit gives is what Separator gives, chunk by chunk."""
    from mindaudio_ext.inference.level import limit_peak
    from mindaudio_ext.inference.separator import Separator

    infer_310(folder, "--backend", "checkpoint")
    separator = Separator.from_expdir(folder / "tiny")
    mixture = soundfile.read(folder / "test/wav/c_wav.scp.wav", dtype="float32")[0]
    estimates = np.stack([separator.estimate(chunk) for chunk in split_mixture(mixture, 2000)])
    made = folder / "tiny/export/infer_test/checkpoint"
    np.testing.assert_array_equal(read_bin(made / "outputs/000002.bin", "float32", (5, 2, 2000)), estimates)
    expected = limit_peak(join(estimates, mixture))
    for source in (1, 2):
        wav = soundfile.read(made / "separated_test" / "wav" / f"000002_s{source}.wav", dtype="float32")[0]
        np.testing.assert_allclose(wav, expected[source - 1], atol=2**-15)
    (folder / "tiny").rename(folder / "moved")
    main(["--kit", str(folder / "moved/export"), str(folder / "moved/export/tiny_0.25s_host.mindir"),
          str(folder / "test"), "n", "--backend", "checkpoint"])  # fmt: skip
    (folder / "moved").rename(folder / "tiny")
    (folder / "tiny/checkpoints/best.ckpt").write_bytes(b"another")
    assert "best.ckpt: the kit's checkpoint is gone or another" in refused(capsys, folder, "--backend", "checkpoint")


def test_graphs_of_stage_5_reach_the_figure_of_the_checkpoint(tmp_path, capsys):
    """A real export, all the way; the checkpoint's figure is not zero, so that a wrong graph would show."""
    make_experiment(tmp_path / "tiny")
    make_data(tmp_path / "test", LENGTHS)
    export(["--expdir", str(tmp_path / "tiny"), "--data", str(tmp_path / "test"), "--export_batch", "2"])
    figures = {}
    for backend, role in (("checkpoint", "host"), ("host", "host"), ("numpy", "ascend")):
        infer_310(tmp_path, "--backend", backend, graph=f"tiny_0.25s_{role}.mindir")
        figures[backend] = float(capsys.readouterr().out.rsplit(maxsplit=1)[-1])
    assert abs(figures["checkpoint"]) > 0.1
    assert figures["host"] == pytest.approx(figures["checkpoint"], abs=0.01)
    assert figures["numpy"] == pytest.approx(figures["checkpoint"], abs=0.05)


@pytest.mark.needs("g++", "cmake")
def test_the_command_builds_and_runs_the_program(folder, tmp_path):
    """With the stand-in in the place of MindSpore Lite's package; run as a user does."""
    home = tmp_path / "lite home"
    (home / "runtime" / "lib").mkdir(parents=True)
    (home / "runtime" / "include").symlink_to(STUB / "include")
    library = home / "runtime" / "lib" / "libmindspore-lite.so"
    made = run_program("g++", "-std=c++17", "-shared", "-fPIC", "-I", STUB, STUB / "fake_lite.cc", "-o", library)
    assert made.returncode == 0, made.stderr
    kit = folder / "tiny" / "export"
    words = ("bash", kit / "run_infer_310.sh", kit / "tiny_0.25s_ascend.mindir", folder / "test", "y")
    result = run_program(*words, LITE_HOME=str(home))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "Average SISNR improvement: 0.00"
    assert "device: Ascend" in (kit / "infer_test" / "lite" / "RESULTS.md").read_text()

    (kit / "tiny_0.25s_ascend_310.mindir").write_text("4 2000 2 predict")  # what converter_lite would make
    words = ("bash", kit / "run_infer_310.sh", kit / "tiny_0.25s_ascend_310.mindir", folder / "test", "n")
    result = run_program(*words, LITE_HOME=str(home))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "inference failed: the device does not answer" in result.stderr
    result = run_program(*words, LITE_HOME=str(tmp_path))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "must be the folder of MindSpore Lite's package" in result.stderr
    wheel = tmp_path / "mindspore_lite"  # the folders and the library's name as in the Python wheel
    (wheel / "lib").mkdir(parents=True)
    (wheel / "include").symlink_to(STUB / "include")
    (wheel / "lib" / "libmindspore-extendrt_python.so").symlink_to(library)
    words = (
        "bash",
        kit / "run_infer_310.sh",
        kit / "tiny_0.25s_ascend.mindir",
        folder / "test",
        "n",
        "--device",
        "cpu",
    )
    result = run_program(*words, LITE_HOME=str(wheel))
    assert result.returncode == 0, result.stderr
    assert "tiny_0.25s_ascend.mindir by lite on cpu" in result.stdout
    assert "device: CPU" in (kit / "infer_test" / "lite_cpu" / "RESULTS.md").read_text()


FAKE_LITE = """
import types
import numpy as np

class ModelType:
    MINDIR = 0

class Context:
    def __init__(self):
        self.target, self.ascend = [], types.SimpleNamespace(device_id=None)

class Tensor:
    shape = [4, 2000]
    def set_data_from_numpy(self, values):
        self.values = values
    def get_data_to_numpy(self):
        return self.values

class Model:
    def build_from_file(self, path, model_type, context):
        assert (model_type, context.target) == (0, ["ascend"])
        if context.ascend.device_id == 7:
            raise RuntimeError("no such card")
        self.card, self.input = context.ascend.device_id, Tensor()
    def get_inputs(self):
        return [self.input]
    def predict(self, inputs):
        if self.card == 5:
            raise RuntimeError("does not answer")
        output = Tensor()
        output.set_data_from_numpy(np.stack([inputs[0].values, 2 * inputs[0].values], axis=1))
        return [output]
"""
"""MindSpore Lite's Python package as far as the kit uses it, with a graph (c + 1) x behind it."""


def test_the_python_package_of_lite(folder, monkeypatch, capsys):
    """In the Python of LITE_PYTHON; a module beside the runner takes the package's place."""
    monkeypatch.setenv("LITE_PYTHON", sys.executable)
    assert "mindspore_lite cannot be imported" in refused(capsys, folder, "--backend", "lite_python")
    (folder / "tiny/export/runner/mindspore_lite.py").write_text(FAKE_LITE)
    infer_310(folder, "--backend", "lite_python", "--device_id", 2)
    assert capsys.readouterr().out.endswith("Average SISNR improvement: 0.00\n")
    for card, message in ((7, "infer_310: no such card"), (5, "infer_310: does not answer")):
        assert message in refused(capsys, folder, "--backend", "lite_python", "--device_id", card, status=1)
    outputs = folder / "tiny/export/infer_test/lite_python/outputs"
    assert not (outputs / "outputs.txt").exists()
    inputs = outputs.parents[1] / "inputs_2000"
    (inputs / "000001.bin").write_bytes(bytes(5))
    assert "000001.bin of b: has 5 bytes; 8000 are expected" in refused(capsys, folder, "n", "--backend", "lite_python")
    monkeypatch.setenv("LITE_PYTHON", str(folder / "python3.7"))
    assert "which is not installed" in refused(capsys, folder, "n", "--backend", "lite_python")


def test_what_lite_logs_before_it_fails_is_part_of_the_line():
    log = """
[ERROR] CORE(1,7f,infer_310):2026-01-01-00:00:00.0 [mindspore/core/log_adapter.cc:392] operator^] null exception handler
[ERROR] ME(1,7f,infer_310):2026-01-01-00:00:00.1 [mindspore/lite/model.cc:100] Build] Catch exception: only version: 1

- C++ Call Stack: (For framework developers)
[ERROR] ME(1,7f,infer_310):2026-01-01-00:00:00.2 [mindspore/lite/model_impl.cc:190] BuildImpl] compile failed.
infer_310: error: building x.mindir failed: Common error code.
"""
    message = (
        "building x.mindir failed: Common error code. MindSpore Lite: Catch exception: only version: 1; compile failed."
    )
    assert lite._message(log) == message
    assert lite._message("infer_310: error: x: no such model\n") == "x: no such model"
    assert lite._message("Killed\n") == "Killed"


def test_a_batch_takes_chunks_of_several_utterances(tmp_path):
    utterances = [
        ChunkedUtterance("a", "a.bin", 9, 3),
        ChunkedUtterance("b", "b.bin", 3, 1),
        ChunkedUtterance("c", "c.bin", 3, 1),
    ]
    for each, first in zip(utterances, (0, 3, 4)):
        np.arange(3 * first, 3 * (first + each.chunks), dtype="<f4").tofile(tmp_path / each.file)
    given = []

    def run(chunks):
        given.append(chunks.copy())
        return np.stack([chunks, -chunks], axis=1)

    made = backends.run_chunks(run, 2, Layout("float32", 3, 2), utterances, tmp_path, tmp_path / "out")
    np.testing.assert_array_equal(np.concatenate(given), [*np.arange(15).reshape(5, 3), [0, 0, 0]])
    np.testing.assert_array_equal(read_bin(tmp_path / "out/b.bin", "float32", (1, 2, 3))[0, 1], [-9, -10, -11])
    assert all(each.seconds > 0 for each in made)
    with pytest.raises(backends.DeviceError, match=r"gives \(2, 3\)"):
        backends.run_chunks(lambda chunks: chunks, 2, Layout("float32", 3, 2), utterances, tmp_path, tmp_path / "out")


def test_which_graph_a_file_is(folder):
    make_kit(folder / "tiny", lengths=("0.25s", "0.5s"))
    kit = read_kit(folder / "tiny" / "export")
    assert find_graph(kit, kit.folder / "tiny_0.5s_host.mindir").samples == 4000
    for name in ("tiny_0.5s_ascend_310P.mindir", "other.mindir"):
        (kit.folder / name).write_text("4 4000 2")
    assert find_graph(kit, kit.folder / "tiny_0.5s_ascend_310P.mindir").samples == 4000
    graphs = [*kit.graphs, KitGraph("tiny_0.5s.onnx", "onnx", 4, 4000, "")]
    both = dataclasses.replace(kit, graphs=tuple(graphs))
    (kit.folder / "tiny_0.5s_cpu.mindir").write_text("4 4000 2")
    assert find_graph(both, kit.folder / "tiny_0.5s_cpu.mindir").role == "onnx"
    assert find_graph(both, kit.folder / "tiny_0.5s_ascend_310P.mindir").role == "ascend"
    with pytest.raises(InputError, match="cannot tell which exported graph this was converted from"):
        find_graph(kit, kit.folder / "other.mindir")
    (kit.folder / "tiny_0.5s_host.mindir").write_text("4 4000 3")
    with pytest.raises(InputError, match=r"is not the graph that .* describes"):
        find_graph(kit, kit.folder / "tiny_0.5s_host.mindir")


def test_wrong_use_is_one_line(folder, capsys, monkeypatch):
    monkeypatch.setenv("LITE_HOME", str(folder))
    (folder / "empty").mkdir()
    for options, named, message in (
        (("y",), {"graph": "x.mindir"}, "x.mindir: no such MindIR; the kit has tiny_0.25s_host.mindir"),
        (("y",), {"test": "empty"}, "neither a Kaldi directory (wav.scp) nor a LibriMix set"),
        (("maybe",), {}, "NEED_PREPROCESS maybe: y or n"),
        (("y", "too many"), {}, "unexpected argument 'too many'"),
        (("--test", "x"), {}, "--test is given twice"),
        (("--backend", "gpu"), {}, "invalid choice"),
        (("--nj", "0"), {}, "--nj: must be a whole number of 1 to 1024"),
        (("--back", "host"), {}, "unrecognized arguments"),
        ((), {}, "LITE_HOME ('"),
        (("--backend", "host"), {}, "is for ascend; this backend takes the graph for host"),
        ((), {"graph": "tiny_0.25s_host.mindir"}, "MindSpore Lite takes the graph for ascend, or what it"),
        (("--backend", "host", "--device", "cpu"), {}, "--device cpu: is of lite and lite_python"),
        (("--backend", "numpy"), {"graph": "tiny_0.25s_host.mindir"}, "is for host; this backend takes"),
    ):
        assert message in refused(capsys, folder, *options, **named)
    manifest = folder / "tiny" / "export" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    assert "not what stage 5 writes" in refused(capsys, folder)
    manifest.unlink()
    assert "stage 5 makes the kit" in refused(capsys, folder)


def test_inputs_of_another_length_are_refused(folder, fake_backend, capsys):
    infer_310(folder, "--backend", "host", "--step", "preprocess")
    inputs = folder / "tiny/export/infer_test/inputs_2000"
    write_list(inputs / "inputs.txt", Layout("float32", 1000, 2), read_list(inputs / "inputs.txt")[1])
    assert "has chunks of 1000 samples" in refused(capsys, folder, "n", "--backend", "host")
    for line in ("something else", "inputs one float32 2000 2", "inputs 2 float32 2000 2", "inputs 1 int8 2000 2"):
        (inputs / "inputs.txt").write_text(line + "\n")
        assert f"inputs.txt:1: '{line}' is not" in refused(capsys, folder, "n", "--backend", "host")


@pytest.mark.parametrize("of_the_user", ["inputs_2000/000000.bin.txt", "host/thesis.tex", "data/test/wav.scp"])
def test_a_users_folder_stays(folder, fake_backend, capsys, of_the_user):
    mine = folder / "out" / of_the_user
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    make_librimix_set(folder / "min" / "test", lengths={"1-2_3-4": 3000})
    says = refused(capsys, folder, "--backend", "host", "--out", folder / "out", test="min/test")
    assert "is not known to be made by this command" in says
    assert mine.name in says
    assert mine.read_text() == "mine"


def test_results_from_before_there_were_marks_are_made_again(folder, fake_backend, capsys):
    infer_310(folder, "--backend", "host")
    made = folder / "tiny" / "export" / "infer_test"
    for mark in (made / "inputs_2000" / ".made.json", made / "host" / ".made.json"):
        mark.unlink()
    infer_310(folder, "--backend", "host")
    assert (made / "host" / ".made.json").is_file()


def test_what_a_user_changed_in_the_kit_is_kept_beside_it(folder):
    kit = folder / "tiny" / "export"
    write_programs(kit)
    assert not list(kit.rglob(".backup"))
    for text in ("mine", "mine", "mine too"):
        (kit / "runner" / "infer_310.cc").write_text(text)
        write_programs(kit)
    assert (kit / "runner" / "infer_310.cc").read_bytes() == (PROGRAMS / "runner" / "infer_310.cc").read_bytes()
    assert files_of(kit / "runner" / ".backup") == {"infer_310.cc": b"mine", "infer_310.cc.2": b"mine too"}
    assert os.access(kit / "run_infer_310.sh", os.X_OK)


def test_what_pip_compiled_is_not_copied_into_the_kit(folder, monkeypatch):
    programs = shutil.copytree(PROGRAMS, folder / "installed")
    (programs / "runner" / "__pycache__").mkdir(exist_ok=True)
    (programs / "runner" / "__pycache__" / "infer_310.cpython-311.pyc").write_bytes(b"\xa7\r\r\n")
    monkeypatch.setattr("mindaudio_ext.export.kit.PROGRAMS", programs)
    write_programs(folder / "tiny" / "export")
    assert not list((folder / "tiny" / "export").rglob("__pycache__"))


def test_the_kit_has_the_programs_and_they_are_executable(folder):
    kit = folder / "tiny" / "export"
    sources = ("CMakeLists.txt", "convert.py", "infer_310.cc", "infer_310.py")
    programs = (*(f"runner/{name}" for name in sources), "converter.cfg", "run_infer_310.sh")
    sources = (path for path in PROGRAMS.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    assert {str(path.relative_to(PROGRAMS)) for path in sources} == set(programs)
    for name in programs[:-1]:
        assert (kit / name).read_bytes() == (PROGRAMS / name).read_bytes()
    result = subprocess.run([kit / "run_infer_310.sh", "--help"], capture_output=True, text=True, check=True)
    assert "MINDIR_PATH" in result.stdout
    assert "which run_infer_310.sh gives" in result.stdout  # of --kit
