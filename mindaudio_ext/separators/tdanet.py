"""TDANet, with top-down attention.

Li, Yang and Hu, "An efficient encoder-decoder architecture with top-down attention for speech separation", ICLR 2023.

features [B, L, N] -> norm, bottleneck x [B, L, F] -> one block with shared parameters, again and again, from the second
pass on of (x + what it gave) -> mask logits [B, C, L, N]

The block halves the frames several times, sums up all levels at the coarsest, hands the sum back to each, and goes from
the coarse levels down to the fine one.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import Share, Size
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.convert.public_model import POSITIONS, Arguments, PublicModel
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.attention import SelfAttention
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.depthwise import DepthwiseConv
from mindaudio_ext.layers.norm import ChannelLayerNorm, GlobalLayerNorm
from mindaudio_ext.layers.transformer import add_positions
from mindaudio_ext.layers.u_block import KERNEL_SIZE, UBlock
from mindaudio_ext.registry import register

# The authors' names and ours of what is at each level, and of the parts of it.
_LEVELS = (("loc_glo_fus", "fuse"), ("last_layer", "up"))
_FUSION = (("local_embedding", "local"), ("global_embedding", "addend"), ("global_act", "gate"))


def _authors_config(theirs: Arguments, fusion: str) -> dict[str, Any]:
    """Returns the config keys of one of the authors' classes; what the file does not say, its shapes tell.

    The passes through the one block are in no shape: 16 are published.
    """
    rate, shapes = theirs.sample_rate, theirs.shapes
    milliseconds = theirs.get("enc_kernel_size")
    kernel_size = shapes["encoder.weight"][2] if milliseconds is None else milliseconds * rate // 1000
    hidden_size, bottleneck_size, _ = shapes["sm.unet.proj_1x1.conv.weight"]
    n_levels = len([name for name in shapes if re.fullmatch(r"(?:.*\.)?sm\.unet\.spp_dw\.\d+\.conv\.weight", name)])
    theirs.leave_out("sample_rate", "n_src")
    options = {
        "bottleneck_size": theirs.require("out_channels", bottleneck_size),
        "hidden_size": theirs.require("in_channels", hidden_size),
        "n_blocks": theirs.get("num_blocks", 16),
        "n_levels": theirs.require("upsampling_depth", n_levels),
        "fusion": fusion,
    }
    return {
        "sample_rate": rate,
        "num_spks": theirs.require("num_sources", shapes["decoder.weight"][1]),
        "encoder": "mixing_conv",
        "n_filters": kernel_size // 2 + 1,
        "kernel_size": kernel_size,
        "stride": kernel_size // 4,
        "encoder_activation": "linear",
        "mask_activation": "relu",
        "separator_conf": options,
    }


def _authors_names(_: Mapping[str, Any]) -> tuple[Rule, ...]:
    block, top = "separator.block", "separator.block.top"
    norms = (
        ("ln", "separator.input_norm"),
        ("sm.unet.proj_1x1.norm", f"{block}.input_norm"),
        ("sm.unet.spp_dw.#.norm", f"{block}.down.#.norm"),
        *(
            (f"sm.unet.{level}.#.{theirs}.norm", f"{block}.{here}.#.{ours}.norm")
            for level, here in _LEVELS
            for theirs, ours in _FUSION
        ),
        ("sm.unet.globalatt.attn.attn_in_norm", f"{top}.attention_norm"),
        ("sm.unet.globalatt.attn.norm", f"{top}.result_norm"),
        ("sm.unet.globalatt.mlp.fc1.norm", f"{top}.widen_norm"),
        ("sm.unet.globalatt.mlp.fc2.norm", f"{top}.narrow_norm"),
    )
    return (
        Rule("encoder.weight", "encoder.weight"),
        Rule("decoder.weight", "decoder.weight"),
        *(  # TDANet's norms have weight and bias, TDANetBest's gamma and beta
            Rule(f"{theirs}.{name}", f"{ours}.{here}")
            for theirs, ours in norms
            for name, here in (("weight", "gamma"), ("bias", "beta"), ("gamma", "gamma"), ("beta", "beta"))
        ),
        Rule("bottleneck.*", "separator.bottleneck.*"),
        Rule("sm.concat_block.0.*", "separator.join.*"),
        Rule("sm.concat_block.1.weight", "separator.join_prelu.weight"),
        Rule("mask_net.0.weight", "separator.prelu.weight"),
        Rule("mask_net.1.*", "separator.mask.*"),
        Rule("sm.unet.proj_1x1.conv.*", f"{block}.input.*"),
        Rule("sm.unet.proj_1x1.act.weight", f"{block}.input_prelu.weight"),
        Rule("sm.unet.spp_dw.#.conv.*", f"{block}.down.#.conv.*"),
        *(
            Rule(f"sm.unet.{level}.#.{theirs}.conv.*", f"{block}.{here}.#.{ours}.conv.*")
            for level, here in _LEVELS
            for theirs, ours in _FUSION
        ),
        Rule("sm.unet.globalatt.attn.attn.in_proj_weight", f"{top}.attention.in_proj.weight"),
        Rule("sm.unet.globalatt.attn.attn.in_proj_bias", f"{top}.attention.in_proj.bias"),
        Rule("sm.unet.globalatt.attn.attn.out_proj.*", f"{top}.attention.out_proj.*"),
        Rule("sm.unet.globalatt.mlp.dwconv.*", f"{top}.conv.*"),
        Rule("sm.unet.globalatt.mlp.fc1.conv.weight", f"{top}.widen.weight"),
        Rule("sm.unet.globalatt.mlp.fc2.conv.weight", f"{top}.narrow.weight"),
        Rule("sm.unet.res_conv.*", f"{block}.output.*"),
    )


@register("tdanet")
class TDANet(nn.Cell):
    """Estimates one mask a source by a block with shared parameters that looks at several resolutions at once.

    Published with the encoder mixing_conv.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        bottleneck_size: channels between the passes, F.
        hidden_size: channels within the block, H.
        n_blocks: passes through the one block.
        n_levels: resolutions, each with half the frames of the one before, D; at least 2.
        fusion: how a level takes the sum of all: "sum" (the class TDANet), or "gated", by convolutions of one frame
            (the class TDANetBest, whose weights are public).
        n_heads: heads of the attention; they matter for dropout alone (see `TopAttention`).
        dropout: at the coarsest level, in training.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].
    """

    causal_with: ClassVar[str] = "nothing: it sums up levels of the whole"
    public: ClassVar[tuple[PublicModel, ...]] = (
        PublicModel("asteroid", "TDANet", partial(_authors_config, fusion="sum"), _authors_names, POSITIONS),
        PublicModel("asteroid", "TDANetBest", partial(_authors_config, fusion="gated"), _authors_names, POSITIONS),
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: Size = 128,
        hidden_size: Size = 512,
        n_blocks: Size = 16,
        n_levels: Annotated[int, Interval(ge=2, le=16)] = 5,
        fusion: Literal["sum", "gated"] = "sum",
        n_heads: Size = 8,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        self.num_spks, self.n_blocks = num_spks, n_blocks
        self.input_norm = GlobalLayerNorm(input_size)
        self.bottleneck = dense(input_size, bottleneck_size)
        top = TopAttention(hidden_size, n_heads=n_heads, dropout=dropout)
        self.block = UBlock(bottleneck_size, hidden_size, top, n_levels=n_levels, gated=fusion == "gated")
        self.join = DepthwiseConv(bottleneck_size, 1)
        self.join_prelu = PReLU()
        self.prelu = PReLU()
        self.mask = dense(bottleneck_size, num_spks * input_size)

    def construct(self, features: Tensor) -> Tensor:
        n_batch, n_frames, n_features = features.shape
        mixture = self.bottleneck(self.input_norm(features))  # [B, L, F]
        x = self.block(mixture)  # [B, L, F]
        for _ in range(self.n_blocks - 1):
            x = self.block(self.join_prelu(self.join(mixture + x)))  # [B, L, F]
        logits = self.mask(self.prelu(x)).reshape(n_batch, n_frames, self.num_spks, n_features)
        return logits.transpose(0, 2, 1, 3)  # [B, C, L, N]


class TopAttention(nn.Cell):
    """What the sum of all levels goes through: attention and a perceptron with a convolution, each added to it.

    In the authors' code the attention runs over the batch instead of the frames: a mixture's frames attend to
    themselves alone, and the result is the projection of their own values. Queries and keys are parameters without use.

    Args:
        n_channels: H.
        n_heads: heads; they matter for dropout alone.
        dropout: of attention weights, within the perceptron, and of each result and of all of it before its sum.

    Inputs:
        x: [B, L, H].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int, *, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = ChannelLayerNorm(n_channels, 1e-5)
        self.attention = SelfAttention(n_channels, n_heads)
        self.result_norm = ChannelLayerNorm(n_channels, 1e-5)
        self.widen = dense(n_channels, 2 * n_channels, has_bias=False)
        self.widen_norm = GlobalLayerNorm(2 * n_channels)
        self.conv = DepthwiseConv(2 * n_channels, KERNEL_SIZE)
        self.narrow = dense(2 * n_channels, n_channels, has_bias=False)
        self.narrow_norm = GlobalLayerNorm(n_channels)
        self.has_dropout = dropout > 0
        self.dropout = nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor) -> Tensor:
        y = self._attend(add_positions(self.attention_norm(x)))
        x = x + self._drop_items(self.result_norm(y + self.dropout(y)))
        y = self.dropout(ops.relu(self.conv(self.widen_norm(self.widen(x)))))
        return x + self._drop_items(self.dropout(self.narrow_norm(self.narrow(y))))

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns the multiply-adds of the values, [B, L, H] to the same."""
        return x.size * x.shape[2]

    def _attend(self, x: Tensor) -> Tensor:
        """The attention of each frame to itself."""
        n_batch, n_frames, width = x.shape
        weight, bias = self.attention.in_proj.weight, self.attention.in_proj.bias
        values = ops.bias_add(ops.matmul(x.reshape(-1, width), weight[2 * width :].T), bias[2 * width :])
        if self.training and self.has_dropout:
            kept = self.dropout(ops.ones((n_batch * n_frames, self.n_heads, 1), x.dtype))
            values = (values.reshape(-1, self.n_heads, width // self.n_heads) * kept).reshape(-1, width)
        return self.attention.out_proj(values).reshape(n_batch, n_frames, width)

    def _drop_items(self, x: Tensor) -> Tensor:
        """Leaves out all that is added, for some items of a batch (stochastic depth)."""
        if not (self.training and self.has_dropout):
            return x
        return x * self.dropout(ops.ones((x.shape[0], 1, 1), x.dtype))
