"""Conv-TasNet's separator, a temporal convolutional network.

Luo and Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation", TASLP 2019.

features [B, L, N] -> norm, bottleneck [B, L, F] -> blocks of convolutions, dilated by 1, 2, 4, ... and again
-> sum of the blocks' skip outputs [B, L, S] -> mask logits [B, C, L, N]
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import LARGEST_SIZE, Size
from mindaudio_ext.convert.architecture import BOTTLENECK, COMMON_DEFAULTS, CONV, FILTERBANK, FILTERS, Architecture
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.blocks import BlockSeparator
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.depthwise import DepthwiseConv
from mindaudio_ext.layers.norm import make_norm
from mindaudio_ext.registry import register, require_options


@register("tcn")
class TCN(BlockSeparator):
    """Estimates one mask a source by convolutions that see exponentially more frames from block to block.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        bottleneck_size: channels between the blocks, F (the paper's B).
        hidden_size: channels within a block, H.
        skip_size: channels of the skip path, S, which is what the masks are made of. Without one (0 or None) the masks
            are made of the last block's output, as in the paper's first version.
        kernel_size: frames a convolution sees, P; odd unless `causal`.
        n_blocks: blocks in a repeat, X; block x is dilated by 2^x.
        n_repeats: repeats, R.
        norm: "gLN", "cLN", or "cgLN".
        causal: whether a frame's masks depend on earlier frames only.

    Attributes:
        blocks: x -> x; each is like the one `block_period` before it.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].

    Raises:
        InputError: options do not go together, or one has a value this separator does not know.
    """

    causal_with: ClassVar[str] = "`causal: true` and `norm` cgLN or cLN"
    asteroid: ClassVar[Architecture] = Architecture(
        name="ConvTasNet",
        options={
            "bn_chan": "bottleneck_size",
            "hid_chan": "hidden_size",
            "skip_chan": "skip_size",
            "conv_kernel_size": "kernel_size",
            "n_blocks": "n_blocks",
            "n_repeats": "n_repeats",
            "norm_type": "norm",
            "causal": "causal",
        },
        defaults={
            **COMMON_DEFAULTS,
            "n_filters": 512,
            "bn_chan": 128,
            "hid_chan": 512,
            "skip_chan": 128,
            "conv_kernel_size": 3,
            "n_blocks": 8,
            "n_repeats": 3,
            "norm_type": "gLN",
            "mask_act": "sigmoid",
            "causal": False,
        },
        rules=(
            *FILTERBANK,
            *BOTTLENECK,
            Rule("masker.TCN.#.shared_block.0.weight", "separator.blocks.#.input.weight", CONV),
            Rule("masker.TCN.#.shared_block.0.bias", "separator.blocks.#.input.bias"),
            Rule("masker.TCN.#.shared_block.1.weight", "separator.blocks.#.input_prelu.weight"),
            Rule("masker.TCN.#.shared_block.2.*", "separator.blocks.#.input_norm.*"),
            Rule("masker.TCN.#.shared_block.3.0.weight", "separator.blocks.#.depthwise.weight", FILTERS),  # causal
            Rule("masker.TCN.#.shared_block.3.0.bias", "separator.blocks.#.depthwise.bias"),
            Rule("masker.TCN.#.shared_block.3.weight", "separator.blocks.#.depthwise.weight", FILTERS),
            Rule("masker.TCN.#.shared_block.3.bias", "separator.blocks.#.depthwise.bias"),
            Rule("masker.TCN.#.shared_block.4.weight", "separator.blocks.#.depthwise_prelu.weight"),
            Rule("masker.TCN.#.shared_block.5.*", "separator.blocks.#.depthwise_norm.*"),
            Rule("masker.TCN.#.res_conv.weight", "separator.blocks.#.residual.weight", CONV),
            Rule("masker.TCN.#.res_conv.bias", "separator.blocks.#.residual.bias"),
            Rule("masker.TCN.#.skip_conv.weight", "separator.blocks.#.skip.weight", CONV),
            Rule("masker.TCN.#.skip_conv.bias", "separator.blocks.#.skip.bias"),
            Rule("masker.mask_net.0.weight", "separator.prelu.weight"),
            Rule("masker.mask_net.1.weight", "separator.mask.weight", CONV),
            Rule("masker.mask_net.1.bias", "separator.mask.bias"),
        ),
        fixed={},
        norms=("gLN", "cLN", "cgLN"),
        mask_activations=("relu", "sigmoid", "softmax"),
        only_with={
            "masker.TCN.#.shared_block.3.0.weight": ("causal", True),  # followed by a cut, and so one level deeper
            "masker.TCN.#.shared_block.3.0.bias": ("causal", True),
            "masker.TCN.#.shared_block.3.weight": ("causal", False),
            "masker.TCN.#.shared_block.3.bias": ("causal", False),
        },
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: Size = 128,
        hidden_size: Size = 512,
        skip_size: Annotated[int, Interval(ge=0, le=LARGEST_SIZE)] | None = 128,
        kernel_size: Size = 3,
        n_blocks: Size = 8,
        n_repeats: Size = 3,
        norm: Literal["gLN", "cLN", "cgLN"] = "gLN",
        causal: bool = False,
    ) -> None:
        super().__init__()
        require_options(TCN, "separator_conf", {"norm": norm, "causal": causal, "kernel_size": kernel_size})
        self.num_spks, self.bottleneck_size, self.skip_size = num_spks, bottleneck_size, skip_size or 0
        self.block_period = n_blocks
        block = {"hidden_size": hidden_size, "skip_size": self.skip_size, "kernel_size": kernel_size}

        self.input_norm = make_norm(norm, input_size)
        self.bottleneck = dense(input_size, bottleneck_size)
        self.blocks = nn.CellList(
            [
                ConvBlock(bottleneck_size, dilation=2**x, norm=norm, causal=causal, **block)
                for _ in range(n_repeats)
                for x in range(n_blocks)
            ]
        )
        self.prelu = PReLU()
        self.mask = dense(skip_size or bottleneck_size, num_spks * input_size)

    @staticmethod
    def check_options(*, norm: str, causal: bool, kernel_size: int, **_: object) -> Iterator[tuple[str, str]]:
        """Yields an option and what is wrong with it, of the rules for several options together."""
        if causal and norm.lower() == "gln":
            yield "causal", "gLN sees the frames to come; use norm cLN or cgLN with causal"
        if not causal and kernel_size % 2 == 0:
            yield "kernel_size", f"must be odd unless causal, got {kernel_size}"

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes what goes through the blocks, [B, L, F + S], of features [B, L, N]: the skip path begins with zeros."""
        n_batch, n_frames, _ = features.shape
        x = self.bottleneck(self.input_norm(features))  # [B, L, F]
        if self.skip_size == 0:
            return x
        return ops.concat((x, ops.zeros((n_batch, n_frames, self.skip_size), x.dtype)), axis=2)

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes mask logits, [B, C, L, N], of what has gone through the blocks, [B, L, F + S]."""
        n_batch = x.shape[0]
        x = self.mask(self.prelu(x[:, :, self.bottleneck_size :] if self.skip_size else x))  # [B, L, C * N]
        return x.reshape(n_batch, n_frames, self.num_spks, -1).transpose(0, 2, 1, 3)  # [B, C, L, N]


class ConvBlock(nn.Cell):
    """A depthwise separable convolution: to more channels, along time within each channel, and back (figure 1c).

    Args:
        width: channels of the input, F.
        hidden_size: channels of the convolution, H.
        skip_size: channels of the skip output, S; 0 for none.
        kernel_size: frames the convolution sees.
        dilation: step between these.
        norm: the normalisation's name.
        causal: whether these are the last ones, not those around a frame.

    Inputs:
        x: [B, L, F + S]: what the blocks hand on, and the sum of the skip outputs so far.

    Outputs:
        The same shape. What the last block hands on is used only without a skip path. Its parameters are there all the
        same, as in Asteroid's checkpoints.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden_size: int,
        skip_size: int,
        kernel_size: int,
        dilation: int,
        norm: str,
        causal: bool,
    ) -> None:
        super().__init__()
        self.width = width
        self.input = dense(width, hidden_size)
        self.input_prelu = PReLU()
        self.input_norm = make_norm(norm, hidden_size)
        self.depthwise = DepthwiseConv(hidden_size, kernel_size, dilation=dilation, causal=causal)
        self.depthwise_prelu = PReLU()
        self.depthwise_norm = make_norm(norm, hidden_size)
        self.residual = dense(hidden_size, width)
        self.has_skip = skip_size > 0
        if self.has_skip:
            self.skip = dense(hidden_size, skip_size)

    def construct(self, x: Tensor) -> Tensor:
        y = self.input_norm(self.input_prelu(self.input(x[:, :, : self.width] if self.has_skip else x)))  # [B, L, H]
        y = self.depthwise_norm(self.depthwise_prelu(self.depthwise(y)))  # [B, L, H]
        return x + (ops.concat((self.residual(y), self.skip(y)), axis=2) if self.has_skip else self.residual(y))
