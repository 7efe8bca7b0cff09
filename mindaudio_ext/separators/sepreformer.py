"""SepReformer, with the sources split early and restored by a decoder they share.

Shin, Lee, Kim and Park, "Separate and reconstruct: asymmetric encoder-decoder for speech separation", NeurIPS 2024.

features [B, L, N] -> norm, bottleneck x [B, L, F] -> R stages, each of half as many frames, and one more -> each
stage's result split into the sources -> R stages back, each with the split result of the same length -> features of the
sources [B, C, L, N]

There is no mask. In training, what enters each stage of the way back becomes an estimate too, with a loss of its own.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import mindspore as ms
from annotated_types import Interval
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Normal, Uniform, initializer

from mindaudio_ext.config.types import Share, Size
from mindaudio_ext.layers.activation import gelu
from mindaudio_ext.layers.batch_norm import BatchNorm
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.depthwise import DepthwiseConv
from mindaudio_ext.layers.norm import ChannelLayerNorm, GlobalLayerNorm
from mindaudio_ext.layers.pool import nearest_to
from mindaudio_ext.registry import register, require_options

EPSILON = 1e-5  # of the norms over channels
DOWN_KERNEL_SIZE = 5  # frames that the convolution between two stages sees


@register("sepreformer")
class SepReformer(nn.Cell):
    """Estimates the features of the sources by stages of global and local blocks, half of them with sources apart.

    Published with the encoder padded_conv and its activation gelu.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        bottleneck_size: channels between the blocks, F; a multiple of n_heads.
        n_stages: on the way down, each with half the frames of the one before, R; as many on the way back.
        n_heads: attention heads.
        kernel_size: frames that the convolution of a local block sees.
        max_distance: frames of the coarsest stage, beyond which attention tells no distances apart.
        shared_split: whether all stages split into sources by the same parameters, as published but for WHAM!.
        dropout: of attention weights, in the blocks and before their sums, in training.

    Attributes:
        n_auxiliary: estimates that it gives beside its output, in training.

    Inputs:
        features: [B, L, N].

    Outputs:
        Features of the sources, [B, C, L, N].

    Raises:
        InputError: options do not go together.
    """

    causal_with: ClassVar[str] = "nothing: its attention sees the whole"
    mask_activations: ClassVar[tuple[str, ...]] = ("mapping",)

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: Size = 128,
        n_stages: Annotated[int, Interval(ge=1, le=12)] = 4,
        n_heads: Size = 8,
        kernel_size: Size = 65,
        max_distance: Size = 2000,
        shared_split: bool = True,
        dropout: Share = 0.05,
    ) -> None:
        super().__init__()
        require_options(SepReformer, "separator_conf", {"bottleneck_size": bottleneck_size, "n_heads": n_heads})
        self.num_spks, self.n_stages, self.n_auxiliary = num_spks, n_stages, n_stages
        size = bottleneck_size
        block: dict[str, Any] = {"n_heads": n_heads, "kernel_size": kernel_size, "dropout": dropout}
        self.input_norm = GlobalLayerNorm(input_size)
        self.bottleneck = dense(input_size, size, has_bias=False)
        self.positions = RelativePositions(size // n_heads, max_distance)
        factors = [2**stage for stage in range(n_stages, -1, -1)]  # of each stage's frames to the coarsest's
        self.encoder = nn.CellList([EncoderStage(size, factor=factor, **block) for factor in factors])
        self.down = nn.CellList([Halve(size) for _ in range(n_stages)])
        self.split = nn.CellList([Split(size, num_spks) for _ in range(1 if shared_split else n_stages + 1)])
        self.fuse = nn.CellList([dense(2 * size, size) for _ in range(n_stages)])
        self.decoder = nn.CellList([DecoderStage(size, num_spks, factor=factor, **block) for factor in factors[-2::-1]])
        self.output = Head(size, input_size)
        self.auxiliary = nn.CellList([Head(size, input_size) for _ in range(n_stages)])

    @staticmethod
    def check_options(*, bottleneck_size: int, n_heads: int, **_: object) -> Iterator[tuple[str, str]]:
        """Yields an option and what is wrong with it, of the rules for several options together."""
        if bottleneck_size % n_heads:
            yield "bottleneck_size", f"must be a multiple of n_heads ({n_heads}), got {bottleneck_size}"

    def construct(self, features: Tensor) -> Tensor:
        return self._features(self._stages(features)[self.n_stages], features.shape[1])

    def with_auxiliary(self, features: Tensor) -> tuple[Tensor, ...]:
        """Returns what `construct` does and, from the coarsest stage on, features of what enters each stage back."""
        n_batch, n_frames, n_features = features.shape
        stages = self._stages(features)
        outputs = (self._features(stages[self.n_stages], n_frames),)  # type: tuple[Tensor, ...]
        for stage in range(self.n_auxiliary):
            masks = ops.relu(self.auxiliary[stage](stages[stage]))  # [B * C, l, N]
            masks = nearest_to(masks, n_frames).reshape(n_batch, self.num_spks, n_frames, n_features)
            outputs = (*outputs, masks * features.expand_dims(1))
        return outputs

    def _stages(self, features: Tensor) -> list[Tensor]:
        """Returns what enters each stage of the way back, and what leaves the last: R + 1 times [B * C, l, F]."""
        n_frames, coarsest = features.shape[1], 2**self.n_stages
        n_coarse = (n_frames + coarsest - 1) // coarsest
        x = self.bottleneck(self.input_norm(features))  # [B, L, F]
        zeros = ops.zeros((x.shape[0], coarsest, x.shape[2]), x.dtype)
        x = ops.concat((x, zeros), axis=1)[:, : n_coarse * coarsest]  # [B, L', F]
        positions = self.positions(n_coarse)
        skips = []
        for stage in range(self.n_stages):
            x = self.encoder[stage](x, positions)
            skips.append(self._split(stage, x))  # [B * C, L' / 2^stage, F]
            x = self.down[stage](x)
        x = self._split(self.n_stages, self.encoder[self.n_stages](x, positions))  # [B * C, L' / 2^R, F]
        entered = [x]
        for stage in range(self.n_stages):
            x = ops.concat((repeat(x, 2), skips[self.n_stages - 1 - stage]), axis=2)
            x = self.decoder[stage](self.fuse[stage](x), positions)
            entered.append(x)
        return entered

    def _split(self, stage: int, x: Tensor) -> Tensor:
        return self.split[stage if len(self.split) > 1 else 0](x)

    def _features(self, x: Tensor, n_frames: int) -> Tensor:
        """[B * C, L', F] -> [B, C, L, N]."""
        x = self.output(x[:, :n_frames])
        return x.reshape(-1, self.num_spks, n_frames, x.shape[2])


class RelativePositions(nn.Cell):
    """A trained vector for each distance between two frames, in both directions up to a largest one.

    Shaw, Uszkoreit and Vaswani, "Self-attention with relative position representations", NAACL 2018.

    Args:
        width: channels of a head.
        max_distance: farther frames are taken as this far.

    Inputs:
        n_frames: T.

    Outputs:
        [2 T, F / H]: those of the distances T - 1, T - 2, ..., -T.
    """

    def __init__(self, width: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.table = Parameter(initializer(Normal(1.0), (2 * max_distance, width), ms.float32), name="table")

    def construct(self, n_frames: int) -> Tensor:
        distances = n_frames - 1 - ops.arange(2 * n_frames).astype(ms.int32)
        nearest = ops.minimum(ops.maximum(distances, -self.max_distance), self.max_distance - 1)
        return ops.gather(self.table, nearest + self.max_distance, 0)

    def own_multiply_adds(self, n_frames: int) -> int:
        """Returns 0: the table is looked up."""
        return 0


class EncoderStage(nn.Cell):
    """Twice a global and a local block.

    Args:
        width: channels, F.
        n_heads, kernel_size, dropout: those of `SepReformer`.
        factor: frames for one of the coarsest stage.

    Inputs:
        x: [B, L, F].
        positions: of the coarsest stage's T frames, [2 T, F / H].

    Outputs:
        [B, L, F].
    """

    def __init__(self, width: int, *, n_heads: int, kernel_size: int, dropout: float, factor: int) -> None:
        super().__init__()
        self.over_all = nn.CellList([GlobalBlock(width, n_heads, factor, dropout) for _ in range(2)])
        self.nearby = nn.CellList([LocalBlock(width, kernel_size, dropout) for _ in range(2)])

    def construct(self, x: Tensor, positions: Tensor) -> Tensor:
        for number in range(2):
            x = self.nearby[number](self.over_all[number](x, positions))
        return x


class DecoderStage(nn.Cell):
    """Three times a global block, a local block, and attention among the sources.

    Args:
        width: channels, F.
        num_spks: sources, C.
        n_heads, kernel_size, dropout, factor: those of `EncoderStage`.

    Inputs:
        x: [B * C, L, F].
        positions: [2 T, F / H].

    Outputs:
        [B * C, L, F].
    """

    def __init__(
        self, width: int, num_spks: int, *, n_heads: int, kernel_size: int, dropout: float, factor: int
    ) -> None:
        super().__init__()
        self.over_all = nn.CellList([GlobalBlock(width, n_heads, factor, dropout) for _ in range(3)])
        self.nearby = nn.CellList([LocalBlock(width, kernel_size, dropout) for _ in range(3)])
        self.among = nn.CellList([SourceBlock(width, num_spks, n_heads, dropout) for _ in range(3)])

    def construct(self, x: Tensor, positions: Tensor) -> Tensor:
        for number in range(3):
            x = self.among[number](self.nearby[number](self.over_all[number](x, positions)))
        return x


class GlobalBlock(nn.Cell):
    """Attention over all frames, of the coarsest stage's number of means, behind a gate; then a feed-forward part.

    Args:
        width: channels, F.
        n_heads: attention heads, H.
        factor: frames that one mean is of.
        dropout: of attention weights, of their result and in the feed-forward part.

    Inputs:
        x: [B, L, F], L a multiple of the factor.
        positions: of the L / factor means, [2 T, F / H].

    Outputs:
        [B, L, F].
    """

    def __init__(self, width: int, n_heads: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.factor = factor
        self.norm = ChannelLayerNorm(width, EPSILON)
        self.attention = Attention(width, n_heads, dropout)
        self.gate_norm = ChannelLayerNorm(width, EPSILON)
        self.gate = dense(width, width)
        self.feedforward = FeedForward(width, dropout)

    def construct(self, x: Tensor, positions: Tensor) -> Tensor:
        means = average(x, self.factor)  # [B, T, F]
        attended = repeat(self.attention(self.norm(means), positions), self.factor)  # [B, L, F]
        x = x + ops.sigmoid(self.gate(self.gate_norm(x))) * attended
        return self.feedforward(x)


class LocalBlock(nn.Cell):
    """A depthwise convolution between dense layers, and a feed-forward part, each added to its input.

    Args:
        width: channels, F.
        kernel_size: frames that the convolution sees.
        dropout: before each sum and within the feed-forward part.

    Inputs:
        x: [B, L, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(width, EPSILON)
        self.input = dense(width, 2 * width)
        self.conv = DepthwiseConv(width, kernel_size)
        self.widen = dense(width, 2 * width)
        self.widen_norm = BatchNorm(2 * width)
        self.output = ScaledDense(2 * width, width)
        self.dropout = nn.Dropout(p=float(dropout))
        self.feedforward = FeedForward(width, dropout)

    def construct(self, x: Tensor) -> Tensor:
        y = self.conv(glu(self.input(self.norm(x))))
        y = gelu(self.widen_norm(self.widen(y)))  # [B, L, 2F]
        return self.feedforward(x + self.dropout(self.output(y)))


class SourceBlock(nn.Cell):
    """Attention of each frame's sources to each other, and a feed-forward part, each added to its input.

    Args:
        width: channels, F.
        num_spks: sources, C.
        n_heads: attention heads.
        dropout: as in `GlobalBlock`.

    Inputs:
        x: [B * C, L, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, num_spks: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_spks = num_spks
        self.norm = ChannelLayerNorm(width, EPSILON)
        self.attention = Attention(width, n_heads, dropout)
        self.feedforward = FeedForward(width, dropout)

    def construct(self, x: Tensor) -> Tensor:
        _, n_frames, width = x.shape
        sources = self.norm(x).reshape(-1, self.num_spks, n_frames, width).transpose(0, 2, 1, 3)  # [B, L, C, F]
        attended = self.attention(sources.reshape(-1, self.num_spks, width))  # [B * L, C, F]
        attended = attended.reshape(-1, n_frames, self.num_spks, width).transpose(0, 2, 1, 3)  # [B, C, L, F]
        return self.feedforward(x + attended.reshape(-1, n_frames, width))


class Attention(nn.Cell):
    """Several heads of attention, with or without the frames' distances, and a scale for each channel of the result.

    Args:
        width: channels, F.
        n_heads: heads, H.
        dropout: of the weights and of the result.

    Inputs:
        x: [B, T, F].
        positions: of the distances T - 1 to -T, [2 T, F / H]; None: they play no part.

    Outputs:
        [B, T, F].
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.scale = n_heads, (width // n_heads) ** -0.5
        self.query, self.key, self.value = dense(width, width), dense(width, width), dense(width, width)
        self.output = ScaledDense(width, width)
        self.weight_dropout, self.dropout = nn.Dropout(p=float(dropout)), nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        query = self._heads(self.query(x) * self.scale)  # [B, H, T, F / H]
        scores = ops.matmul(query, self._heads(self.key(x)).swapaxes(2, 3))  # [B, H, T, T]
        if positions is not None:
            scores = scores + _by_frames(ops.matmul(query, positions.T))
        weights = self.weight_dropout(ops.softmax(scores, axis=-1))
        y = ops.matmul(weights, self._heads(self.value(x))).transpose(0, 2, 1, 3)  # [B, T, H, F / H]
        return self.dropout(self.output(y.reshape(x.shape)))

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns the multiply-adds of the products between frames; those with positions are not counted."""
        return 2 * x.size * x.shape[1]

    def _heads(self, x: Tensor) -> Tensor:
        n_batch, n_frames, width = x.shape
        return x.reshape(n_batch, n_frames, self.n_heads, width // self.n_heads).transpose(0, 2, 1, 3)


def _by_frames(by_distance: Tensor) -> Tensor:
    """Turns scores of a frame and a distance, T - 1 to -T, [B, H, T, 2 T], into those of two frames, [B, H, T, T].

    Row i has frame j at place j + T - 1 - i. In rows that are one place shorter, it is at j + T - 1 in all.
    """
    n_batch, n_heads, n_frames, _ = by_distance.shape
    shorter = 2 * n_frames - 1
    flat = by_distance.reshape(n_batch * n_heads, 2 * n_frames * n_frames)
    rows = flat[:, n_frames - 1 : n_frames - 1 + n_frames * shorter].reshape(n_batch, n_heads, n_frames, shorter)
    return rows[:, :, :, :n_frames]


class FeedForward(nn.Cell):
    """Dense layers with a short depthwise convolution and a gate between, added to their input.

    Args:
        width: channels, F.
        dropout: after the gate and before the sum.

    Inputs:
        x: [B, L, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(width, EPSILON)
        self.widen = dense(width, 6 * width)
        self.conv = DepthwiseConv(6 * width, 3)
        self.output = ScaledDense(3 * width, width)
        self.inner_dropout, self.dropout = nn.Dropout(p=float(dropout)), nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor) -> Tensor:
        y = self.inner_dropout(glu(self.conv(self.widen(self.norm(x)))))  # [B, L, 3F]
        return x + self.dropout(self.output(y))


class Halve(nn.Cell):
    """A depthwise convolution to half of the frames, batch normalisation and GELU.

    Args:
        width: channels, F.

    Inputs:
        x: [B, L, F], L even.

    Outputs:
        [B, L / 2, F].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = DepthwiseConv(width, DOWN_KERNEL_SIZE, stride=2)
        self.norm = BatchNorm(width)

    def construct(self, x: Tensor) -> Tensor:
        return gelu(self.norm(self.conv(x)))


class Split(nn.Cell):
    """Makes one sequence a source of one sequence.

    Args:
        width: channels, F.
        num_spks: sources, C.

    Inputs:
        x: [B, L, F].

    Outputs:
        [B * C, L, F].
    """

    def __init__(self, width: int, num_spks: int) -> None:
        super().__init__()
        self.num_spks = num_spks
        self.input = dense(width, 4 * width * num_spks)
        self.output = dense(2 * width * num_spks, width * num_spks)
        self.norm = GlobalLayerNorm(width)

    def construct(self, x: Tensor) -> Tensor:
        _, n_frames, width = x.shape
        y = self.output(glu(self.input(x)))  # [B, L, C * F]
        y = y.reshape(-1, n_frames, self.num_spks, width).transpose(0, 2, 1, 3)  # [B, C, L, F]
        return self.norm(y.reshape(-1, n_frames, width))


class Head(nn.Cell):
    """Two dense layers with a gate between: channels to features.

    Args:
        width: channels, F.
        n_features: N.

    Inputs:
        x: [B, L, F].

    Outputs:
        [B, L, N].
    """

    def __init__(self, width: int, n_features: int) -> None:
        super().__init__()
        self.input = dense(width, 4 * width)
        self.output = dense(2 * width, n_features)

    def construct(self, x: Tensor) -> Tensor:
        return self.output(glu(self.input(x)))


class ScaledDense(nn.Cell):
    """A dense layer whose outputs are scaled channel by channel (LayerScale).

    Touvron et al., "Going deeper with image transformers", ICCV 2021. The scale is multiplied into the layer's
    parameters, which are few.

    Args:
        n_in: N.
        n_out: M.

    Inputs:
        x: [B, L, N].

    Outputs:
        [B, L, M].
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        uniform = Uniform(n_in**-0.5)
        self.weight = Parameter(initializer(uniform, (n_out, n_in), ms.float32), name="weight")
        self.bias = Parameter(initializer(uniform, (n_out,), ms.float32), name="bias")
        self.scale = Parameter(ops.full((n_out,), 1e-5, dtype=ms.float32), name="scale")

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, n_in = x.shape
        y = ops.matmul(x.reshape(-1, n_in), self.weight.T * self.scale)
        return ops.bias_add(y, (self.bias * self.scale).astype(y.dtype)).reshape(n_batch, n_frames, -1)


def glu(x: Tensor) -> Tensor:
    """Returns the first half of the channels times the sigmoid of the second (Dauphin et al., ICML 2017)."""
    half = x.shape[-1] // 2
    return x[..., :half] * ops.sigmoid(x[..., half:])


def average(x: Tensor, factor: int) -> Tensor:
    """Returns the means of every `factor` frames, [B, L, F] to [B, L / factor, F]."""
    if factor == 1:
        return x
    n_batch, n_frames, width = x.shape
    return x.reshape(n_batch, n_frames // factor, factor, width).mean(axis=2)


def repeat(x: Tensor, factor: int) -> Tensor:
    """Repeats every frame, [B, L, F] to [B, L * factor, F]."""
    n_batch, n_frames, width = x.shape
    return ops.concat([x] * factor, axis=2).reshape(n_batch, n_frames * factor, width)
