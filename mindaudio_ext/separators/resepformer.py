"""RE-SepFormer, the resource-efficient SepFormer.

Della Libera, Subakan, Ravanelli, Cornell, Lepoutre and Grondin, "Resource-efficient separation transformer", ICASSP
2024.

features [B, L, N] -> segments [B, S, K, N] -> transformers within segments, and between two of them a transformer
across the segments' means -> one copy a source -> mask logits [B, C, L, N]
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import Share, Size
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.convert.public_model import (
    POSITIONS,
    SPEECHBRAIN_FILTERBANK,
    SPEECHBRAIN_TRANSFORMER,
    Arguments,
    PublicModel,
    speechbrain_filterbank,
    speechbrain_transformer,
)
from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.blocks import BlockSeparator
from mindaudio_ext.layers.chunk import join_segments, segments
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.norm import GlobalLayerNorm
from mindaudio_ext.layers.transformer import TransformerEncoder, check_width
from mindaudio_ext.registry import register


def _speechbrain_config(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of SpeechBrain's `ResourceEfficientSeparator` of transformers."""
    filterbank = speechbrain_filterbank(theirs)
    width = theirs.require("masknet.input_dim", filterbank["n_filters"])
    theirs.require("masknet.causal", False, default=True)
    theirs.require("masknet.mem_type", "av", default="hc")
    theirs.require("masknet.nonlinear", "relu")
    theirs.require("masknet.mem_model.class", "SBTransformerBlock_wnormandskip")
    theirs.leave_out("masknet.unit", "masknet.dropout", "masknet.class", "masknet.seg_model.class")
    theirs.leave_out("encoder.class", "decoder.class")
    transformers = []
    for name in ("masknet.seg_model", "masknet.mem_model"):
        theirs.require(f"{name}.causal", False)
        theirs.require(f"{name}.use_norm", True)
        theirs.require(f"{name}.use_skip", True)
        theirs.require(f"{name}.norm_type", "gln")
        transformers.append(speechbrain_transformer(theirs, name, width))
    segment, memory = transformers
    for name, value in memory.items():
        if value != segment[name]:
            raise InputError(f"{theirs.source}: {name} of mem_model is not seg_model's, as it must be here")
    chunks = {"chunk_size": theirs.get("masknet.segment_size", 20), "n_blocks": theirs.get("masknet.layer", 3)}
    return {**filterbank, "num_spks": theirs.get("masknet.num_spk", 2), "separator_conf": {**chunks, **segment}}


def _speechbrain_names(options: Mapping[str, Any]) -> tuple[Rule, ...]:
    places = (
        (f"seg_model.{options['n_blocks'] - 1}", "last"),
        ("seg_model.#", "blocks.#.segment"),
        ("mem_model.#", "blocks.#.memory"),
    )
    return (
        *SPEECHBRAIN_FILTERBANK,
        *(
            Rule(f"masknet.model.{place}.{theirs}", f"separator.{here}.transformer.{ours}")
            for place, here in places
            for theirs, ours in SPEECHBRAIN_TRANSFORMER
        ),
        *(
            Rule(f"masknet.model.{place}.norm.{theirs}", f"separator.{here}.norm.{ours}")
            for place, here in places
            for theirs, ours in (("weight", "gamma"), ("bias", "beta"))
        ),
        Rule("masknet.model.output_fc.0.weight", "separator.prelu.weight"),
        Rule("masknet.model.output_fc.1.*", "separator.mask.*"),
    )


@register("resepformer")
class RESepFormer(BlockSeparator):
    """Estimates one mask a source by transformers within segments and on their means.

    Args:
        input_size: features, N; even, and a multiple of n_heads. There is no bottleneck.
        num_spks: sources, C.
        chunk_size: frames in a segment, K; segments do not overlap.
        n_blocks: transformers within segments.
        n_layers: layers in each transformer.
        n_heads: attention heads.
        feedforward_size: channels between a layer's two dense layers.
        dropout: of attention weights, between the dense layers and before every sum, in training.

    Attributes:
        blocks: x -> x, all alike: a transformer within segments and the memory after it. The last has no memory.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].
    """

    causal_with: ClassVar[str] = "nothing: its attention sees all segments"
    public: ClassVar[tuple[PublicModel, ...]] = (
        PublicModel(
            "speechbrain",
            "ResourceEfficientSeparator of SBTransformerBlock_wnormandskip",
            config=_speechbrain_config,
            names=_speechbrain_names,
            ignore=POSITIONS,
        ),
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        chunk_size: Size = 150,
        n_blocks: Size = 2,
        n_layers: Size = 8,
        n_heads: Size = 8,
        feedforward_size: Size = 1024,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        check_width(input_size, n_heads, "n_filters")
        self.num_spks, self.chunk_size = num_spks, chunk_size
        transformer = {
            "n_layers": n_layers, "n_heads": n_heads, "feedforward_size": feedforward_size, "dropout": dropout
        }  # fmt: skip
        self.blocks = nn.CellList([MemoryBlock(input_size, **transformer) for _ in range(n_blocks - 1)])
        self.last = ResidualTransformer(input_size, **transformer)
        self.prelu = PReLU()
        self.mask = dense(input_size, num_spks * input_size)

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes what goes through the blocks, [B, S, K, N], of features [B, L, N]."""
        return segments(features, self.chunk_size, overlap=False)

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes mask logits, [B, C, L, N], of what has gone through the blocks, [B, S, K, N]."""
        n_batch, n_segments, size, width = x.shape
        x = self.last(x.reshape(-1, size, width)).reshape(n_batch, n_segments, size, width)
        x = self.mask(self.prelu(join_segments(x, n_frames, overlap=False)))  # [B, L, N * C]
        # Output n * C + c is feature n of source c.
        return x.reshape(n_batch, n_frames, width, self.num_spks).transpose(0, 3, 1, 2)


class MemoryBlock(nn.Cell):
    """A transformer along each segment; one across the segments' means, whose result is added to each frame.

    Args:
        width: features, N.
        transformer: the other arguments of both transformers.

    Inputs:
        x: [B, S, K, N].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, **transformer: Any) -> None:
        super().__init__()
        self.segment = ResidualTransformer(width, **transformer)
        self.memory = ResidualTransformer(width, **transformer)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_segments, size, width = x.shape
        x = self.segment(x.reshape(-1, size, width))  # [B * S, K, N]
        # Means and their spreading as products of matrices, which are fast on a CPU.
        column = ops.ones((n_batch * n_segments, size, 1), ms.float32)
        means = ops.bmm(column.swapaxes(1, 2), x) / size  # [B * S, 1, N]
        memory = self.memory(means.reshape(n_batch, -1, width))  # [B, S, N]
        x = x + ops.bmm(column, memory.reshape(-1, 1, width))  # [B * S, K, N]
        return x.reshape(n_batch, n_segments, size, width)


class ResidualTransformer(nn.Cell):
    """A transformer, a norm over each sequence, and a residual sum.

    Args:
        width: features, N.
        transformer: the other arguments of the transformer.

    Inputs:
        x: [B, T, N].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, **transformer: Any) -> None:
        super().__init__()
        self.transformer, self.norm = TransformerEncoder(width, **transformer), GlobalLayerNorm(width)

    def construct(self, x: Tensor) -> Tensor:
        return x + self.norm(self.transformer(x))
