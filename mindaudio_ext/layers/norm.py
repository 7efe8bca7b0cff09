"""Normalisations over features with the channels last: frames [B, L, N], or chunks of frames [B, S, K, N].

| name | mean and variance over | epsilon |
|---|---|---|
| gLN | everything of an example: all frames (of all chunks) and channels | 1e-8 |
| cLN | the channels of each frame alone ("channel-wise": what Asteroid calls cLN) | 1e-8 |
| cgLN | the channels of this and all earlier frames; with chunks, of this and all earlier whole chunks | 1e-8 |
| LN | all frames and channels of each chunk alone; without chunks, the channels of each frame | 1e-5 |

cLN, cgLN and LN are causal: up to a frame, or with chunks (cgLN, LN) up to the end of a chunk. Each scales and shifts
every channel by its `gamma` and `beta`, and computes in float32.
"""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindaudio_ext.errors import InputError


class _Norm(nn.Cell):
    """Holds the scale and shift of each channel: `gamma` and `beta`, [N]."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.gamma = Parameter(ops.ones((n_channels,), ms.float32), name="gamma")
        self.beta = Parameter(ops.zeros((n_channels,), ms.float32), name="beta")

    def forward_step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Normalises what comes next of one signal, [1, S, K, N] or [1, L, N]; `state`, [4], is zeros at its start.

        A norm that looks at nothing before a frame or chunk needs no state.
        """
        return self.construct(x), state


class GlobalLayerNorm(_Norm):
    """Normalises each example over all of its frames and channels (gLN).

    Luo and Mesgarani, "Conv-TasNet", TASLP 2019, equations 14 and 15.

    Args:
        n_channels: N.
        epsilon: added to the variance.

    Inputs:
        x: [B, ..., N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int, epsilon: float = 1e-8) -> None:
        super().__init__(n_channels)
        self.normalise = _NormaliseExamples(epsilon)

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        flat = x.reshape(shape[0], -1, shape[-1]).astype(ms.float32)  # [B, everything else, N]
        return self.normalise(flat, self.gamma, self.beta)[0].reshape(shape).astype(x.dtype)


class _NormaliseExamples(nn.Cell):
    """Layer normalisation of [B, M, N] over M and N, with a gradient of its own.

    MindSpore's takes three times as long on a CPU. Rows are summed and spread by products of matrices: its sums are
    slow, and its multiplication of unequal shapes keeps lists of indices, four times as large as the result. With x'
    the normalised x, g the gradient of the output and all means over M and N, that of x is
    (gamma g - mean(gamma g) - x' mean(gamma g x')) / sigma.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.normalise = ops.LayerNorm(begin_norm_axis=1, begin_params_axis=-1, epsilon=epsilon)

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.normalise(x, gamma, beta)

    def bprop(
        self, x: Tensor, gamma: Tensor, beta: Tensor, outputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_batch, n_rows, n_channels = x.shape
        d_y, mean = gradients[0], outputs[1]  # [B, M, N], [B, 1, 1]
        scale = ops.rsqrt(outputs[2] + self.epsilon)  # [B, 1, 1]
        row, column = ops.ones((n_batch, 1, n_rows), ms.float32), ops.ones((n_batch, n_rows, 1), ms.float32)
        sums = ops.bmm(row, d_y)  # [B, 1, N]: of g
        products = scale * (ops.bmm(row, d_y * x) - mean * sums)  # [B, 1, N]: sums of g x'
        size = n_rows * n_channels
        mean_g = (gamma * sums).sum(axis=2, keepdims=True) / size  # [B, 1, 1]: of gamma g
        slope = scale * scale * (gamma * products).sum(axis=2, keepdims=True) / size  # [B, 1, 1]
        slopes = slope * ops.ones((n_batch, 1, n_channels), ms.float32)  # [B, 1, N]
        d_x = d_y * ops.bmm(column, gamma * scale) - x * ops.bmm(column, slopes) + (slope * mean - scale * mean_g)
        return d_x, products.sum(axis=(0, 1)), sums.sum(axis=(0, 1))


class ChannelLayerNorm(_Norm):
    """Normalises each frame over its channels (cLN).

    Args:
        n_channels: N.
        epsilon: added to the variance.

    Inputs:
        x: [B, ..., N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int, epsilon: float = 1e-8) -> None:
        super().__init__(n_channels)
        self.normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x.astype(ms.float32), self.gamma, self.beta)[0].astype(x.dtype)


class ChunkLayerNorm(_Norm):
    """Normalises each chunk over its frames and channels; without chunks, each frame over its channels (LN).

    Args:
        n_channels: N.

    Inputs:
        x: [B, S, K, N], or [B, L, N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__(n_channels)
        self.normalise = ops.LayerNorm(begin_norm_axis=2, begin_params_axis=-1, epsilon=1e-5)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x.astype(ms.float32), self.gamma, self.beta)[0].astype(x.dtype)


class _NormaliseSteps(nn.Cell):
    """Normalises steps, [B, S, M], by the mean and variance of this and all earlier ones, with a gradient of its own.

    gamma and beta are [N]; a step's M values are those of its frames, each N. In the gradient, sums and spreads are
    products of matrices, for the reasons of `_NormaliseExamples`. x is measured from the first step's mean, which
    changes no output. With n the number of values up to a step, m their mean and q that of their squares, x' the
    normalised x, g the gradient of the output and sums over a step, the gradient of q is
    Q = -sum(gamma g x') / (2 sigma^2), that of m is -sum(gamma g) / sigma - 2 m Q, and that of x is gamma g / sigma
    plus, of its step and each after it, (that of m + 2 x Q) / n.
    """

    def __init__(self) -> None:
        super().__init__()
        # Operators of their own: MindSpore 2.10 finds the function `ops.cumsum` empty when two Cells have a `bprop`.
        self.cumsum, self.cumsum_back = ops.CumSum(), ops.CumSum(reverse=True)

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
        n_batch, _, size = x.shape
        # Measured from the first step's mean, squares stay small beside the variance even where the mean is large.
        first = x[:, :1].mean(axis=2, keep_dims=True)  # [B, 1, 1]
        x = x - first
        step_mean = x.reshape(-1, size).mean(axis=1).reshape(n_batch, -1, 1)  # [B, S, 1]
        step_square = ops.square(x).reshape(-1, size).mean(axis=1).reshape(n_batch, -1, 1)
        count = self.cumsum(ops.ones_like(step_mean), 1)
        mean = self.cumsum(step_mean, 1) / count
        scale = ops.rsqrt(ops.relu(self.cumsum(step_square, 1) / count - ops.square(mean)) + 1e-8)
        y = ((x - mean) * scale).reshape(-1, gamma.shape[0]) * gamma + beta  # [B * S * frames, N]
        return y.reshape(n_batch, -1, size), first, count, mean, scale

    def bprop(
        self, x: Tensor, gamma: Tensor, beta: Tensor, outputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, first, count, mean, scale = outputs  # [B, S, M], [B, 1, 1], three [B, S, 1]
        n_batch, n_steps, size = x.shape
        n_frames = size // gamma.shape[0]
        row = ops.ones((1, size), ms.float32)
        weights = ops.matmul(ops.ones((n_frames, 1), ms.float32), gamma.reshape(1, -1))  # [frames, N]
        column = weights.reshape(-1, 1)
        d_y, x = gradients[0], x - first
        product = d_y * x
        sums = ops.matmul(d_y, column)  # [B, S, 1]: of gamma g
        products = scale * (ops.matmul(product, column) - mean * sums)  # [B, S, 1]: of gamma g x'
        d_square = -0.5 * scale * scale * products / (size * count)
        d_mean = -scale * sums / (size * count) - 2 * mean * d_square
        offset, slope = self.cumsum_back(d_mean, 1), 2 * self.cumsum_back(d_square, 1)  # of a step and all after it
        d_x = d_y * ops.matmul(scale, weights.reshape(1, -1)) + x * ops.matmul(slope, row) + ops.matmul(offset, row)

        d_y, product = d_y.reshape(-1, size), product.reshape(-1, size)
        scale, mean = scale.reshape(1, -1), mean.reshape(1, -1)
        d_gamma = (ops.matmul(scale, product) - ops.matmul(scale * mean, d_y)).reshape(n_frames, -1).sum(axis=0)
        d_beta = ops.matmul(ops.ones((1, n_batch * n_steps), ms.float32), d_y).reshape(n_frames, -1).sum(axis=0)
        return d_x, d_gamma, d_beta


class CumulativeLayerNorm(_Norm):
    """Normalises by the mean and variance of all that came so far (cgLN).

    Luo and Mesgarani, "Conv-TasNet", TASLP 2019, equations 16 and 17; with chunks, "so far" ends with the chunk.

    Args:
        n_channels: N.

    Inputs:
        x: [B, S, K, N], or [B, L, N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__(n_channels)
        self.normalise = _NormaliseSteps()

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        steps = x.astype(ms.float32).reshape(shape[0], shape[1], -1)  # [B, S, K * N], or [B, L, N]
        return self.normalise(steps, self.gamma, self.beta)[0].reshape(shape).astype(x.dtype)

    def forward_step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        shape = x.shape
        steps = x.astype(ms.float32).reshape(shape[0], shape[1], -1)  # [1, S, K * N], or [1, L, N]
        n_before, mean_before, square_before, reference = state[0], state[1], state[2], state[3]
        reference = ops.where(n_before > 0, reference, steps[:, :1].mean())  # as in `construct`
        steps = steps - reference
        step_mean = steps.mean(axis=2, keep_dims=True)  # [1, S, 1]
        within = ops.square(steps - step_mean).mean(axis=2, keep_dims=True)  # [1, S, 1]
        count = n_before + ops.cumsum(ops.ones_like(step_mean), 1)
        means = mean_before + ops.cumsum(step_mean, 1)
        squares = square_before + ops.cumsum(within + ops.square(step_mean), 1)
        mean = means / count
        normal = (steps - mean) * ops.rsqrt(ops.relu(squares / count - ops.square(mean)) + 1e-8)
        y = (normal.reshape(shape) * self.gamma + self.beta).astype(x.dtype)
        return y, ops.stack((count[0, -1, 0], means[0, -1, 0], squares[0, -1, 0], reference))


NORMS = {"gLN": GlobalLayerNorm, "cLN": ChannelLayerNorm, "cgLN": CumulativeLayerNorm, "LN": ChunkLayerNorm}


def make_norm(name: str, n_channels: int) -> nn.Cell:
    """Makes the normalisation of that name, whatever its case.

    Raises:
        InputError: there is none; the known ones are listed.
    """
    for known, norm in NORMS.items():
        if known.lower() == str(name).lower():
            return norm(n_channels)
    raise InputError(f"separator_conf.norm: no normalisation is called {name!r}; known: {', '.join(NORMS)}")
