"""Conv-TasNet's separator, a temporal convolutional network: Luo and Mesgarani, "Conv-TasNet: surpassing ideal
time-frequency magnitude masking for speech separation", TASLP 2019.

features [B, L, N] -> norm, bottleneck [B, L, F] -> blocks of convolutions, dilated by 1, 2, 4, ... and again
-> sum of the blocks' skip outputs [B, L, S] -> mask logits [B, C, L, N]
"""

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Uniform, initializer

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.dense import AddBias, dense
from mindaudio_ext.layers.norm import make_norm


class TCN(nn.Cell):
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
        blocks: x -> x; each is like the one `n_kinds` before it.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].

    Raises:
        InputError: options do not go together, or one has a value this separator does not know.
    """

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        bottleneck_size: int = 128,
        hidden_size: int = 512,
        skip_size: int | None = 128,
        kernel_size: int = 3,
        n_blocks: int = 8,
        n_repeats: int = 3,
        norm: str = "gLN",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if causal and norm.lower() == "gln":
            raise InputError("separator_conf.causal: gLN sees the frames to come; use norm cLN or cgLN with causal")
        if not causal and kernel_size % 2 == 0:
            raise InputError(f"separator_conf.kernel_size: must be odd unless causal, got {kernel_size}")
        self.num_spks, self.bottleneck_size, self.skip_size = num_spks, bottleneck_size, skip_size or 0
        self.n_kinds = n_blocks
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

    def construct(self, features: Tensor) -> Tensor:
        x = self.before_blocks(features)  # [B, L, F + S]
        for block in self.blocks:
            x = block(x)  # [B, L, F + S]
        return self.after_blocks(x, features.shape[1])

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
        self.depthwise = DepthwiseConv(hidden_size, kernel_size=kernel_size, dilation=dilation, causal=causal)
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


class DepthwiseConv(nn.Cell):
    """A dilated convolution along time, each channel by itself; the output is as long as the input.

    Args:
        n_channels: H.
        kernel_size: frames it sees, P.
        dilation: step between these.
        causal: whether these are the last ones, not those around a frame.

    Inputs:
        x: [B, L, H].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int, *, kernel_size: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        reach = (kernel_size - 1) * dilation
        self.n_before, self.n_after = (reach, 0) if causal else (reach // 2, reach // 2)
        scale = Uniform(kernel_size**-0.5)
        self.weight = Parameter(initializer(scale, (n_channels, kernel_size), mstype.float32), name="weight")
        self.bias = Parameter(initializer(scale, (n_channels,), mstype.float32), name="bias")
        self.add_bias = AddBias()

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, width = x.shape
        # Not ops.pad, whose gradient MindSpore 2.10 gets wrong from a graph's second run on.
        if self.n_before > 0:
            x = ops.concat((ops.zeros((n_batch, self.n_before, width), x.dtype), x), axis=1)
        if self.n_after > 0:
            x = ops.concat((x, ops.zeros((n_batch, self.n_after, width), x.dtype)), axis=1)
        # Weights are spread over the frames by a product: for operands of unequal shapes the CPU's multiplication keeps
        # lists of indices, four times as large as the result, as long as the model lives.
        ones = ops.ones((n_batch, n_frames, 1), x.dtype)
        y = 0.0
        for tap in range(self.kernel_size):
            start = tap * self.dilation
            weight = ops.matmul(ones, self.weight[:, tap].expand_dims(0))  # [B, L, H]
            y = y + x[:, start : start + n_frames] * weight  # [B, L, H]
        return self.add_bias(y.reshape(-1, width), self.bias).reshape(n_batch, n_frames, width)
