"""Normalisations over features with the channels last."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindaudio_ext.errors import InputError


class GlobalLayerNorm(nn.Cell):
    """Normalises each example over all of its times and channels, then scales and shifts each channel (gLN).

    Conv-TasNet (Luo and Mesgarani, 2019), equations 14 and 15. Always computed in float32.

    Args:
        n_channels: N.

    Inputs:
        x: [B, ..., N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.gamma = Parameter(ops.ones((n_channels,), ms.float32), name="gamma")
        self.beta = Parameter(ops.zeros((n_channels,), ms.float32), name="beta")
        self.normalise = ops.LayerNorm(begin_norm_axis=1, begin_params_axis=-1, epsilon=1e-8)

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        flat = x.reshape(shape[0], -1, shape[-1])  # [B, everything else, N]
        return self.normalise(flat, self.gamma, self.beta)[0].reshape(shape)


class ChannelLayerNorm(nn.Cell):
    """Normalises each frame over its channels, then scales and shifts each channel (cLN). Always computed in float32.

    Args:
        n_channels: N.

    Inputs:
        x: [B, ..., N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.gamma = Parameter(ops.ones((n_channels,), ms.float32), name="gamma")
        self.beta = Parameter(ops.zeros((n_channels,), ms.float32), name="beta")
        self.normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=1e-8)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x, self.gamma, self.beta)[0]


class CumulativeLayerNorm(nn.Cell):
    """Normalises each frame over its channels and those of all frames before it, then scales and shifts (cgLN).

    Conv-TasNet (Luo and Mesgarani, 2019), equations 10 to 13, where it is called cLN.

    Args:
        n_channels: N.

    Inputs:
        x: [B, L, N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.gamma = Parameter(ops.ones((n_channels,), ms.float32), name="gamma")
        self.beta = Parameter(ops.zeros((n_channels,), ms.float32), name="beta")

    def construct(self, x: Tensor) -> Tensor:
        count = self.n_channels * ops.ones_like(x[:, :, :1]).cumsum(axis=1)  # [B, L, 1]
        mean = x.sum(axis=2, keepdims=True).cumsum(axis=1) / count
        power = (x * x).sum(axis=2, keepdims=True).cumsum(axis=1) / count
        return (x - mean) * ops.rsqrt(power - mean * mean + 1e-8) * self.gamma + self.beta


NORMS = {"gLN": GlobalLayerNorm, "cLN": ChannelLayerNorm, "cgLN": CumulativeLayerNorm}


def make_norm(name: str, n_channels: int) -> nn.Cell:
    """Makes the normalisation of that name.

    Raises:
        InputError: there is none; the known ones are listed.
    """
    for known, norm in NORMS.items():
        if known.lower() == name.lower():
            return norm(n_channels)
    raise InputError(f"separator_conf.norm: no normalisation is called {name!r}; known: {', '.join(NORMS)}")
