"""Attention of a sequence to itself."""

import math

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Uniform

from mindaudio_ext.layers.dense import dense


class SelfAttention(nn.Cell):
    """Several heads of scaled dot-product attention, each frame to all frames of its sequence.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2. Parameters and their initial values are
    those of PyTorch's MultiheadAttention.

    Args:
        width: channels, F; a multiple of n_heads.
        n_heads: heads, H.
        dropout: share of attention weights dropped, in training.

    Inputs:
        x: [B, T, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, n_heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads, self.head_size = n_heads, width // n_heads
        self.scale = self.head_size**-0.5
        glorot = Uniform(math.sqrt(6 / (width + 3 * width)))
        self.in_proj = nn.Dense(width, 3 * width, weight_init=glorot, bias_init="zeros")
        self.out_proj = dense(width, width)
        self.out_proj.bias.set_data(ops.zeros_like(self.out_proj.bias))
        self.dropout = nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_frames, width = x.shape
        heads = self.in_proj(x).reshape(n_batch, n_frames, 3, self.n_heads, self.head_size)
        query, key, value = heads.transpose(2, 0, 3, 1, 4)  # 3 x [B, H, T, F / H]
        scores = ops.matmul(query * self.scale, key.swapaxes(2, 3))  # [B, H, T, T]
        weights = self.dropout(ops.softmax(scores, axis=-1))
        x = ops.matmul(weights, value).transpose(0, 2, 1, 3)  # [B, T, H, F / H]
        return self.out_proj(x.reshape(n_batch, n_frames, width))

    def own_multiply_adds(self, x: Tensor) -> int:
        """Returns the multiply-adds of the products between frames."""
        n_batch, n_frames, width = x.shape
        return 2 * n_batch * n_frames**2 * width
