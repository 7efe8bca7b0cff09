"""TF-GridNet, which goes through the spectrum along frequencies, along time, and from frame to frame by attention.

Wang, Cornell, Choi, Lee, Kim and Watanabe, "TF-GridNet: integrating full- and sub-band modeling for speech separation",
TASLP 2023; the order of operations and the sizes are those of ESPnet's TFGridNetV2.

features [B, L, 2F], real and imaginary parts -> convolution and norm [B, L, F, N] -> blocks: LSTM along the frequencies
of each frame, LSTM along the frames of each frequency, attention between frames -> spectra of the sources [B, C, L, 2F]
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from mindaudio_ext.config.types import Size
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.convert.public_model import Arguments, PublicModel, espnet_normalizes
from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.blocks import BlockSeparator
from mindaudio_ext.layers.chunk import overlap_add, split
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.norm import ChannelLayerNorm, GlobalLayerNorm
from mindaudio_ext.layers.rnn import LSTM
from mindaudio_ext.registry import register, require_options

EPSILON = 1e-5  # of all norms


def _espnet_config(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of ESPnet's `tfgridnetv2`, which has the transform and the level within."""
    for name in ("encoder", "decoder"):
        theirs.require(name, "same", default=None)
        theirs.leave_out(f"{name}_conf.class")
    espnet_normalizes(theirs)  # it does so anyway
    theirs.require("model_conf.flexible_numspk", False)
    theirs.leave_out(*(name for name in theirs.values if name.startswith("model_conf.")), "separator_conf.class")
    theirs.require("separator_conf.window", "hann")
    theirs.require("separator_conf.activation", "prelu")
    theirs.require("separator_conf.eps", EPSILON)
    theirs.require("separator_conf.n_imics", 1)
    theirs.leave_out("separator_conf.ref_channel", "separator_conf.use_builtin_complex", "separator_conf.input_dim")
    kernel_size = theirs.get("separator_conf.n_fft", 128)
    options = {
        "bottleneck_size": theirs.get("separator_conf.emb_dim", 48),
        "hidden_size": theirs.get("separator_conf.lstm_hidden_units", 192),
        "n_blocks": theirs.get("separator_conf.n_layers", 6),
        "n_heads": theirs.get("separator_conf.attn_n_head", 4),
        "attention_size": theirs.get("separator_conf.attn_approx_qk_dim", 512),
        "unfold_size": theirs.get("separator_conf.emb_ks", 4),
        "unfold_hop": theirs.get("separator_conf.emb_hs", 1),
    }
    return {
        "sample_rate": theirs.sample_rate,
        "num_spks": theirs.get("separator_conf.n_srcs", 2),
        "encoder": "stft",
        "encoder_conf": {"window": "hann", "padding": "reflect"},
        "n_filters": kernel_size + 2,
        "kernel_size": kernel_size,
        "stride": theirs.get("separator_conf.stride", 64),
        "encoder_activation": "linear",
        "mask_activation": "mapping",
        "normalize_variance": True,
        "separator_conf": options,
    }


def _espnet_names(_: Mapping[str, Any]) -> tuple[Rule, ...]:
    rules = [
        Rule("separator.conv.0.*", "separator.input.*"),
        Rule("separator.conv.1.weight", "separator.input_norm.gamma"),
        Rule("separator.conv.1.bias", "separator.input_norm.beta"),
        Rule("separator.deconv.*", "separator.output.*"),
    ]
    block, of_ours = "separator.blocks.#", "separator.blocks.#"
    for theirs, ours in (("intra", "along_frequencies"), ("inter", "along_frames")):
        rules += [
            Rule(f"{block}.{theirs}_norm.weight", f"{of_ours}.{ours}.norm.gamma"),
            Rule(f"{block}.{theirs}_norm.bias", f"{of_ours}.{ours}.norm.beta"),
            Rule(f"{block}.{theirs}_rnn.*", f"{of_ours}.{ours}.rnn.*"),
            Rule(f"{block}.{theirs}_linear.*", f"{of_ours}.{ours}.fold.*"),
        ]
    for theirs, ours in (("Q", "query"), ("K", "key"), ("V", "value")):
        rules += [
            Rule(f"{block}.attn_conv_{theirs}.*", f"{of_ours}.attention.{ours}.dense.*"),
            Rule(f"{block}.attn_norm_{theirs}.act.weight", f"{of_ours}.attention.{ours}.prelu.weight"),
            Rule(f"{block}.attn_norm_{theirs}.*", f"{of_ours}.attention.{ours}.norm.*"),
        ]
    rules += [
        Rule(f"{block}.attn_concat_proj.0.*", f"{of_ours}.attention.output.dense.*"),
        Rule(f"{block}.attn_concat_proj.1.weight", f"{of_ours}.attention.output.prelu.weight"),
        Rule(f"{block}.attn_concat_proj.2.*", f"{of_ours}.attention.output.norm.*"),
    ]
    return tuple(rules)


@register("tfgridnet")
class TFGridNet(BlockSeparator):
    """Gives the spectra of the sources themselves; its parameters fit one number of frequencies.

    Published with the encoder stft (window hann, padding reflect) and normalize_variance.

    Args:
        input_size: real and imaginary parts of F frequencies, 2F.
        num_spks: sources, C.
        bottleneck_size: channels of each frequency of each frame, N; a multiple of n_heads.
        hidden_size: LSTM units a direction, H.
        n_blocks: blocks.
        n_heads: heads of the attention.
        attention_size: numbers in a head's queries and keys of a frame, at least: it is divided among the
            frequencies, and each has as many, rounded up.
        unfold_size: frequencies, or frames, that an LSTM takes together in a step, I.
        unfold_hop: between two steps, at most unfold_size.

    Attributes:
        blocks: x -> x, all alike.

    Inputs:
        features: [B, L, 2F].

    Outputs:
        Spectra, [B, C, L, 2F].

    Raises:
        InputError: options do not go together, or input_size is odd.
    """

    causal_with: ClassVar[str] = "nothing: its LSTMs and its attention look at the whole"
    mask_activations: ClassVar[tuple[str, ...]] = ("mapping",)
    public: ClassVar[tuple[PublicModel, ...]] = (
        PublicModel("espnet", "tfgridnetv2", config=_espnet_config, names=_espnet_names),
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: Size = 48,
        hidden_size: Size = 192,
        n_blocks: Size = 6,
        n_heads: Size = 4,
        attention_size: Size = 512,
        unfold_size: Size = 4,
        unfold_hop: Size = 1,
    ) -> None:
        super().__init__()
        require_options(
            TFGridNet,
            "separator_conf",
            {
                "bottleneck_size": bottleneck_size,
                "n_heads": n_heads,
                "unfold_size": unfold_size,
                "unfold_hop": unfold_hop,
            },
        )
        if input_size % 2:
            raise InputError(
                f"n_filters: tfgridnet needs real and imaginary parts, an even number; got {input_size}; "
                "published with encoder stft"
            )
        self.num_spks, self.n_frequencies = num_spks, input_size // 2
        self.input = Conv3x3(2, bottleneck_size)
        self.input_norm = GlobalLayerNorm(bottleneck_size, EPSILON)
        sizes: dict[str, Any] = {
            "hidden_size": hidden_size,
            "n_heads": n_heads,
            "attention_size": attention_size,
            "unfold_size": unfold_size,
            "unfold_hop": unfold_hop,
        }
        self.blocks = nn.CellList([GridBlock(bottleneck_size, self.n_frequencies, **sizes) for _ in range(n_blocks)])
        self.output = TransposedConv3x3(bottleneck_size, 2 * num_spks)

    @staticmethod
    def check_options(
        *, bottleneck_size: int, n_heads: int, unfold_size: int, unfold_hop: int, **_: object
    ) -> Iterator[tuple[str, str]]:
        """Yields an option and what is wrong with it, of the rules for several options together."""
        if bottleneck_size % n_heads:
            yield "bottleneck_size", f"must be a multiple of n_heads ({n_heads}), got {bottleneck_size}"
        if unfold_hop > unfold_size:
            yield "unfold_hop", f"must be at most unfold_size ({unfold_size}), got {unfold_hop}"

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes what goes through the blocks, [B, L, F, N]."""
        n_batch, n_frames, _ = features.shape
        x = features.reshape(n_batch, n_frames, 2, self.n_frequencies).swapaxes(2, 3)  # [B, L, F, 2]
        return self.input_norm(self.input(x))

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes spectra, [B, C, L, 2F], of what has gone through the blocks, [B, L, F, N]."""
        x = self.output(x).reshape(x.shape[0], n_frames, self.n_frequencies, self.num_spks, 2)
        x = x.transpose(0, 3, 1, 4, 2)  # [B, C, L, 2, F]
        return x.reshape(x.shape[0], self.num_spks, n_frames, 2 * self.n_frequencies)


class GridBlock(nn.Cell):
    """An LSTM along the frequencies, an LSTM along the frames, and attention between frames (section III.B).

    Args:
        width: N.
        n_frequencies: F.
        hidden_size, n_heads, attention_size, unfold_size, unfold_hop: those of `TFGridNet`.

    Inputs:
        x: [B, L, F, N].

    Outputs:
        The same shape.
    """

    def __init__(
        self,
        width: int,
        n_frequencies: int,
        *,
        hidden_size: int,
        n_heads: int,
        attention_size: int,
        unfold_size: int,
        unfold_hop: int,
    ) -> None:
        super().__init__()
        self.size, self.hop = unfold_size, unfold_hop
        self.along_frequencies = UnfoldedLSTM(width, hidden_size, unfold_size, unfold_hop)
        self.along_frames = UnfoldedLSTM(width, hidden_size, unfold_size, unfold_hop)
        self.attention = FrameAttention(width, n_frequencies, n_heads, attention_size)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, n_frequencies, width = x.shape
        x = fill_up(x.reshape(n_batch, n_frames, n_frequencies * width), self.size, self.hop)  # [B, L', F * N]
        n_filled = x.shape[1]
        x = fill_up(x.reshape(n_batch * n_filled, n_frequencies, width), self.size, self.hop)  # [B * L', F', N]
        x = self.along_frequencies(x.transpose(1, 0, 2))  # [F', B * L', N]
        x = x.reshape(-1, n_batch, n_filled, width).transpose(2, 1, 0, 3)  # [L', B, F', N]
        x = self.along_frames(x.reshape(n_filled, -1, width)).reshape(n_filled, n_batch, -1, width)
        first = self.size - self.hop
        x = x[first : first + n_frames, :, first : first + n_frequencies]
        return self.attention(x.swapaxes(0, 1))


def fill_up(x: Tensor, size: int, hop: int) -> Tensor:
    """Puts zeros around a sequence, [B, L, N], so that windows of `size` every `hop` see each place equally often.

    There are size - hop zeros before it, and as many or up to hop - 1 more after it, where the last window ends.
    """
    n_batch, n_places, width = x.shape
    silence = ops.zeros((n_batch, size, width), x.dtype)
    n_filled = (n_places + size - hop - 1) // hop * hop + size
    parts = (x, silence) if size == hop else (silence[:, : size - hop], x, silence)
    return ops.concat(parts, axis=1)[:, :n_filled]


class UnfoldedLSTM(nn.Cell):
    """A norm, an LSTM that takes several places together in each step, what it says of each place, and a residual sum.

    Args:
        width: N.
        hidden_size: LSTM units a direction, H.
        size: places in a step, I.
        hop: places between two steps.

    Inputs:
        x: [P, R, N], along P, which windows of `size` every `hop` fill.

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, hidden_size: int, size: int, hop: int) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        self.norm = ChannelLayerNorm(width, EPSILON)
        self.rnn = LSTM(width * size, hidden_size)
        self.fold = dense(2 * hidden_size, width * size) if size == hop else Fold(2 * hidden_size, width, size, hop)

    def construct(self, x: Tensor) -> Tensor:
        n_places, n_rows, width = x.shape
        y = split(self.norm(x).reshape(1, n_places, n_rows * width), self.size, self.hop)
        y = y.reshape(-1, self.size, n_rows, width)  # [steps, I, R, N]
        if self.size == self.hop:
            y = y.transpose(0, 2, 1, 3)
            y = self.fold(self.rnn(y.reshape(-1, n_rows, self.size * width)))  # [steps, R, I * N]
            y = y.reshape(-1, n_rows, self.size, width).transpose(0, 2, 1, 3)
            return x + y.reshape(n_places, n_rows, width)
        y = y.transpose(0, 2, 3, 1)  # ESPnet's order within a step: all places of a channel
        return x + self.fold(self.rnn(y.reshape(-1, n_rows, width * self.size)))


class Fold(nn.Cell):
    """A transposed convolution: what each step says of its places is added up.

    Args:
        n_in: features of a step, M.
        width: N.
        size: places in a step, I.
        hop: places between two steps.

    Inputs:
        x: [steps, R, M].

    Outputs:
        [P, R, N].
    """

    weight_is_per_input = True  # for the count of multiply-adds

    def __init__(self, n_in: int, width: int, size: int, hop: int) -> None:
        super().__init__()
        self.width, self.size, self.hop = width, size, hop
        self.weight, self.bias = _convolution((n_in, width, size), width, fan_in=width * size)

    def construct(self, x: Tensor) -> Tensor:
        n_rows = x.shape[1]
        y = ops.matmul(x, self.weight.transpose(0, 2, 1).reshape(-1, self.size * self.width))  # [steps, R, I * N]
        y = y.reshape(-1, n_rows, self.size, self.width).transpose(0, 2, 1, 3)  # [steps, I, R, N]
        y = overlap_add(y.reshape(1, -1, self.size, n_rows * self.width), self.hop)  # [1, P, R * N]
        return y.reshape(-1, n_rows, self.width) + self.bias


class FrameAttention(nn.Cell):
    """Attention between frames, each with all of its frequencies (section III.B, "cross-frame self-attention").

    Args:
        width: N.
        n_frequencies: F.
        n_heads: heads, H.
        attention_size: numbers in a head's queries and keys, at least.

    Inputs:
        x: [B, L, F, N].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, n_frequencies: int, n_heads: int, attention_size: int) -> None:
        super().__init__()
        self.n_heads, self.n_frequencies = n_heads, n_frequencies
        self.size = math.ceil(attention_size / n_frequencies)  # of a frequency, E
        self.query = Projection(width, n_frequencies, n_heads, self.size)
        self.key = Projection(width, n_frequencies, n_heads, self.size)
        self.value = Projection(width, n_frequencies, n_heads, width // n_heads)
        self.output = Projection(width, n_frequencies, 1, width)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, n_frequencies, width = x.shape
        query, key, value = self._flat(self.query(x)), self._flat(self.key(x)), self._flat(self.value(x))
        scores = ops.bmm(query, key.swapaxes(1, 2)) * (self.size * n_frequencies) ** -0.5  # [B * H, L, L]
        y = ops.bmm(ops.softmax(scores, axis=-1), value)  # [B * H, L, N / H * F]
        y = y.reshape(n_batch, self.n_heads, n_frames, -1, n_frequencies).transpose(0, 2, 4, 1, 3)
        y = self.output(y.reshape(n_batch, n_frames, n_frequencies, width))  # [B, 1, L, N * F]
        return x + y.reshape(n_batch, n_frames, width, n_frequencies).swapaxes(2, 3)

    def _flat(self, x: Tensor) -> Tensor:
        """[B, H, L, M] to [B * H, L, M]."""
        return x.reshape(-1, x.shape[2], x.shape[3])

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns the multiply-adds of the products between frames."""
        n_batch, n_frames, n_frequencies, width = x.shape
        return n_batch * n_frames**2 * n_frequencies * (self.n_heads * self.size + width)


class Projection(nn.Cell):
    """Dense layer, PReLU and norm, of each head: [B, L, F, N] to [B, H, L, E * F].

    Args:
        width: N.
        n_frequencies: F.
        n_heads: heads, H; each has a weight of the PReLU.
        size: channels of a head, E.
    """

    def __init__(self, width: int, n_frequencies: int, n_heads: int, size: int) -> None:
        super().__init__()
        self.n_heads, self.size = n_heads, size
        self.dense = dense(width, n_heads * size)
        self.prelu = PReLU(n_heads)
        self.norm = HeadNorm(n_heads, size, n_frequencies)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, n_frequencies, _ = x.shape
        y = self.prelu(self.dense(x)).reshape(n_batch, n_frames, n_frequencies, self.n_heads, self.size)
        y = y.transpose(0, 3, 1, 4, 2)  # [B, H, L, E, F]
        return self.norm(y.reshape(n_batch, self.n_heads, n_frames, self.size * n_frequencies))


class HeadNorm(nn.Cell):
    """Normalises each frame of each head over all its channels and frequencies, which have scales and shifts each.

    Args:
        n_heads: H.
        size: channels, E.
        n_frequencies: F.

    Inputs:
        x: [B, H, L, E * F].

    Outputs:
        The same shape.
    """

    def __init__(self, n_heads: int, size: int, n_frequencies: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        shape = (n_heads, size, n_frequencies)
        self.gamma = Parameter(ops.ones(shape, ms.float32), name="gamma")
        self.beta = Parameter(ops.zeros(shape, ms.float32), name="beta")
        self.normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=EPSILON)
        self.one, self.zero = ops.ones((size * n_frequencies,), ms.float32), ops.zeros((size * n_frequencies,))

    def construct(self, x: Tensor) -> Tensor:
        y = self.normalise(x.astype(ms.float32), self.one, self.zero)[0]
        y = y * self.gamma.reshape(self.n_heads, 1, -1) + self.beta.reshape(self.n_heads, 1, -1)
        return y.astype(x.dtype)

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns none: norms are not counted."""
        return 0


class Conv3x3(nn.Cell):
    """A convolution over frames and frequencies, with a frame or frequency of zeros at each side.

    Inputs:
        x: [B, L, F, M].

    Outputs:
        [B, L, F, N].
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight, self.bias = _convolution((n_out, n_in, 3, 3), n_out, fan_in=9 * n_in)

    def construct(self, x: Tensor) -> Tensor:
        weight = self.weight.transpose(2, 3, 1, 0).reshape(-1, self.weight.shape[0])  # [9 * M, N]
        return ops.matmul(ops.concat(_neighbours(x), axis=3), weight) + self.bias


class TransposedConv3x3(nn.Cell):
    """The transpose of such a convolution: what each place says of its neighbours is added up.

    Inputs:
        x: [B, L, F, M].

    Outputs:
        [B, L, F, N].
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out
        self.weight, self.bias = _convolution((n_in, n_out, 3, 3), n_out, fan_in=9 * n_out)

    def construct(self, x: Tensor) -> Tensor:
        weight = self.weight.transpose(0, 2, 3, 1).reshape(-1, 9 * self.n_out)  # [M, 9 * N]
        said = _neighbours(ops.matmul(x, weight))  # each neighbour's, of all of its own
        y = self.bias
        for place in range(9):  # a neighbour before says it of the one after
            opposite = 8 - place
            y = y + said[place][:, :, :, opposite * self.n_out : (opposite + 1) * self.n_out]
        return y


def _neighbours(x: Tensor) -> list[Tensor]:
    """Returns what is at each of the nine places around all of [B, L, F, N], each [B, L, F, N]."""
    n_batch, n_frames, n_frequencies, width = x.shape
    row = ops.zeros((n_batch, 1, n_frequencies, width), x.dtype)
    x = ops.concat((row, x, row), axis=1)
    column = ops.zeros((n_batch, n_frames + 2, 1, width), x.dtype)
    x = ops.concat((column, x, column), axis=2)  # [B, L + 2, F + 2, N]
    return [x[:, place // 3 :, place % 3 :][:, :n_frames, :n_frequencies] for place in range(9)]


def _convolution(shape: tuple[int, ...], n_out: int, *, fan_in: int) -> tuple[Parameter, Parameter]:
    """Returns a weight and a bias with PyTorch's initial values."""
    scale = Uniform(fan_in**-0.5)
    weight, bias = initializer(scale, shape, ms.float32), initializer(scale, (n_out,), ms.float32)
    return Parameter(weight, name="weight"), Parameter(bias, name="bias")
