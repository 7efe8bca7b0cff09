"""DPTNet, the dual-path transformer.

Chen, Mao and Liu, "Dual-path transformer network: direct context-aware modeling for end-to-end monaural speech
separation", Interspeech 2020.

features [B, L, N] -> norm -> chunks [B, S, K, F] -> blocks (transformer within chunks, transformer across chunks)
-> N features a source -> overlap-add -> gated output -> mask logits [B, C, L, N]
"""

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import LARGEST_SIZE, Share, Size
from mindaudio_ext.convert.architecture import COMMON_DEFAULTS, DUAL_PATH, DUAL_PATH_END, FILTERBANK, Architecture
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.layers.activation import PReLU, tanh
from mindaudio_ext.layers.attention import SelfAttention
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.dual_path import DualPath
from mindaudio_ext.layers.norm import make_norm
from mindaudio_ext.layers.rnn import LSTM
from mindaudio_ext.registry import register, require_options


@register("dptnet")
class DPTNet(DualPath):
    """Estimates one mask a source by alternating transformers within and across chunks.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        n_heads: attention heads. When N is no multiple of it, a dense layer first widens N to the next one, F;
            otherwise F = N.
        hidden_size: LSTM units a direction.
        chunk_size: frames in a chunk, K; about sqrt(2 L) is DPRNN's advice.
        hop_size: frames between two chunks; half a chunk when None.
        n_blocks: dual-path blocks.
        norm: "gLN", "cLN" or "cgLN", over each chunk, and over the frames at one place of all chunks.
        bidirectional: whether the LSTM across chunks also runs backwards. The one within chunks always does.
        dropout: of attention weights, of what the LSTM gives, and before every sum.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].
    """

    causal_with: ClassVar[str] = "nothing: its attention sees all chunks"
    asteroid: ClassVar[Architecture] = Architecture(
        name="DPTNet",
        options={
            "n_heads": "n_heads",
            "ff_hid": "hidden_size",
            **DUAL_PATH,
            "bidirectional": "bidirectional",
            "dropout": "dropout",
        },
        defaults={
            **COMMON_DEFAULTS,
            "n_filters": 64,
            "n_heads": 4,
            "ff_hid": 256,
            "chunk_size": 100,
            "hop_size": None,
            "n_repeats": 6,
            "norm_type": "gLN",
            "mask_act": "relu",
            "bidirectional": True,
            "dropout": 0.0,
            "encoder_activation": "relu",
        },
        rules=(
            *FILTERBANK,
            Rule("masker.input_layer.*", "separator.input.*"),
            Rule("masker.in_norm.*", "separator.input_norm.*"),
            *(
                Rule(f"masker.layers.#.{number}.{theirs}", f"separator.blocks.#.{path}.{ours}")
                for number, path in enumerate(("intra", "inter"))
                for theirs, ours in (
                    ("mha.in_proj_weight", "attention.in_proj.weight"),
                    ("mha.in_proj_bias", "attention.in_proj.bias"),
                    ("mha.out_proj.*", "attention.out_proj.*"),
                    ("recurrent.*", "rnn.*"),
                    ("linear.*", "dense.*"),
                    ("norm_mha.*", "attention_norm.*"),
                    ("norm_ff.*", "rnn_norm.*"),
                )
            ),
            *DUAL_PATH_END,
        ),
        fixed={"ff_activation": ("relu",)},
        norms=("gLN", "cLN", "cgLN"),
        mask_activations=("relu", "sigmoid", "softmax"),
        takes_out_chan=False,
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        n_heads: Size = 4,
        hidden_size: Size = 256,
        chunk_size: Annotated[int, Interval(ge=2, le=LARGEST_SIZE)] = 100,
        hop_size: Size | None = None,
        n_blocks: Size = 6,
        norm: Literal["gLN", "cLN", "cgLN"] = "gLN",
        bidirectional: bool = True,
        dropout: Share = 0.0,
    ) -> None:
        require_options(DPTNet, "separator_conf", {"chunk_size": chunk_size, "hop_size": hop_size})
        super().__init__(num_spks, chunk_size=chunk_size, hop_size=hop_size)
        width = -(-input_size // n_heads) * n_heads
        layer = {"n_heads": n_heads, "hidden_size": hidden_size, "norm": norm, "dropout": dropout}

        self.widen = width != input_size
        if self.widen:
            self.input = dense(input_size, width)
        self.input_norm = make_norm(norm, width)
        self.blocks = nn.CellList([DPTNetBlock(width, bidirectional=bidirectional, **layer) for _ in range(n_blocks)])
        self.prelu = PReLU()
        self.expand = dense(width, num_spks * input_size)
        self.output = dense(input_size, input_size)
        self.gate = dense(input_size, input_size)

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes what goes through the blocks, [B, S, K, F], of features [B, L, N]."""
        return self.chunks_of(self.input_norm(self.input(features) if self.widen else features))

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes mask logits, [B, C, L, N], of what has gone through the blocks, [B, S, K, F]."""
        n_batch, n_features = x.shape[0], self.output.out_channels
        x = self.expand(self.prelu(x.reshape(-1, x.shape[-1])))  # [B * S * K, C * N]
        x = x.reshape(n_batch, -1, self.chunk_size, self.num_spks, n_features).transpose(0, 3, 1, 2, 4)
        x = self.frames_of(
            x.reshape(n_batch * self.num_spks, -1, self.chunk_size, n_features), n_frames
        )  # [B * C, L, N]
        x = x / (self.chunk_size / self.hop_size)  # the mean over the chunks a frame is in

        x = tanh(self.output(x)) * ops.sigmoid(self.gate(x))
        return x.reshape(n_batch, self.num_spks, n_frames, n_features)  # [B, C, L, N]


class DPTNetBlock(nn.Cell):
    """A transformer layer along each chunk, then one across the chunks.

    Args:
        width: channels, F.
        bidirectional: of the LSTM across chunks.
        layer: the other arguments of both layers.

    Inputs:
        x: [B, S, K, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, *, bidirectional: bool, **layer: Any) -> None:
        super().__init__()
        self.intra = TransformerLayer(width, bidirectional=True, **layer)
        self.inter = TransformerLayer(width, bidirectional=bidirectional, **layer)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_chunks, size, width = x.shape
        x = self.intra(x.reshape(-1, size, width))  # [B * S, K, F]
        x = x.reshape(n_batch, n_chunks, size, width).transpose(0, 2, 1, 3)  # [B, K, S, F]
        x = self.inter(x.reshape(n_batch * size, -1, width))  # [B * K, S, F]
        return x.reshape(n_batch, size, n_chunks, width).transpose(0, 2, 1, 3)  # [B, S, K, F]


class TransformerLayer(nn.Cell):
    """Self-attention, then an LSTM in the place of a transformer's first dense layer (section 2.2.1).

    Args:
        width: channels, F.
        n_heads: attention heads.
        hidden_size: LSTM units a direction.
        bidirectional: D = 2 directions of the LSTM, else D = 1.
        norm: the normalisation's name.
        dropout: of attention weights, of what the LSTM gives, and before every sum.

    Inputs:
        x: [B, T, F].

    Outputs:
        The same shape.
    """

    def __init__(
        self, width: int, *, n_heads: int, hidden_size: int, bidirectional: bool, norm: str, dropout: float
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(width, n_heads, dropout=dropout)
        self.attention_norm = make_norm(norm, width)
        self.rnn = LSTM(width, hidden_size, bidirectional=bidirectional)
        self.dense = dense((2 if bidirectional else 1) * hidden_size, width)
        self.rnn_norm = make_norm(norm, width)
        self.dropout = nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x)))  # [B, T, F]
        y = self.rnn(x.transpose(1, 0, 2)).transpose(1, 0, 2)  # [B, T, D * H]
        y = self.dense(self.dropout(ops.relu(y)))  # [B, T, F]
        return self.rnn_norm(x + self.dropout(y))
