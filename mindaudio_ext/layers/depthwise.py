"""Convolutions along time in which each channel is on its own (depthwise), in forms that are fast on a CPU.

MindSpore's own operator with groups takes 10 to 100 times as long there (docs/benchmarks.md).
"""

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Uniform, initializer

from mindaudio_ext.layers.chunk import Swap
from mindaudio_ext.layers.dense import AddBias

FEWEST_BY_PRODUCT = 5  # taps; with fewer, a sum over taps is faster
FRAMES_A_PRODUCT = 32  # that come out of one product of matrices, at least


class DepthwiseConv(nn.Cell):
    """A depthwise convolution along time, channels last; with a stride of 1 the output is as long as the input.

    Args:
        n_channels: H.
        kernel_size: frames it sees, P.
        dilation: step between these; 1 with a stride.
        stride: frames between two outputs; output l is around frame l * stride.
        causal: whether the frames it sees are the last ones, not those around a frame.
        has_bias: whether a bias is added.

    Inputs:
        x: [B, L, H].

    Outputs:
        [B, ceil(L / stride), H].
    """

    def __init__(
        self,
        n_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        stride: int = 1,
        causal: bool = False,
        has_bias: bool = True,
    ) -> None:
        super().__init__()
        if stride > 1 and dilation > 1:
            raise ValueError("a depthwise convolution has a stride or a dilation, not both")
        reach = (kernel_size - 1) * dilation
        self.n_before = reach if causal else reach // 2
        self.stride, self.has_bias = stride, has_bias
        scale = Uniform(kernel_size**-0.5)
        self.weight = Parameter(initializer(scale, (n_channels, kernel_size), mstype.float32), name="weight")
        if has_bias:
            self.bias = Parameter(initializer(scale, (n_channels,), mstype.float32), name="bias")
            self.add_bias = AddBias()
        form = _ByProduct if kernel_size >= FEWEST_BY_PRODUCT or stride > 1 else _ByTaps
        self.convolve = form(kernel_size, dilation, stride)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, width = x.shape
        n_frames = (n_frames + self.stride - 1) // self.stride
        y = self.convolve(x, self.weight, n_before=self.n_before, n_frames=n_frames)  # [B, L, H]
        if not self.has_bias:
            return y
        return self.add_bias(y.reshape(-1, width), self.bias).reshape(n_batch, n_frames, width)


class _ByTaps(nn.Cell):
    """A sum of the shifted input, each time multiplied by the weights of one tap; for a stride of 1.

    Args:
        kernel_size, dilation, stride: those of `DepthwiseConv`.

    Inputs:
        x: [B, L, H].
        weight: [H, P].
        n_before: frames of zeros before x.
        n_frames: that come out, L'.

    Outputs:
        [B, L', H].
    """

    def __init__(self, kernel_size: int, dilation: int, stride: int) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation

    def construct(self, x: Tensor, weight: Tensor, *, n_before: int, n_frames: int) -> Tensor:
        n_batch = x.shape[0]
        x = padded(x, n_before, (self.kernel_size - 1) * self.dilation - n_before)
        # Weights are spread over the frames by a product: for operands of unequal shapes the CPU's multiplication keeps
        # lists of indices, four times as large as the result, as long as the model lives.
        ones = ops.ones((n_batch, n_frames, 1), x.dtype)
        y = 0.0
        for tap in range(self.kernel_size):
            start = tap * self.dilation
            spread = ops.matmul(ones, weight[:, tap].expand_dims(0))  # [B, L, H]
            y = y + x[:, start : start + n_frames] * spread  # [B, L, H]
        return y


class _ByProduct(nn.Cell):
    """One product of matrices a channel: pieces of the input with the weights as a band (a Toeplitz matrix).

    With F frames out of a piece of Q = (F - 1) stride + P frames, that is Q / P times the multiplications of the sum
    over taps, but in a library's product and not in operators that each go through the memory.

    Args, inputs and outputs: those of `_ByTaps`.
    """

    def __init__(self, kernel_size: int, dilation: int, stride: int) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.stride = kernel_size, dilation, stride
        self.n_out = max(FRAMES_A_PRODUCT, -(-(kernel_size - stride) // stride))  # so that a piece ends within the next
        self.n_in = (self.n_out - 1) * stride + kernel_size
        self.product = ops.BatchMatMul(transpose_b=True)
        self.swap_in, self.swap_out = Swap(), Swap()

    def construct(self, x: Tensor, weight: Tensor, *, n_before: int, n_frames: int) -> Tensor:
        n_batch, n_given, width = x.shape
        hop = self.n_out * self.stride * self.dilation
        # One more than needed when they come out even: MindSpore takes three times as long if nothing is cut off.
        n_pieces = n_frames // (self.n_out * self.dilation) + 1
        x = padded(x, n_before, (n_pieces + 1) * hop - n_before - n_given)
        hops = x.reshape(n_batch, -1, hop, width)  # [B, S + 1, hop, H]
        overlap = (self.kernel_size - self.stride) * self.dilation
        pieces = ops.concat((hops[:, :-1], hops[:, 1:, :overlap]), axis=2)  # [B, S, Q * dilation, H]

        # The channels go first in two steps, each of which moves blocks that fit into a processor's cache. Frames that
        # the dilation keeps apart count as pieces.
        rows = pieces.reshape(-1, self.n_in, self.dilation * width).transpose(0, 2, 1)  # [B * S, dilation * H, Q]
        rows = self.swap_in(rows.reshape(-1, width, self.n_in))  # [H, B * S * dilation, Q]
        y = self.swap_out(self.product(rows, self._band(weight)))  # [B * S * dilation, H, F]
        y = y.reshape(-1, self.dilation * width, self.n_out).transpose(0, 2, 1)  # [B * S, F, dilation * H]
        return y.reshape(n_batch, -1, width)[:, :n_frames]

    def _band(self, weight: Tensor) -> Tensor:
        """Makes [H, F, Q] of weights [H, P]: row f has them from column f * stride on."""
        width, n_in, n_out = weight.shape[0], self.n_in, self.n_out
        row = ops.concat((weight, ops.zeros((width, n_in + self.stride - self.kernel_size), weight.dtype)), axis=1)
        # Rows of Q + stride numbers, read as rows of Q, move on by the stride from one to the next.
        return ops.tile(row, (1, n_out))[:, : n_out * n_in].reshape(width, n_out, n_in)


def padded(x: Tensor, n_before: int, n_after: int) -> Tensor:
    """Puts frames of zeros before and after x, [B, L, H].

    Not ops.pad, whose gradient MindSpore 2.10 gets wrong from a graph's second run on.
    """
    n_batch, _, width = x.shape
    return ops.concat(
        (ops.zeros((n_batch, n_before, width), x.dtype), x, ops.zeros((n_batch, n_after, width), x.dtype)), axis=1
    )
