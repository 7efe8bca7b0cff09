"""The C++ runner of the 310 kit, built with sanitizers against a stand-in of MindSpore Lite without a device."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mindaudio_ext.export.io_lists import ChunkedUtterance, Layout, read_bin, read_list, write_list
from mindaudio_ext.export.kit import PROGRAMS

STUB = Path(__file__).with_name("lite_stub")
SAMPLES = 5
pytestmark = pytest.mark.needs("g++")


def run_program(*words, **env):
    """Runs a program without what is preloaded: the address sanitizer must come first."""
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    words = [str(word) for word in words]
    return subprocess.run(words, env=clean | env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    path = tmp_path_factory.mktemp("runner") / "infer_310"
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined")
    sources = (PROGRAMS / "runner" / "infer_310.cc", STUB / "fake_lite.cc")
    result = run_program("g++", *flags, "-fno-sanitize-recover=all", "-I", STUB, *sources, "-o", path)
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture
def work(tmp_path):
    """A model of batches of 2, and chunks of three utterances: 3, 1 and 1 of them, the values 0, 1, 2, ..."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "model.mindir").write_text(f"2 {SAMPLES} 2")
    utterances, values = [], np.arange(5 * SAMPLES, dtype="<f4").reshape(5, SAMPLES)
    for number, (key, first, last) in enumerate((("a", 0, 3), ("é", 3, 4), ("z/%", 4, 5))):
        (folder / "in").mkdir(exist_ok=True)
        values[first:last].tofile(folder / "in" / f"{number}.bin")
        utterances.append(ChunkedUtterance(key, f"{number}.bin", 7 * (last - first), last - first))
    write_list(folder / "in" / "inputs.txt", Layout("float32", SAMPLES, 2), utterances)
    return folder


def infer(runner, work, *options, out="out"):
    paths = ("--model", work / "model.mindir", "--inputs", work / "in", "--outputs", work / out)
    return run_program(runner, *paths, *options)


def assert_one_line(result, status, *words):
    assert result.returncode == status, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("infer_310: error: ")
    for word in words:
        assert word in result.stderr


def test_every_chunk_gets_its_estimates(runner, work):
    result = infer(runner, work)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("3 utterances, 5 chunks in batches of 2: ")
    layout, utterances = read_list(work / "out" / "outputs.txt")
    assert layout == Layout("float32", SAMPLES, 2)
    assert [(each.key, each.num_samples, each.chunks) for each in utterances] == [
        ("a", 21, 3),
        ("é", 7, 1),
        ("z/%", 7, 1),
    ]
    assert all(each.seconds > 0 for each in utterances)
    estimates = [read_bin(work / "out" / each.file, "float32", (each.chunks, 2, SAMPLES)) for each in utterances]
    mixtures = np.arange(5 * SAMPLES, dtype=np.float32).reshape(5, 1, SAMPLES)
    np.testing.assert_array_equal(np.concatenate(estimates), np.concatenate([mixtures, 2 * mixtures], axis=1))
    assert sorted(path.name for path in (work / "out").iterdir()) == ["0.bin", "1.bin", "2.bin", "outputs.txt"]


@pytest.mark.parametrize(("options", "offset"), [(("--device_id", "3"), 300), (("--device", "cpu"), 0)])
def test_the_device_is_the_one_asked_for(runner, work, options, offset):
    assert infer(runner, work, *options).returncode == 0
    assert read_bin(work / "out" / "1.bin", "float32", (1, 2, SAMPLES))[0, 0, 0] == 3 * SAMPLES + offset


def test_a_second_run_replaces_the_first(runner, work):
    for _ in range(2):
        assert infer(runner, work).returncode == 0
    assert len(read_list(work / "out" / "outputs.txt")[1]) == 3


@pytest.mark.parametrize("size", [0, 4 * SAMPLES - 1, 4 * SAMPLES + 1, 8 * SAMPLES])
def test_a_file_of_a_wrong_size_is_refused(runner, work, size):
    (work / "in" / "1.bin").write_bytes(bytes(size))
    assert_one_line(infer(runner, work), 2, "1.bin of é", f"has {size} bytes", "1 chunks of 20 bytes")
    assert not (work / "out").exists()


def test_what_is_missing_is_named(runner, work):
    (work / "in" / "2.bin").unlink()
    assert_one_line(infer(runner, work), 2, "2.bin of z/%: No such file")
    (work / "in" / "inputs.txt").unlink()
    assert_one_line(infer(runner, work), 2, "inputs.txt: no such file; preprocessing makes it")
    write_list(work / "in" / "inputs.txt", Layout("float32", SAMPLES, 2), [])
    assert_one_line(infer(runner, work), 2, "lists no utterance")


def test_an_empty_folder_and_a_missing_model_are_wrong_input(runner, work):
    (work / "empty").mkdir()
    paths = ("--model", work / "model.mindir", "--inputs", work / "empty", "--outputs", work / "out")
    assert_one_line(run_program(runner, *paths), 2, "inputs.txt: no such file")
    (work / "model.mindir").unlink()
    assert_one_line(infer(runner, work), 2, "model.mindir: no such model")
    assert not (work / "out").exists()


@pytest.mark.parametrize(
    "text",
    ["", "inputs 2 float32 5 2", "inputs 1 float32 0 2", "inputs 1 int8 5 2", "outputs 1 float32 5 2",
     "inputs 1 float32 5 2\na 0.bin 7", "inputs 1 float32 5 2\na 0.bin 7 0", "inputs 1 float32 5 2\na ../in/0.bin 7 3"],
)  # fmt: skip
def test_a_list_that_is_none_is_refused(runner, work, text):
    (work / "in" / "inputs.txt").write_text(text + "\n")
    assert_one_line(infer(runner, work), 2, "expected")


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [
        ("build", 1, ("building", "no such card")),
        ("predict", 1, ("inference failed: the device does not answer",)),
        ("third", 1, ("inference failed",)),
        ("empty", 1, ("output has 0 bytes; 80 are expected",)),
        ("turned", 2, ("output is float32 [2, 5, 2]", "[2, 2, 5] is expected")),
        ("float16", 2, ("input is float16 [2, 5]", "chunks are float32 [batch, 5]")),
        ("two", 2, ("has 2 inputs",)),
    ],
)
def test_a_failing_device_or_another_model(runner, work, mode, status, words):
    assert infer(runner, work).returncode == 0
    (work / "model.mindir").write_text(f"2 {SAMPLES} 2 {mode}")
    assert_one_line(infer(runner, work), status, *words)
    # What an earlier run made is not taken for whole, and nothing half-written stays.
    assert not (work / "out" / "outputs.txt").exists()
    assert [path.name for path in (work / "out").glob(".tmp.*")] == []


def test_a_model_of_another_length_or_no_model(runner, work):
    (work / "model.mindir").write_text("2 6 2")
    assert_one_line(infer(runner, work), 2, "input is float32 [2, 6]")
    (work / "model.mindir").write_text("text")
    assert_one_line(infer(runner, work), 1, "not a model")


@pytest.mark.needs("unshare")
def test_an_output_folder_that_is_read_only(runner, work):
    """On a mount that is read-only: permissions do not bind root."""
    (work / "out").mkdir()
    mounted = 'mount -t tmpfs -o ro none "$1" && shift && exec "$@"'
    paths = ("--model", work / "model.mindir", "--inputs", work / "in", "--outputs", work / "out")
    words = ("unshare", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", work / "out", runner, *paths)
    # The leak check wants to trace the process, which a new user namespace may forbid.
    assert_one_line(run_program(*words, ASAN_OPTIONS="detect_leaks=0"), 2, "Read-only file system")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--device", "gpu"), "ascend or cpu"),
        (("--device_id", "-1"), "--device_id -1"),
        (("--x", "1"), "unknown option --x"),
        (("--device_id",), "needs a value"),
        (("x", "1"), "unexpected argument"),
    ],
)
def test_wrong_options(runner, work, options, word):
    assert_one_line(infer(runner, work, *options), 2, word)


def test_options_that_are_missing(runner):
    assert_one_line(run_program(runner, "--model", "x"), 2, "--model, --inputs and --outputs are needed")


def test_help(runner):
    result = run_program(runner, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("--model", "--inputs", "--outputs", "--device ascend|cpu", "--device_id"):
        assert option in result.stdout
