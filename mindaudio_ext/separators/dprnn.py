"""DPRNN, the dual-path RNN.

Luo, Chen and Yoshioka, "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech
separation", ICASSP 2020.

features [B, L, N] -> norm, bottleneck -> chunks [B, S, K, F] -> blocks (RNN within chunks, RNN across chunks)
-> one copy a source -> overlap-add -> gated output -> mask logits [B, C, L, N]
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import mindspore as ms
from annotated_types import Interval
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import LARGEST_SIZE, Share, Size
from mindaudio_ext.convert.architecture import (
    BOTTLENECK,
    COMMON_DEFAULTS,
    CONV,
    DUAL_PATH,
    DUAL_PATH_END,
    FILTERBANK,
    Architecture,
)
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.layers.activation import PReLU, tanh
from mindaudio_ext.layers.chunk import Swap
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.dual_path import DualPath
from mindaudio_ext.layers.norm import make_norm
from mindaudio_ext.layers.rnn import RNN
from mindaudio_ext.registry import register, require_options

# Of `training_memory`: GiB of any DPRNN, and of each block; float32 values a frame and unit, and a frame and channel.
_KEPT = (0.628, 0.122, 60.4, 38.2)
_RECOMPUTED = (0.630, 0.044, 73.7, 59.4)


@register("dprnn")
class DPRNN(DualPath):
    """Estimates one mask a source by alternating RNNs within and across chunks.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        bottleneck_size: channels between the blocks, F.
        hidden_size: RNN units a direction.
        chunk_size: frames in a chunk, K; about sqrt(2 L) is the paper's advice.
        hop_size: frames between two chunks, at most K; half a chunk when None.
        n_blocks: dual-path blocks.
        rnn_type: "LSTM", "GRU" or "RNN" (tanh).
        norm: "gLN", "cLN", "cgLN" or "LN"; `layers.norm` says what they are.
        bidirectional: whether the RNN across chunks also runs backwards. The one within chunks always does. If not, and
            with another norm than gLN, a frame depends on the future only through the chunks it is in.
        dropout: share of values dropped between the layers of an RNN in training; of use from two layers on.
        rnn_layers: layers in each RNN.

    Attributes:
        blocks: x -> x, all alike.
        streaming_blocker: why `forward_step` cannot be used; empty when it can.
        n_ahead: frames between those that `forward_step` takes and those that it gives.
        starts_after_silence: whether a hop of silence comes before the signal.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].

    Raises:
        InputError: an option has a value this separator does not know.
    """

    causal_with: ClassVar[str] = "`bidirectional: false` and `norm` cgLN, cLN or LN; looks less than a chunk ahead"
    asteroid: ClassVar[Architecture] = Architecture(
        name="DPRNNTasNet",
        options={
            "bn_chan": "bottleneck_size",
            "hid_size": "hidden_size",
            **DUAL_PATH,
            "bidirectional": "bidirectional",
            "rnn_type": "rnn_type",
            "num_layers": "rnn_layers",
            "dropout": "dropout",
        },
        defaults={
            **COMMON_DEFAULTS,
            "n_filters": 64,
            "bn_chan": 128,
            "hid_size": 128,
            "chunk_size": 100,
            "hop_size": None,
            "n_repeats": 6,
            "norm_type": "gLN",
            "mask_act": "sigmoid",
            "bidirectional": True,
            "rnn_type": "LSTM",
            "num_layers": 1,
            "dropout": 0.0,
        },
        rules=(
            *FILTERBANK,
            *BOTTLENECK,
            Rule("masker.net.#.intra_RNN.rnn.*", "separator.blocks.#.intra_rnn.*"),
            Rule("masker.net.#.inter_RNN.rnn.*", "separator.blocks.#.inter_rnn.*"),
            Rule("masker.net.#.intra_linear.*", "separator.blocks.#.intra_dense.*"),
            Rule("masker.net.#.inter_linear.*", "separator.blocks.#.inter_dense.*"),
            Rule("masker.net.#.intra_norm.*", "separator.blocks.#.intra_norm.*"),
            Rule("masker.net.#.inter_norm.*", "separator.blocks.#.inter_norm.*"),
            *DUAL_PATH_END,
            Rule("masker.mask_net.weight", "separator.mask.weight", CONV),
        ),
        fixed={"use_mulcat": (False,)},
        norms=("gLN", "cLN"),
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: Size = 128,
        hidden_size: Size = 128,
        chunk_size: Annotated[int, Interval(ge=2, le=LARGEST_SIZE)] = 250,
        hop_size: Size | None = None,
        n_blocks: Size = 6,
        rnn_type: Literal["LSTM", "GRU", "RNN"] = "LSTM",
        norm: Literal["gLN", "cLN", "cgLN", "LN"] = "gLN",
        bidirectional: bool = True,
        dropout: Share = 0.0,
        rnn_layers: Size = 1,
    ) -> None:
        require_options(DPRNN, "separator_conf", {"chunk_size": chunk_size, "hop_size": hop_size})
        super().__init__(num_spks, chunk_size=chunk_size, hop_size=hop_size)
        self.bottleneck_size = bottleneck_size
        rnn: dict[str, Any] = {
            "rnn_type": rnn_type,
            "hidden_size": hidden_size,
            "num_layers": rnn_layers,
            "dropout": dropout,
        }

        self.input_norm = make_norm(norm, input_size)
        self.bottleneck = dense(input_size, bottleneck_size)
        self.blocks = nn.CellList(
            [DualPathBlock(bottleneck_size, norm=norm, bidirectional=bidirectional, **rnn) for _ in range(n_blocks)]
        )
        self.prelu = PReLU()
        self.expand = dense(bottleneck_size, num_spks * bottleneck_size)
        self.output = dense(bottleneck_size, bottleneck_size)
        self.gate = dense(bottleneck_size, bottleneck_size)
        self.mask = dense(bottleneck_size, input_size, has_bias=False)
        self.swap = Swap()
        self.n_ahead, self.starts_after_silence = chunk_size - self.hop_size, True
        self.streaming_blocker = _why_not_streaming(bidirectional=bidirectional, norm=norm, rnn_type=rnn_type)

    @staticmethod
    def training_memory(options: Mapping[str, Any], *, n_frames: int, n_crops: int, recompute: bool) -> float | None:
        """Returns the memory, GiB, of training with LSTMs on a CPU; None for what was not measured.

        Fitted to the table in docs/benchmarks.md, in frames (of all chunks of a batch), blocks and widths; of what a
        block keeps there is one with `recompute`, else one for each block.

        Args:
            options: of this separator.
            n_frames: of a crop.
            n_crops: of a batch, or of one of its parts.
            recompute: whether a block's inner values are computed again in the backward pass.
        """
        measured = {"rnn_type": "LSTM", "rnn_layers": 1, "bidirectional": True}
        if any(options[option] != value for option, value in measured.items()):
            return None
        size, n_blocks = options["chunk_size"], options["n_blocks"]
        hop = options["hop_size"] or size // 2
        in_chunks = n_crops * ((n_frames + size) // hop + 1) * size
        base, of_block, of_unit, of_channel = _RECOMPUTED if recompute else _KEPT
        values = in_chunks * (of_unit * options["hidden_size"] + of_channel * options["bottleneck_size"])
        return base + n_blocks * of_block + (1 if recompute else n_blocks) * 4 * values / 2**30

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes what goes through the blocks, [B, S, K, F], of features [B, L, N]."""
        return self.chunks_of(self.bottleneck(self.input_norm(features)))

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes mask logits, [B, C, L, N], of what has gone through the blocks, [B, S, K, F]."""
        n_batch, _, _, width = x.shape
        x = self.expand(self.prelu(x.reshape(-1, width)))  # [B * S * K, C * F]
        if n_batch == 1:
            x = self.swap(x.reshape(-1, self.num_spks, width))  # [C, S * K, F]
        else:
            x = x.reshape(n_batch, -1, self.chunk_size, self.num_spks, width).transpose(
                0, 3, 1, 2, 4
            )  # [B, C, S, K, F]
        x = self.frames_of(x.reshape(n_batch * self.num_spks, -1, self.chunk_size, width), n_frames)  # [B * C, L, F]
        return self._logits(x).reshape(n_batch, self.num_spks, n_frames, -1)  # [B, C, L, N]

    def _logits(self, x: Tensor) -> Tensor:
        return self.mask(tanh(self.output(x)) * ops.sigmoid(self.gate(x)))

    def initial_state(self) -> tuple[Tensor, ...]:
        """Returns the state before the first frame, for `forward_step`."""
        n_blocks, width = len(self.blocks), self.bottleneck_size
        return (
            ops.zeros((4,), ms.float32),
            ops.zeros((1, self.chunk_size, width), ms.float32),
            ops.zeros((self.num_spks, self.chunk_size, width), ms.float32),
            ops.stack([block.inter_rnn.initial_state(self.chunk_size) for block in self.blocks]),
            ops.zeros((n_blocks, 2, 4), ms.float32),
        )

    def forward_step(
        self, features: Tensor, is_frame: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Separates the next hop of frames of one signal; it goes on from the hop before it.

        Args:
            features: [1, P, N], a hop.
            is_frame: [1, P, 1], 1 where there is a frame, 0 before and after the signal.
            state: of the input's norm [4]; the last frames [1, K, F]; the sum of the chunks so far [C, K, F]; of the
                RNNs across chunks; of the blocks' norms [n_blocks, 2, 4].

        Returns:
            Mask logits, [1, C, P, N], of the hop K - P frames earlier, and the state after it.
        """
        norm, frames, sums, rnns, norms = state
        hop, width = self.hop_size, self.bottleneck_size
        x, norm = self.input_norm.forward_step(features, norm)
        frames = ops.concat((frames, self.bottleneck(x) * is_frame), axis=1)[:, hop:]  # [1, K, F]
        x = frames.expand_dims(1)  # [1, 1, K, F]
        next_rnns, next_norms = (), ()  # type: tuple[Tensor, ...], tuple[Tensor, ...]
        for i in range(len(self.blocks)):
            x, rnn, of_norms = self.blocks[i].forward_step(x, rnns[i], norms[i])
            next_rnns, next_norms = (*next_rnns, rnn), (*next_norms, of_norms)

        x = self.expand(self.prelu(x.reshape(-1, width))).reshape(self.chunk_size, self.num_spks, width)
        sums = sums + x.transpose(1, 0, 2)  # [C, K, F]
        logits = self._logits(sums[:, :hop]).expand_dims(0)  # [1, C, P, N]
        sums = ops.concat((sums[:, hop:], ops.zeros((self.num_spks, hop, width), x.dtype)), axis=1)
        return logits, (norm, frames, sums, ops.stack(next_rnns), ops.stack(next_norms))


def _why_not_streaming(*, bidirectional: bool, norm: str, rnn_type: str) -> str:
    """Returns the first option that keeps `forward_step` from being possible; none when it is."""
    if bidirectional:
        return "separator_conf.bidirectional is true"
    if norm.lower() == "gln":
        return "separator_conf.norm is gLN, which sees the whole signal"
    return f"separator_conf.rnn_type is {rnn_type}; streaming takes LSTM" if rnn_type.upper() != "LSTM" else ""


class DualPathBlock(nn.Cell):
    """An RNN along each chunk, then one across the chunks, each followed by a dense layer, a norm and a residual sum.

    Args:
        width: channels, F.
        rnn_type: "LSTM", "GRU" or "RNN".
        hidden_size: RNN units a direction.
        num_layers: layers in each RNN.
        dropout: between these layers.
        norm: the normalisation's name.
        bidirectional: of the RNN across chunks.

    Attributes:
        keeps: whether `with_kept` can be used.

    Inputs:
        x: [B, S, K, F].

    Outputs:
        The same shape.
    """

    def __init__(
        self,
        width: int,
        *,
        rnn_type: str,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        norm: str,
        bidirectional: bool,
    ) -> None:
        super().__init__()
        rnn: dict[str, Any] = {"num_layers": num_layers, "dropout": dropout}
        self.intra_rnn = RNN(rnn_type, width, hidden_size, bidirectional=True, **rnn)
        self.intra_dense = dense(2 * hidden_size, width)
        self.intra_norm = make_norm(norm, width)
        self.inter_rnn = RNN(rnn_type, width, hidden_size, bidirectional=bidirectional, **rnn)
        self.inter_dense = dense((2 if bidirectional else 1) * hidden_size, width)
        self.inter_norm = make_norm(norm, width)
        self.swap = Swap()
        self.keeps = self.intra_rnn.keeps and self.inter_rnn.keeps

    def construct(self, x: Tensor) -> Tensor:
        x = self._add_intra(x, self.intra_rnn(self._before_intra(x)))
        return self._add_inter(x, self.inter_rnn(self._before_inter(x)))

    def with_kept(self, x: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Computes the block and what its RNNs keep, or with that their outputs are not computed again.

        Args:
            x: [B, S, K, F].
            kept: what this has given for x; () to compute it.

        Returns:
            [B, S, K, F], and what is kept. Only where `keeps`.
        """
        n_each = len(kept) // 2
        y, intra = self.intra_rnn.with_kept(self._before_intra(x), kept[:n_each])
        x = self._add_intra(x, y)
        y, inter = self.inter_rnn.with_kept(self._before_inter(x), kept[n_each:])
        return self._add_inter(x, y), intra + inter

    def _before_intra(self, x: Tensor) -> Tensor:
        """Brings chunks [B, S, K, F] into the order of their RNN, [K, B * S, F]."""
        _, _, size, width = x.shape
        return self.swap(x.reshape(-1, size, width))

    def _add_intra(self, x: Tensor, y: Tensor) -> Tensor:
        """Adds what the RNN has given, [K, B * S, H], to [B, S, K, F]."""
        return x + self.intra_norm(self.swap(self.intra_dense(y)).reshape(x.shape))

    def _before_inter(self, x: Tensor) -> Tensor:
        """Brings chunks [B, S, K, F] into the order of the RNN across them, [S, B * K, F]."""
        n_batch, n_chunks, size, width = x.shape
        y = x if n_batch == 1 else self.swap(x.reshape(n_batch, -1, size * width))  # [S, B, K * F]
        return y.reshape(n_chunks, n_batch * size, width)

    def _add_inter(self, x: Tensor, y: Tensor) -> Tensor:
        """Adds what the RNN has given, [S, B * K, H], to [B, S, K, F]."""
        n_batch, _, size, width = x.shape
        y = self.inter_dense(y)
        y = y if n_batch == 1 else self.swap(y.reshape(-1, n_batch, size * width))  # [B, S, K * F]
        return x + self.inter_norm(y.reshape(x.shape))

    def become_identity(self) -> None:
        """Makes the block give its input; it learns from there on as any other."""
        for norm in (self.intra_norm, self.inter_norm):
            for parameter in norm.get_parameters():
                parameter.set_data(ops.zeros_like(parameter))

    def forward_step(self, x: Tensor, rnn: Tensor, norms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Goes on with the next chunk of one signal, [1, 1, K, F]; the states are those of `DPRNN.forward_step`."""
        _, _, size, width = x.shape
        y = self.intra_dense(self.intra_rnn(x.reshape(size, 1, width)))  # [K, 1, F]
        y, intra_norm = self.intra_norm.forward_step(y.reshape(1, 1, size, width), norms[0])
        x = x + y

        y, rnn = self.inter_rnn.forward_step(x.reshape(1, size, width), rnn)  # [1, K, H]
        y, inter_norm = self.inter_norm.forward_step(self.inter_dense(y).reshape(1, 1, size, width), norms[1])
        return x + y, rnn, ops.stack((intra_norm, inter_norm))
