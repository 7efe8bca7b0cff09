"""A transformer's encoder, norms before each part: Vaswani et al., "Attention is all you need", NeurIPS 2017."""

import math
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.attention import SelfAttention
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.norm import ChannelLayerNorm

EPSILON = 1e-6  # of the norms, as SpeechBrain has it


class TransformerEncoder(nn.Cell):
    """Adds positions to a sequence; layers of attention and dense layers; a norm.

    Args:
        width: channels, F; even, and a multiple of n_heads.
        n_layers: layers.
        n_heads: attention heads.
        feedforward_size: channels between the two dense layers.
        dropout: of attention weights, between the dense layers and before every sum, in training.

    Inputs:
        x: [B, T, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, *, n_layers: int, n_heads: int, feedforward_size: int, dropout: float) -> None:
        super().__init__()
        layer: dict[str, Any] = {"n_heads": n_heads, "feedforward_size": feedforward_size, "dropout": dropout}
        self.layers = nn.CellList([TransformerEncoderLayer(width, **layer) for _ in range(n_layers)])
        self.norm = ChannelLayerNorm(width, EPSILON)

    def construct(self, x: Tensor) -> Tensor:
        x = add_positions(x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class TransformerEncoderLayer(nn.Cell):
    """Self-attention and two dense layers with a ReLU between, each on its normalised input and added to it.

    Args: those of `TransformerEncoder`.

    Inputs:
        x: [B, T, F].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, *, n_heads: int, feedforward_size: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = ChannelLayerNorm(width, EPSILON)
        self.attention = SelfAttention(width, n_heads, dropout=dropout)
        self.feedforward_norm = ChannelLayerNorm(width, EPSILON)
        self.feedforward_in = dense(width, feedforward_size)
        self.feedforward_out = dense(feedforward_size, width)
        self.dropout = nn.Dropout(p=float(dropout))

    def construct(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        y = ops.relu(self.feedforward_in(self.feedforward_norm(x)))
        return x + self.dropout(self.feedforward_out(self.dropout(y)))


def add_positions(x: Tensor) -> Tensor:
    """Adds sinusoidal positions to a sequence, [B, T, F] with F even (section 3.5)."""
    n_batch, n_frames, width = x.shape
    positions = sinusoidal_positions(n_frames, width).astype(x.dtype)
    return ops.bias_add(x.reshape(n_batch, n_frames * width), positions.reshape(-1)).reshape(n_batch, n_frames, width)


def sinusoidal_positions(n_frames: int, width: int) -> Tensor:
    """Returns positions 0 to T - 1 as [T, F]: sines in the even channels, cosines in the odd ones."""
    rates = ops.exp(ops.arange(0, width, 2).astype(ms.float32) * (-math.log(10000.0) / width))
    angles = ops.matmul(ops.arange(n_frames).astype(ms.float32).reshape(-1, 1), rates.reshape(1, -1))  # [T, F / 2]
    return ops.stack((ops.sin(angles), ops.cos(angles)), axis=2).reshape(n_frames, width)


def check_width(width: int, n_heads: int, key: str) -> None:
    """Checks that channels can be shared out to attention heads, and are even, as positions need.

    Raises:
        InputError: they cannot; names the key.
    """
    if width % n_heads or width % 2:
        raise InputError(f"{key}: must be even and a multiple of n_heads ({n_heads}), got {width}")
