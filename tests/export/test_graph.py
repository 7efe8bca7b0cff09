"""A MindIR read, simplified and written again: what is in the file, and that it computes the same."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from thorough import few
from tiny_experiment import BASE

from mindaudio_ext.config import load_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.export.ascend import ALLOWED, check_operators
from mindaudio_ext.export.graph import Graph, Node, Type
from mindaudio_ext.export.interpreter import Interpreter, read_graph
from mindaudio_ext.export.mindir_file import VERSIONS, describe_mindir, read_mindir, write_mindir
from mindaudio_ext.export.simplify import in_float32, simplify
from mindaudio_ext.layers.rnn import build_rnns_for
from mindaudio_ext.models.tasnet import build_model

LENGTH = 400
DPRNN = "bottleneck_size=6 hidden_size=5 chunk_size=10 n_blocks=1"
NETWORKS = {
    "dprnn": DPRNN,
    "dprnn, GRU, cgLN": f"{DPRNN} rnn_type=GRU norm=cgLN rnn_layers=2",
    "dprnn, RNN, LN, hop, causal": f"{DPRNN} rnn_type=RNN norm=LN hop_size=3 bidirectional=false",
    "tcn": "bottleneck_size=6 hidden_size=5 n_blocks=2 n_repeats=1 skip_size=4",
    "tcn, causal": "bottleneck_size=6 hidden_size=5 n_blocks=2 n_repeats=1 causal=true norm=cLN kernel_size=2",
    "rnn": "hidden_size=5 rnn_layers=2",
    "dptnet": "hidden_size=5 n_blocks=1 chunk_size=10",
    "skim": "hidden_size=5 n_blocks=2 chunk_size=20",
    "sepformer": "bottleneck_size=8 n_blocks=1 n_layers=1 n_heads=2 feedforward_size=12 chunk_size=20",
    "tdanet": "bottleneck_size=6 hidden_size=8 n_blocks=2 n_levels=3 fusion=gated",
    "resepformer": "n_blocks=2 n_layers=1 n_heads=2 feedforward_size=12 chunk_size=20",
    "sepreformer": "bottleneck_size=6 n_stages=1 n_heads=2 kernel_size=5",
    "tfgridnet": "bottleneck_size=4 hidden_size=3 n_blocks=1 n_heads=2 attention_size=12",
}
ENCODERS = {
    "rnn": "encoder_activation=gated mask_activation=softmax mixture_consistency=true",
    "dptnet": "encoder_activation=relu",
    "tdanet": "encoder=mixing_conv",
    "sepreformer": "encoder=padded_conv encoder_activation=gelu mask_activation=mapping",
    "tfgridnet": "encoder=stft encoder_conf.window=hann encoder_conf.padding=reflect n_filters=18 "
    "mask_activation=mapping normalize_variance=true",
}


def make_network(name, folder, batch=2):
    """Exports a small network for Ascend; gives its MindIR and what it computes on noise, in float32 on this CPU."""
    separator = name.split(",")[0]
    options = " ".join(f"separator_conf.{option}" for option in NETWORKS[name].split())
    config = load_config(
        BASE, None, [f"n_filters=8 kernel_size=16 separator={separator}", options, ENCODERS.get(separator, "")]
    )
    ms.set_seed(0)
    here = build_model(config)
    with build_rnns_for("Ascend"):
        model = build_model(config)
    for ours, theirs in zip(model.get_parameters(), here.get_parameters()):
        assert ours.name == theirs.name
        ours.set_data(theirs)
    mixtures = 0.1 * np.random.default_rng(0).standard_normal((batch, LENGTH)).astype(np.float32)
    here.set_train(False)
    model.set_train(False)
    ms.export(model, Tensor(mixtures), file_name=str(folder / "network"), file_format="MINDIR")
    return folder / "network.mindir", mixtures, here(Tensor(mixtures)).asnumpy()


# An LSTM, causal convolutions, and the four without recurrent operators.
SHOWN = ("dprnn", "tcn, causal", "sepformer", "tdanet", "resepformer", "sepreformer")


@pytest.fixture(scope="module", params=few(NETWORKS, *SHOWN))
def network(request, tmp_path_factory):
    return make_network(request.param, tmp_path_factory.mktemp("network"))


def si_snr(estimate, reference):
    return 10 * np.log10((reference**2).sum(-1) / ((estimate - reference) ** 2).sum(-1)).min()


def test_as_exported_for_ascend_it_computes_the_same(network):
    path, mixtures, expected = network
    estimates = read_graph(path)(mixtures)
    assert si_snr(estimates, expected) > 45


def content_of(graph):
    """The nodes of a graph, with the value where an input is a constant."""

    def value(name):
        constant = graph.constants.get(name, name)
        return (constant.shape, constant.tobytes()) if isinstance(constant, np.ndarray) else constant

    return [(node.op, [value(name) for name in node.inputs], node.type, node.attributes) for node in graph.nodes]


@pytest.mark.parametrize("version", VERSIONS)
def test_simplified_and_written_it_computes_the_same(network, tmp_path, version):
    path, mixtures, expected = network
    graph = simplify(read_mindir(path))
    check_operators(graph, "network")
    write_mindir(graph, tmp_path / "simple.mindir", version=version)
    again = read_mindir(tmp_path / "simple.mindir")
    assert content_of(again) == content_of(graph)
    assert {node.op for node in again.nodes} <= ALLOWED
    if version == 1:  # the other file is the same graph
        assert si_snr(read_graph(tmp_path / "simple.mindir")(mixtures), expected) > 45
    ms.load(str(tmp_path / "simple.mindir"))  # MindSpore takes it too


def test_transformers_and_convolutions_have_no_recurrent_operator(network, request):
    without = {"tcn", "tcn, causal", "sepformer", "tdanet", "resepformer", "sepreformer"}
    recurrent = {"DynamicRNN", "DynamicGRUV2"} & set(describe_mindir(network[0])["operators"])
    assert (recurrent == set()) == (request.node.callspec.params["network"] in without)


def test_in_float32_it_is_the_network(network):
    path, mixtures, expected = network
    wide = simplify(in_float32(read_mindir(path)))
    assert "Cast" not in {node.op for node in wide.nodes}
    np.testing.assert_allclose(Interpreter(wide)(mixtures), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("version", VERSIONS)
def test_mindspore_runs_what_is_written(tmp_path, version):
    """A network without DynamicRNN runs on this CPU: so the file is judged by MindSpore itself."""
    path, mixtures, expected = make_network("tcn", tmp_path)
    write_mindir(simplify(read_mindir(path)), tmp_path / "simple.mindir", version=version)
    loaded = nn.GraphCell(ms.load(str(tmp_path / "simple.mindir")))
    np.testing.assert_allclose(loaded(Tensor(mixtures)).asnumpy(), expected, atol=1e-6)


def test_half_precision_is_where_recurrent_layers_are(tmp_path):
    path, _, _ = make_network("rnn", tmp_path)
    graph = simplify(read_mindir(path))
    half = {node.op for node in graph.nodes if getattr(node.type, "dtype", "") == "float16"}
    assert half == {"Cast", "Concat", "ReverseV2", "TupleGetItem"}
    described = describe_mindir(path)
    assert (
        described["operators"]["DynamicRNN"] == [node.op for node in graph.nodes].count("DynamicRNN") == 4
    )  # 2 layers, 2 directions
    assert described["inputs"] == [{"name": "mixture", "shape": [2, LENGTH], "dtype": "float32"}]
    assert [(each["shape"], each["dtype"]) for each in described["outputs"]] == [([2, 2, LENGTH], "float32")]


def test_weights_spread_over_frames_are_not_stored_for_each_frame(tmp_path):
    path, _, _ = make_network("tcn", tmp_path)
    before, after = (
        sum(value.size for value in graph.constants.values() if isinstance(value, np.ndarray))
        for graph in (read_mindir(path), simplify(read_mindir(path)))
    )
    assert after <= before


class HasAnLSTM(nn.Cell):
    def __init__(self):
        super().__init__()
        self.lstm = ops.LSTM(3, 2, 1, True, False, 0.0)
        self.weight = ms.Parameter(Tensor(np.ones((4 * 2 * (3 + 2 + 1), 1, 1), np.float32)))

    def construct(self, x):
        state = ops.zeros((1, 4, 2), ms.float32)
        return self.lstm(x, state, state, self.weight)[0]


def test_an_lstm_in_an_ascend_graph_is_an_error(tmp_path):
    ms.export(HasAnLSTM(), Tensor(np.zeros((5, 4, 3), np.float32)), file_name=str(tmp_path / "x"), file_format="MINDIR")
    graph = simplify(read_mindir(tmp_path / "x.mindir"))
    with pytest.raises(InputError, match=r"x_ascend.mindir: operator LSTM is not one for Ascend"):
        check_operators(graph, "x_ascend.mindir")
    with pytest.raises(InputError, match="operator LSTM cannot be interpreted"):
        Interpreter(graph)


class Loops(nn.Cell):
    def construct(self, x):
        while x.sum() < 10:
            x = x + 1
        return x


def test_what_cannot_be_read_is_one_line(tmp_path):
    ms.export(Loops(), Tensor(np.zeros(3, np.float32)), file_name=str(tmp_path / "x"), file_format="MINDIR")
    (tmp_path / "y.mindir").write_bytes(b"not a graph")
    for name, message in (("x.mindir", "has a loop or a branch"), ("y.mindir", "not a MindIR"), ("z", "no such file")):
        with pytest.raises(InputError, match=message):
            read_mindir(tmp_path / name)


def test_the_interpreter_holds_the_file_to_its_word():
    kind = Type((2,), "float32")
    x = np.ones(2, np.float32)
    lies = Graph({"x": kind}, "y", {}, [Node("Neg", ["x"], "y", Type((2,), "float16"))])
    with pytest.raises(InputError, match=r"Neg y is float32 \(2,\), the graph says float16 \(2,\)"):
        Interpreter(lies)(x)
    true = Graph({"x": kind}, "y", {}, [Node("Neg", ["x"], "y", kind)])
    assert Interpreter(true)(x).tolist() == [-1, -1]
    with pytest.raises(InputError, match=r"input x is float32 \(3,\), the graph says float32 \(2,\)"):
        Interpreter(true)(np.ones(3, np.float32))


def test_version_1_has_options_as_attributes_and_the_types_of_casts_as_types(tmp_path):
    from mindspore.train.mind_ir_pb2 import ModelProto

    kind, half = Type((2, 3), "float32"), Type((2, 3), "float16")
    options = {"no": False, "yes": True, "half": 42, "single": 43, "axes": (0,)}
    nodes = [
        Node("MatMul", ["x", "weight", "no", "yes"], "a", kind),
        Node("Cast", ["a", "half"], "b", half),
        Node("ReverseV2", ["b", "axes"], "c", half),
        Node("Cast", ["c", "single"], "d", kind),
    ]
    graph = Graph({"x": kind}, "d", options | {"weight": np.ones((3, 3), np.float32)}, nodes)
    written = {}
    for version in VERSIONS:
        write_mindir(graph, tmp_path / "x.mindir", version=version)
        model = written[version] = ModelProto()
        model.ParseFromString((tmp_path / "x.mindir").read_bytes())
        assert model.mind_ir_version == version
        assert (read_graph(tmp_path / "x.mindir")(np.ones((2, 3), np.float32)) == 3).all()
    attributes = {each.op_type: {a.name: a for a in each.attribute} for each in written[1].primitives}
    matmul = {name: (each.type, each.i) for name, each in attributes["MatMul"].items()}
    assert matmul == {f"transpose_{end}": (9, int(end in "b x2")) for end in ("a", "b", "x1", "x2")}  # 9: BOOL
    assert attributes["ReverseV2"]["axis"].values[0].ints == [0]
    types = [n.attribute[0].tensors[0] for n in written[1].graph.node if n.op_type == "Constant"]
    float16, float32 = 10, 1
    assert [(each.data_type, each.HasField("raw_data")) for each in types] == [(float16, False), (float32, False)]
    assert not any(each.HasField("prim_type") for each in written[1].primitives)  # it came with version 2
    assert attributes.keys() == {"MatMul", "Cast", "ReverseV2"}
    assert [len(each.attribute) for each in written[2].primitives] == [0] * 3
    assert [len(node.input) for node in written[2].graph.node if node.op_type != "Constant"] == [4, 2, 2, 2]
