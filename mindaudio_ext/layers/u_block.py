"""A block that looks at a sequence at several resolutions at once, of TDANet and TIGER.

Li, Yang and Hu, "An efficient encoder-decoder architecture with top-down attention for speech separation", ICLR 2023.
"""

from mindspore import Tensor, nn, ops

from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.depthwise import DepthwiseConv
from mindaudio_ext.layers.norm import GlobalLayerNorm
from mindaudio_ext.layers.pool import average_to, nearest_to

KERNEL_SIZE = 5  # of all convolutions along time


class UBlock(nn.Cell):
    """From fine to coarse frames, something done to the sum of all, and back (figure 2 of TDANet's paper).

    Args:
        width: channels of input and output, F.
        hidden_size: channels within, H.
        top: what the sum of all levels goes through, [B, M, H] to the same.
        n_levels: resolutions, each with half the frames of the one before, D; at least 2.
        gated: how a level takes the sum: by convolutions of one frame, or else as it is.

    Inputs:
        x: [B, L, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, hidden_size: int, top: nn.Cell, *, n_levels: int, gated: bool) -> None:
        super().__init__()
        self.n_levels, self.gated = n_levels, gated
        self.input = dense(width, hidden_size)
        self.input_norm, self.input_prelu = GlobalLayerNorm(hidden_size), PReLU()
        self.down = nn.CellList(
            [NormedConv(hidden_size, stride=1 + (level > 0), has_bias=True) for level in range(n_levels)]
        )
        self.top = top
        if self.gated:
            self.fuse = nn.CellList([GatedSum(hidden_size, 1) for _ in range(n_levels)])
        self.up = nn.CellList([GatedSum(hidden_size, KERNEL_SIZE) for _ in range(n_levels - 1)])
        self.output = dense(hidden_size, width)

    def construct(self, x: Tensor) -> Tensor:
        y = self.input_prelu(self.input_norm(self.input(x)))  # [B, L, H]
        levels = []
        for conv in self.down:
            y = conv(y)  # [B, L / 2^level, H]
            levels.append(y)
        total = levels[-1]
        for level in range(self.n_levels - 1):
            total = total + average_to(levels[level], levels[-1].shape[1], 2 ** (self.n_levels - 1 - level))
        total = self.top(total)  # [B, L / 2^(D - 1), H]

        # As published: the coarsest level but one takes the next finer, not the coarsest, which is read by nobody then.
        first = self.n_levels - 3 if self.n_levels > 2 else 1
        y = self._fused(levels, first, total)
        for level in range(self.n_levels - 2, -1, -1):
            y = self.up[level](self._fused(levels, level, total), y)
        return x + self.output(y)

    def _fused(self, levels: list[Tensor], level: int, total: Tensor) -> Tensor:
        """Hands the sum of all levels back to one."""
        if self.gated:
            return self.fuse[level](levels[level], total)
        return levels[level] + nearest_to(total, levels[level].shape[1])


class NormedConv(nn.Cell):
    """A depthwise convolution and a norm.

    Args:
        n_channels: H.
        kernel_size: frames it sees.
        stride: frames between two outputs.
        has_bias: whether the convolution has one.

    Inputs:
        x: [B, L, H].

    Outputs:
        [B, ceil(L / stride), H].
    """

    def __init__(
        self, n_channels: int, kernel_size: int = KERNEL_SIZE, *, stride: int = 1, has_bias: bool = False
    ) -> None:
        super().__init__()
        self.conv = DepthwiseConv(n_channels, kernel_size, stride=stride, has_bias=has_bias)
        self.norm = GlobalLayerNorm(n_channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class GatedSum(nn.Cell):
    """A level times a gate that another one of other length makes, plus something of that one (figure 3, "LA").

    Args:
        n_channels: H.
        kernel_size: of the three convolutions.

    Inputs:
        local: the level, [B, L, H].
        other: [B, M, H].

    Outputs:
        [B, L, H].
    """

    def __init__(self, n_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.local = NormedConv(n_channels, kernel_size)
        self.gate = NormedConv(n_channels, kernel_size)
        self.addend = NormedConv(n_channels, kernel_size)

    def construct(self, local: Tensor, other: Tensor) -> Tensor:
        n_frames = local.shape[1]
        gate = nearest_to(ops.sigmoid(self.gate(other)), n_frames)
        return self.local(local) * gate + nearest_to(self.addend(other), n_frames)
