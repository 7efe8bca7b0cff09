"""The same networks as ONNX, by onnxruntime; ENCODERS and NETWORKS are test_graph's."""

import numpy as np
import pytest
from test_graph import NETWORKS, make_network

from mindaudio_ext.errors import InputError
from mindaudio_ext.export.graph import Graph, Node, Type
from mindaudio_ext.export.mindir_file import read_mindir
from mindaudio_ext.export.onnx_file import describe_onnx, run_onnx, write_onnx
from mindaudio_ext.export.simplify import in_float32, simplify


@pytest.mark.needs("onnx", "onnxruntime")
@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_computes_the_same(name, tmp_path):
    path, mixtures, expected = make_network(name, tmp_path)
    write_onnx(simplify(in_float32(read_mindir(path))), tmp_path / "network.onnx")
    difference = np.abs(run_onnx(tmp_path / "network.onnx", mixtures) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max()
    described = describe_onnx(tmp_path / "network.onnx")
    assert described["inputs"] == [{"name": "mixture", "shape": [2, 400], "dtype": "float32"}]
    assert described["outputs"] == [{"name": "estimates", "shape": [2, 2, 400], "dtype": "float32"}]


@pytest.mark.needs("onnx", "onnxruntime")
def test_a_norm_over_millions_of_values_is_exact(tmp_path):
    """The plain mean of these values in float32, one after the other, is off by 1e-4 and more."""
    kind = Type((1, 64500, 128), "float32")
    x = 1 + 0.1 * np.random.default_rng(0).standard_normal(kind.shape).astype(np.float32)
    constants = {"g": np.ones(128, np.float32), "b": np.zeros(128, np.float32), "1": 1, "-1": -1, "e": 1e-8, "0": 0}
    nodes = [
        Node("LayerNorm", ["x", "g", "b", "1", "-1", "e"], "t", (kind,)),
        Node("TupleGetItem", ["t", "0"], "y", kind),
    ]
    write_onnx(Graph({"x": kind}, "y", constants, nodes), tmp_path / "norm.onnx")
    expected = (x - x.mean(dtype=np.float64)) / x.std(dtype=np.float64)
    np.testing.assert_allclose(run_onnx(tmp_path / "norm.onnx", x), expected, atol=2e-5)


@pytest.mark.needs("onnx")
def test_an_operator_without_counterpart_is_an_error(tmp_path):
    kind = Type((2,), "float32")
    with pytest.raises(InputError, match="operator LSTM cannot be written as ONNX"):
        write_onnx(Graph({"x": kind}, "y", {}, [Node("LSTM", ["x"], "y", kind)]), tmp_path / "x.onnx")


def test_without_the_extra_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    kind = Type((2,), "float32")
    with pytest.raises(InputError, match=r"onnx is not installed: pip install mindaudio-ext\[onnx\]"):
        write_onnx(Graph({"x": kind}, "x", {}, []), tmp_path / "x.onnx")
