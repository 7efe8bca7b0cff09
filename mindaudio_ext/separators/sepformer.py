"""SepFormer.

Subakan, Ravanelli, Cornell, Bronzi and Zhong, "Attention is all you need in speech separation", ICASSP 2021.

features [B, L, N] -> norm, bottleneck -> segments [B, S, K, F] -> blocks (transformer within segments, transformer
across segments) -> one copy a source -> overlap-add -> gated output -> mask logits [B, C, L, N]
"""

from collections.abc import Mapping
from typing import Any, ClassVar

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
from mindaudio_ext.layers.activation import PReLU, tanh
from mindaudio_ext.layers.blocks import BlockSeparator
from mindaudio_ext.layers.chunk import join_segments, segments
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.norm import GlobalLayerNorm
from mindaudio_ext.layers.transformer import TransformerEncoder, check_width
from mindaudio_ext.registry import register


def _speechbrain_config(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of SpeechBrain's `Dual_Path_Model` of transformers."""
    filterbank = speechbrain_filterbank(theirs)
    width = theirs["masknet.out_channels"]
    theirs.require("masknet.in_channels", filterbank["n_filters"])
    theirs.require("masknet.norm", "ln")
    theirs.require("masknet.skip_around_intra", True)
    theirs.require("masknet.linear_layer_after_inter_intra", False, default=True)
    theirs.require("masknet.inter_model.class", "SBTransformerBlock")
    theirs.leave_out("encoder.class", "decoder.class", "masknet.class", "masknet.intra_model.class")
    theirs.leave_out("masknet.max_length")  # of positions that `use_global_pos_enc` would add
    intra = speechbrain_transformer(theirs, "masknet.intra_model", width)
    for name, value in speechbrain_transformer(theirs, "masknet.inter_model", width).items():
        if value != intra[name]:
            raise InputError(f"{theirs.source}: {name} of inter_model is not intra_model's, as it must be here")
    chunks = {"chunk_size": theirs.get("masknet.K", 200), "n_blocks": theirs.get("masknet.num_layers", 1)}
    options = {"bottleneck_size": width, **chunks, **intra}
    return {**filterbank, "num_spks": theirs.get("masknet.num_spks", 2), "separator_conf": options}


def _speechbrain_names(_: Mapping[str, Any]) -> tuple[Rule, ...]:
    return (
        *SPEECHBRAIN_FILTERBANK,
        Rule("masknet.norm.weight", "separator.input_norm.gamma"),
        Rule("masknet.norm.bias", "separator.input_norm.beta"),
        Rule("masknet.conv1d.weight", "separator.bottleneck.weight"),
        *(
            Rule(f"masknet.dual_mdl.#.{path}_mdl.{theirs}", f"separator.blocks.#.{path}.{ours}")
            for path in ("intra", "inter")
            for theirs, ours in SPEECHBRAIN_TRANSFORMER
        ),
        *(
            Rule(f"masknet.dual_mdl.#.{path}_norm.{theirs}", f"separator.blocks.#.{path}_norm.{ours}")
            for path in ("intra", "inter")
            for theirs, ours in (("weight", "gamma"), ("bias", "beta"))
        ),
        Rule("masknet.prelu.weight", "separator.prelu.weight"),
        Rule("masknet.conv2d.*", "separator.expand.*"),
        Rule("masknet.output.0.*", "separator.output.*"),
        Rule("masknet.output_gate.0.*", "separator.gate.*"),
        Rule("masknet.end_conv1x1.weight", "separator.mask.weight"),
    )


@register("sepformer")
class SepFormer(BlockSeparator):
    """Estimates one mask a source by alternating transformers within and across segments.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        bottleneck_size: channels between the blocks, F; even, and a multiple of n_heads.
        chunk_size: frames in a segment, K; one begins every K // 2.
        n_blocks: dual-path blocks.
        n_layers: layers in each transformer.
        n_heads: attention heads.
        feedforward_size: channels between a layer's two dense layers.
        dropout: of attention weights, between the dense layers and before every sum, in training.

    Attributes:
        blocks: x -> x, all alike.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].
    """

    causal_with: ClassVar[str] = "nothing: its attention sees all segments"
    public: ClassVar[tuple[PublicModel, ...]] = (
        PublicModel(
            "speechbrain",
            "Dual_Path_Model of SBTransformerBlock",
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
        bottleneck_size: Size = 256,
        chunk_size: Size = 250,
        n_blocks: Size = 2,
        n_layers: Size = 8,
        n_heads: Size = 8,
        feedforward_size: Size = 1024,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        check_width(bottleneck_size, n_heads, "separator_conf.bottleneck_size")
        self.num_spks, self.chunk_size = num_spks, chunk_size
        transformer = {
            "n_layers": n_layers, "n_heads": n_heads, "feedforward_size": feedforward_size, "dropout": dropout
        }  # fmt: skip
        self.input_norm = GlobalLayerNorm(input_size)
        self.bottleneck = dense(input_size, bottleneck_size, has_bias=False)
        self.blocks = nn.CellList([SepFormerBlock(bottleneck_size, **transformer) for _ in range(n_blocks)])
        self.prelu = PReLU()
        self.expand = dense(bottleneck_size, num_spks * bottleneck_size)
        self.output = dense(bottleneck_size, bottleneck_size)
        self.gate = dense(bottleneck_size, bottleneck_size)
        self.mask = dense(bottleneck_size, input_size, has_bias=False)

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes what goes through the blocks, [B, S, K, F], of features [B, L, N]."""
        return segments(self.bottleneck(self.input_norm(features)), self.chunk_size, overlap=True)

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes mask logits, [B, C, L, N], of what has gone through the blocks, [B, S, K, F]."""
        n_batch, _, size, width = x.shape
        x = self.expand(self.prelu(x)).reshape(n_batch, -1, size, self.num_spks, width)
        x = x.transpose(0, 3, 1, 2, 4).reshape(n_batch * self.num_spks, -1, size, width)  # [B * C, S, K, F]
        x = join_segments(x, n_frames, overlap=True)  # [B * C, L, F]
        x = self.mask(tanh(self.output(x)) * ops.sigmoid(self.gate(x)))  # [B * C, L, N]
        return x.reshape(n_batch, self.num_spks, n_frames, -1)


class SepFormerBlock(nn.Cell):
    """A transformer along each segment, then one across the segments, each followed by a norm and a residual sum.

    Args:
        width: channels, F.
        transformer: the other arguments of both transformers.

    Inputs:
        x: [B, S, K, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, **transformer: Any) -> None:
        super().__init__()
        self.intra, self.intra_norm = TransformerEncoder(width, **transformer), GlobalLayerNorm(width)
        self.inter, self.inter_norm = TransformerEncoder(width, **transformer), GlobalLayerNorm(width)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_segments, size, width = x.shape
        y = self.intra(x.reshape(-1, size, width))  # [B * S, K, F]
        x = x + self.intra_norm(y.reshape(n_batch, n_segments, size, width))  # [B, S, K, F]
        y = self.inter(x.transpose(0, 2, 1, 3).reshape(n_batch * size, -1, width))  # [B * K, S, F]
        y = y.reshape(n_batch, size, n_segments, width).transpose(0, 2, 1, 3)  # [B, S, K, F]
        return x + self.inter_norm(y)
