"""The 310 kit on the real MindSpore Lite 2.0.0, which tools/setup_lite.sh brings: its converter, its library, a CPU.

What the real library cannot do here, a card that answers and faults at will, test_runner_310.py has on a stand-in.
"""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_graph import NETWORKS
from test_infer_310 import LENGTHS, infer_310, refused
from test_runner_310 import assert_one_line, run_program
from tiny_experiment import make_data, make_experiment

from mindaudio_ext.bin.export import main as export
from mindaudio_ext.export.ascend import ALLOWED
from mindaudio_ext.export.graph import Graph, Node, Type
from mindaudio_ext.export.interpreter import Interpreter
from mindaudio_ext.export.io_lists import ChunkedUtterance, Layout, read_bin, read_list, write_list
from mindaudio_ext.export.kit import PROGRAMS
from mindaudio_ext.export.mindir_file import read_mindir, write_mindir
from mindaudio_ext.export.simplify import in_float32, simplify

pytestmark = [pytest.mark.lite, pytest.mark.needs("lite")]
ROOT = Path(__file__).parents[2]
LITE = ROOT / "tools" / "lite"
OF_A_CARD = {"DynamicRNN", "DynamicGRUV2"}  # of the operators allowed, those that exist on Ascend alone
TCN = "separator=tcn separator_conf.bottleneck_size=6 separator_conf.hidden_size=5 separator_conf.n_blocks=2"


def by_lite(folder, jobs):
    """Does jobs of lite_program.py, named by the keys; gives each one's log where it failed, or else ''."""
    listed = [job | {"log": str(folder / f"{number}.log")} for number, job in enumerate(jobs.values())]
    (folder / "jobs.json").write_text(json.dumps(listed))
    words = [LITE / "bin/python", "-E", ROOT / "tests/export/lite_program.py", folder / "jobs.json"]
    subprocess.run(words, check=True, timeout=300)
    done = json.loads((folder / "jobs.json").read_text())
    logs = [(folder / f"{number}.log").read_text(errors="replace") for number in range(len(done))]
    return {name: log + job["error"] if job["error"] else "" for name, job, log in zip(jobs, done, logs)}


def conversion(graph, output, optimize="general", save_type="MINDIR"):
    return {"do": "convert", "graph": str(graph), "output": str(output), "optimize": optimize, "save_type": save_type}


def run_of(graph, folder):
    return {"do": "run", "graph": str(graph), "input": f"{folder}/in.npy", "output": f"{folder}/out.npy"}


def unknown_operators(log):
    return set(re.findall(r"OP TYPE: (\w+)", log))


@pytest.fixture(scope="module")
def graphs(exported_network, tmp_path_factory):
    """The networks' graphs for Ascend, simplified, and where each is written as a MindIR of version 1."""
    folder, made = tmp_path_factory.mktemp("graphs"), {}
    for number, name in enumerate(NETWORKS):
        graph = simplify(read_mindir(exported_network(name)[0]))
        made[name] = graph, folder / f"network_{number}.mindir"
        write_mindir(*made[name])
    return made


def without_none(graph):
    """The graph without inputs that are None, which stop the converter before it lists what it does not know."""
    nodes = [
        Node(n.op, [i for i in n.inputs if graph.constants.get(i, 0) is not None], n.output, n.type, n.attributes)
        for n in graph.nodes
    ]
    return dataclasses.replace(graph, nodes=nodes)


def test_the_converter_takes_every_ascend_graph(graphs, tmp_path):
    """`general` succeeds; for its own format the converter tells what it does not know: what is Ascend's alone."""
    jobs = {}
    for number, (name, (graph, path)) in enumerate(graphs.items()):
        write_mindir(without_none(graph), tmp_path / f"{number}.mindir")
        jobs[name] = conversion(path, tmp_path / f"general_{number}")
        jobs[f"unknown {name}"] = conversion(tmp_path / f"{number}.mindir", tmp_path / "x", save_type="MINDIR_LITE")
    foreign = Graph({"x": Type((2,), "float32")}, "y", {}, [Node("Muls", ["x", "x"], "y", Type((2,), "float32"))])
    write_mindir(foreign, tmp_path / "foreign.mindir")
    jobs["foreign"] = conversion(tmp_path / "foreign.mindir", tmp_path / "x", save_type="MINDIR_LITE")
    failed = by_lite(tmp_path, jobs)
    assert {name: failed[name] for name in graphs} == dict.fromkeys(graphs, "")
    unknown = set().union(*(unknown_operators(failed[f"unknown {name}"]) for name in graphs))
    print(f"operators that the converter does not know: {', '.join(sorted(unknown))}")
    assert unknown == OF_A_CARD
    for name, (graph, _) in graphs.items():  # each is known or refused for these
        assert bool(failed[f"unknown {name}"]) == bool(OF_A_CARD & {node.op for node in graph.nodes})
    assert {node.op for graph, _ in graphs.values() for node in graph.nodes} == ALLOWED
    assert "Muls" in unknown_operators(failed["foreign"])  # so that the list is one


def test_the_converter_for_a_card_stops_where_cann_is_missing(graphs, tmp_path):
    """It has read the graph and looks for the passes of Ascend, whose library wants CANN's."""
    _, path = graphs["dprnn"]
    log = by_lite(tmp_path, {"card": conversion(path, tmp_path / "card", "ascend_oriented")})["card"]
    assert re.search(r"libascend_pass_plugin.so.*libgraph.so", log), log
    assert "Load model file failed" not in log


def test_versions(graphs, tmp_path):
    graph, path = graphs["tcn"]
    write_mindir(graph, tmp_path / "2.mindir", version=2)
    np.save(tmp_path / "in.npy", np.zeros((2, 400), np.float32))
    failed = by_lite(tmp_path, {1: run_of(path, tmp_path), 2: run_of(tmp_path / "2.mindir", tmp_path)})
    assert failed[1] == ""
    assert "can only support the maximum mind ir version: 1" in failed[2]


NODES = {
    "Abs": (["x"], (4, 6)),
    "Erf": (["x"], (4, 6)),
    "Add": (["x", "row"], (4, 6)),
    "BatchMatMul": (["cube", "cube", "no", "yes"], (2, 3, 3)),
    "BiasAdd": (["x", "row", 0], (4, 6)),
    "CumSum": (["x", 1, "no", "no"], (4, 6)),
    "Gather": (["x", "places", 1, 0], (4, 3)),
    "LayerNorm": (["cube", "gamma", "gamma", 1, -1, 1e-5], (2, 3, 4)),
    "Less": (["x", "row"], (4, 6)),
    "MatMul": (["x", "square", "no", "no"], (4, 6)),
    "Mul": (["x", "row"], (4, 6)),
    "Neg": (["x"], (4, 6)),
    "RealDiv": (["x", "positive"], (4, 6)),
    "ReLU": (["x"], (4, 6)),
    "ReduceMean": (["cube", (1, 2), "yes"], (2, 1, 1)),
    "Reshape": (["x", (2, 3, 4)], (2, 3, 4)),
    "ReverseV2": (["x", (0,)], (4, 6)),
    "Rsqrt": (["above 1"], (4, 6)),
    "Select": (["less", "x", "positive"], (4, 6)),
    "Sigmoid": (["x"], (4, 6)),
    "Softmax": (["x", (0,)], (4, 6)),
    "Square": (["x"], (4, 6)),
    "StridedSlice": (["x", (1, 0), (4, 6), (2, 3), 0, 0, 0, 0, 0], (2, 2)),
    "Sub": (["x", "row"], (4, 6)),
    "Tanh": (["x"], (4, 6)),
    "Transpose": (["cube", (2, 0, 1)], (4, 2, 3)),
}
"""Of each operator inputs and the shape of its output; those that gather are in `graph_of` for all."""


def graph_of(op):
    """A graph of one input x [4, 6] around an operator, whose output is a float32 [1, ...]."""
    inputs, shape = NODES[op]
    rng = np.random.default_rng(0)
    constants = {
        "no": False,
        "yes": True,
        "cube shape": (2, 3, 4),
        "0": 0,
        "flat": (1, -1),
        "all": (1, 2 * shape_size(shape)),
    }
    constants |= {name: rng.standard_normal(size).astype(np.float32) for name, size in
                  {"row": 6, "square": (6, 6), "gamma": 4}.items()}  # fmt: skip
    constants["places"] = np.array([5, 0, 2], np.int32)
    constants["positive"] = 1 + rng.random((4, 6)).astype(np.float32)
    names = []
    for value in inputs:
        names.append(value if isinstance(value, str) else f"option {len(names)}")
        if not isinstance(value, str):
            constants[names[-1]] = value
    kind = Type(shape, "bool" if op == "Less" else "float32")
    nodes = [
        Node("Reshape", ["x", "cube shape"], "cube", Type((2, 3, 4), "float32")),
        Node("Less", ["x", "row"], "less", Type((4, 6), "bool")),
        Node("Abs", ["x"], "abs", Type((4, 6), "float32")),
        Node("Add", ["abs", "positive"], "above 1", Type((4, 6), "float32")),
        Node(op, names, "y", (kind,) if op == "LayerNorm" else kind),
    ]
    if op == "LayerNorm":
        nodes.append(Node("TupleGetItem", ["y", "0"], "first", kind))
    elif op == "Less":
        nodes.append(Node("Select", ["y", "x", "positive"], "first", Type(shape, "float32")))
    last = "first" if op in ("LayerNorm", "Less") else "y"
    flat = Type((1, shape_size(shape)), "float32")
    constants["flat"] = flat.shape
    nodes += [
        Node("Reshape", [last, "flat"], "z", flat),
        Node("MakeTuple", ["z", "z"], "both", (flat, flat)),
        Node("Concat", ["both", "axis"], "out", Type((1, 2 * flat.shape[1]), "float32")),
    ]
    constants["axis"] = 1
    return used(Graph({"x": Type((4, 6), "float32")}, "out", constants, nodes))


def shape_size(shape):
    return int(np.prod(shape))


def used(graph):
    """Without nodes and constants that nothing reads."""
    read, nodes = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in read:
            read.update(node.inputs)
            nodes.insert(0, node)
    return Graph(graph.inputs, graph.output, {n: v for n, v in graph.constants.items() if n in read}, nodes)


def test_every_operator_computes_there_what_the_interpreter_says(tmp_path):
    """What the proof of an Ascend graph rests on, held against the real library; it has no float16 on a CPU."""
    gathering = {"Concat", "MakeTuple", "TupleGetItem"}
    assert set(NODES) | gathering | OF_A_CARD | {"Cast"} == ALLOWED
    x = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    jobs, expected = {}, {}
    for op in NODES:
        folder = tmp_path / op
        folder.mkdir()
        np.save(folder / "in.npy", x)
        graph = graph_of(op)
        write_mindir(graph, folder / "x.mindir")
        expected[op] = Interpreter(graph)(x)
        jobs[op] = run_of(folder / "x.mindir", folder)
    failed = by_lite(tmp_path, jobs)
    assert failed == dict.fromkeys(NODES, "")
    for op, value in expected.items():
        np.testing.assert_allclose(
            np.load(tmp_path / op / "out.npy"), value, rtol=2e-4 if op == "Rsqrt" else 1e-5, atol=1e-6, err_msg=op
        )  # Lite's is the processor's estimate


def test_a_network_without_recurrence_runs_as_it_is(graphs, exported_network, tmp_path):
    for name in ("tcn", "tcn, causal"):
        _, mixtures, expected = exported_network(name)
        np.save(tmp_path / "in.npy", mixtures)
        assert by_lite(tmp_path, {name: run_of(graphs[name][1], tmp_path)}) == {name: ""}
        difference = np.abs(np.load(tmp_path / "out.npy") - expected).max() / np.abs(expected).max()
        print(f"{name}: largest difference from the checkpoint {difference:.1e} of the peak")
        assert difference < 1e-5


@pytest.mark.needs("onnx")
def test_by_onnx_every_network_runs_but_those_with_a_gru(exported_network, tmp_path):
    from mindaudio_ext.export.onnx_file import write_onnx

    jobs = {}
    for number, name in enumerate(NETWORKS):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, mixtures, _ = exported_network(name)
        write_onnx(simplify(in_float32(read_mindir(path))), folder / "x.onnx")
        np.save(folder / "in.npy", mixtures)
        jobs[f"convert {name}"] = conversion(folder / "x.onnx", folder / "x")
        if "GRU" not in name:
            jobs[name] = run_of(folder / "x.mindir", folder)
    failed = by_lite(tmp_path, jobs)
    assert {name for name, log in failed.items() if log} == {"convert dprnn, GRU, cgLN"}
    assert unknown_operators(failed["convert dprnn, GRU, cgLN"]) == {"GRU"}
    for number, name in enumerate(NETWORKS):
        if "GRU" not in name:
            expected = exported_network(name)[2]
            difference = np.abs(np.load(tmp_path / str(number) / "out.npy") - expected).max() / np.abs(expected).max()
            print(f"{name} by ONNX: largest difference from the checkpoint {difference:.1e} of the peak")
            assert difference < 1e-5


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """The C++ runner with sanitizers, on the real headers and the real library, without a warning."""
    path, folder = tmp_path_factory.mktemp("runner") / "infer_310", LITE / "runtime"
    flags = (
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    )
    linking = (f"-Wl,-rpath-link,{folder}/lib", f"-Wl,--disable-new-dtags,-rpath,{folder}/lib", "-pthread", "-ldl")
    library = folder / "lib" / "libmindspore-extendrt_python.so"
    words = ("g++", *flags, "-isystem", folder, PROGRAMS / "runner/infer_310.cc", "-o", path, library, *linking)
    result = run_program(*words)
    assert (result.returncode, result.stderr) == (0, "")
    return path


@pytest.mark.needs("g++")
def test_both_runners_on_the_real_library(runner, graphs, exported_network, tmp_path):
    """Four chunks of two utterances, the first over two batches: the checkpoint's estimates, the same bits by both."""
    _, mixtures, expected = exported_network("tcn")
    (tmp_path / "in").mkdir()
    mixtures[[0, 1, 0]].tofile(tmp_path / "in" / "0.bin")
    mixtures[:1].tofile(tmp_path / "in" / "1.bin")
    utterances = [ChunkedUtterance("a", "0.bin", 800, 3), ChunkedUtterance("b", "1.bin", 400, 1)]
    write_list(tmp_path / "in" / "inputs.txt", Layout("float32", 400, 2), utterances)

    def infer(*command, model=graphs["tcn"][1], device="cpu", out="cpp"):
        paths = ("--model", model, "--inputs", tmp_path / "in", "--outputs", tmp_path / out)
        # What the library itself has not freed at its end is none of the runner's leaks.
        return run_program(*command, *paths, "--device", device, ASAN_OPTIONS="detect_leaks=0")

    python = (LITE / "bin/python", "-E", PROGRAMS / "runner/infer_310.py")
    for command, out in ((runner,), "cpp"), (python, "python"):
        result = infer(*command, out=out)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("2 utterances, 4 chunks in batches of 2: ")
        layout, listed = read_list(tmp_path / out / "outputs.txt")
        assert layout == Layout("float32", 400, 2)
        assert [(each.key, each.chunks) for each in listed] == [("a", 3), ("b", 1)]
        assert all(0 < each.seconds < 60 for each in listed)
    first = read_bin(tmp_path / "cpp" / "0.bin", "float32", (3, 2, 400))
    np.testing.assert_allclose(first, expected[[0, 1, 0]], atol=1e-5 * np.abs(expected).max())
    for file in ("0.bin", "1.bin"):
        assert (tmp_path / "cpp" / file).read_bytes() == (tmp_path / "python" / file).read_bytes()

    truncated = tmp_path / "truncated.mindir"
    truncated.write_bytes(graphs["tcn"][1].read_bytes()[:3000])
    for command in ((runner,), python):
        for model, device, status in (
            (truncated, "cpu", 1),
            (graphs["dprnn"][1], "cpu", 1),  # DynamicRNN is no operator of a CPU
            (graphs["tcn"][1], "ascend", 1),  # there is no card
            (tmp_path / "none.mindir", "cpu", 2),
        ):
            result = infer(*command, model=model, device=device)
            assert result.returncode == status, result.stderr
            assert result.stderr.splitlines()[-1].startswith("infer_310: error: ")
    write_list(tmp_path / "in" / "inputs.txt", Layout("float32", 200, 2), [ChunkedUtterance("b", "1.bin", 400, 2)])
    for command in ((runner,), python):
        assert_one_line(infer(*command), 2, "its input is", "[2, 400]", "[batch, 200]")
    write_list(tmp_path / "in" / "inputs.txt", Layout("float32", 400, 2), utterances)
    (tmp_path / "in" / "1.bin").write_bytes(bytes(7))
    assert_one_line(infer(runner), 2, "1.bin of b", "has 7 bytes", "1 chunks of 1600 bytes")


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """A kit of a tiny Conv-TasNet with random weights, chunks of 0.25 s, batches of 4."""
    folder = tmp_path_factory.mktemp("a folder é")
    make_experiment(folder / "tiny", overrides=f"{TCN} separator_conf.n_repeats=1")
    make_data(folder / "test", LENGTHS)
    options = ("--export_targets", "ascend", "--export_batch", "4", "--export_utterances", "1")
    export(["--expdir", str(folder / "tiny"), "--data", str(folder / "test"), *options])
    return folder


@pytest.mark.needs("g++", "cmake")
def test_the_whole_kit_reaches_the_checkpoint(kit, capsys, monkeypatch):
    for name in ("LITE_HOME", "LITE_PYTHON"):  # tools/lite is taken without being named
        monkeypatch.delenv(name, raising=False)
    figures = {}
    for backend, *device in (["checkpoint"], ["lite", "--device", "cpu"], ["lite_python", "--device", "cpu"]):
        infer_310(kit, "y", "--backend", backend, *device)
        out = capsys.readouterr().out
        figures[backend] = float(out.rsplit(maxsplit=1)[-1])
    with capsys.disabled():
        print(f"\nSI-SNRi over the same chunks, dB: {figures}")
    assert abs(figures["checkpoint"]) > 0.1
    assert figures["lite"] == pytest.approx(figures["checkpoint"], abs=0.01)
    assert figures["lite_python"] == pytest.approx(figures["checkpoint"], abs=0.01)
    results = (kit / "tiny/export/infer_test/lite_cpu/RESULTS.md").read_text()
    assert "backend lite on cpu" in results
    assert "device: CPU" in results


@pytest.mark.needs("g++", "cmake")
def test_what_does_not_fit_is_one_line(kit, capsys, monkeypatch, tmp_path):
    exports = kit / "tiny" / "export"
    graph = exports / "tiny_0.25s_ascend.mindir"
    write_mindir(read_mindir(graph), exports / "tiny_0.25s_ascend_2.mindir", version=2)
    (exports / "tiny_0.25s_ascend_cut.mindir").write_bytes(graph.read_bytes()[:3000])
    on_cpu = ("--device", "cpu", "--backend")
    other_batch = read_mindir(graph)
    ((name, kind),) = other_batch.inputs.items()
    other_batch.inputs[name] = dataclasses.replace(kind, shape=(3, 2000))  # and all else is for 4
    write_mindir(other_batch, exports / "tiny_0.25s_ascend_batch.mindir", version=1)
    messages = {
        "2": "maximum mind ir version: 1",
        "cut": "Failed to load MindIR model",
        "batch": "InferSubgraph index: 0 failed",
    }
    for backend in ("lite", "lite_python"):
        for name, message in messages.items():
            error = refused(capsys, kit, *on_cpu, backend, graph=f"tiny_0.25s_ascend_{name}.mindir", status=1)
            assert message in error
        assert "DLSoOpen failed" in refused(capsys, kit, "--backend", backend, status=1)  # no card: no CANN
    inputs = exports / "infer_test" / "inputs_2000"
    (inputs / "000001.bin").write_bytes(bytes(9))
    for backend in ("lite", "lite_python"):
        assert "000001.bin of b: has 9 bytes" in refused(capsys, kit, "n", *on_cpu, backend)
    monkeypatch.setenv("LITE_HOME", str(tmp_path))
    assert "must be the folder of MindSpore Lite's package" in refused(capsys, kit, *on_cpu, "lite")
    shutil.copytree(LITE / "runtime/include", tmp_path / "include")
    (tmp_path / "lib").mkdir()
    library = "libmindspore-extendrt_python.so"
    (tmp_path / "lib" / library).symlink_to((LITE / "runtime/lib" / library).resolve())  # without those it needs
    assert "libdnnl.so.2" in refused(capsys, kit, *on_cpu, "lite", status=1)
