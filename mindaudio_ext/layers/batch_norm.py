"""Batch normalisation over all frames of a batch, channels last, with running statistics for use."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops


class BatchNorm(nn.Cell):
    """Normalises each channel over all frames of a batch; out of training by the running mean and variance.

    Ioffe and Szegedy, "Batch normalization", ICML 2015. A training forward moves the running statistics; they are
    parameters of the checkpoint and no trained ones. Computed in float32.

    Args:
        n_channels: N.
        momentum: share of a batch in the running statistics.
        epsilon: added to the variance.

    Inputs:
        x: [B, ..., N].

    Outputs:
        The same shape.
    """

    def __init__(self, n_channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.gamma = Parameter(ops.ones((n_channels,), ms.float32), name="gamma")
        self.beta = Parameter(ops.zeros((n_channels,), ms.float32), name="beta")
        self.running_mean = Parameter(ops.zeros((n_channels,), ms.float32), name="running_mean", requires_grad=False)
        self.running_variance = Parameter(
            ops.ones((n_channels,), ms.float32), name="running_variance", requires_grad=False
        )
        self.normalise = _NormaliseRows(epsilon)

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        rows = x.reshape(-1, shape[-1]).astype(ms.float32)  # [M, N]
        if self.training:
            y, mean, variance = self.normalise(rows, self.gamma, self.beta)
            self._move(ops.stop_gradient(mean), ops.stop_gradient(variance), rows.shape[0])
        else:
            scale = self.gamma * ops.rsqrt(self.running_variance + self.epsilon)
            shift = self.beta - self.running_mean * scale
            y = ops.bias_add(rows * _spread(scale, rows.shape[0]), shift)
        return y.reshape(shape).astype(x.dtype)

    def _move(self, mean: Tensor, variance: Tensor, n_rows: int) -> None:
        """Moves the running statistics; the variance is the unbiased one there."""
        unbiased = variance * (n_rows / max(1, n_rows - 1))
        ops.assign(self.running_mean, self.running_mean + self.momentum * (mean - self.running_mean))
        ops.assign(self.running_variance, self.running_variance + self.momentum * (unbiased - self.running_variance))


class _NormaliseRows(nn.Cell):
    """Normalises each column of [M, N], with a gradient of its own.

    Sums and spreads are products of matrices, for the reasons of `norm._NormaliseExamples`. With x' the normalised x, g
    the gradient of the output and means over M, that of x is gamma (g - mean(g) - x' mean(g x')) / sigma.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.bias_add = ops.BiasAdd()

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        row = ops.ones((1, x.shape[0]), ms.float32)
        mean = ops.matmul(row, x).reshape(-1) / x.shape[0]  # [N]
        centred = self.bias_add(x, -mean)  # [M, N]
        variance = ops.matmul(row, centred * centred).reshape(-1) / x.shape[0]  # [N]
        scale = gamma * ops.rsqrt(variance + self.epsilon)
        return self.bias_add(centred * _spread(scale, x.shape[0]), beta), mean, variance

    def bprop(
        self, x: Tensor, gamma: Tensor, beta: Tensor, outputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        d_y, mean = gradients[0], outputs[1]  # [M, N], [N]
        scale = ops.rsqrt(outputs[2] + self.epsilon)  # [N]
        row, n_rows = ops.ones((1, x.shape[0]), ms.float32), x.shape[0]
        centred = self.bias_add(x, -mean)
        d_beta = ops.matmul(row, d_y).reshape(-1)  # [N]
        d_gamma = ops.matmul(row, d_y * centred).reshape(-1) * scale  # [N]
        slope = scale * gamma
        d_x = d_y * _spread(slope, n_rows) - centred * _spread(slope * scale * d_gamma / n_rows, n_rows)
        return self.bias_add(d_x, -slope * d_beta / n_rows), d_gamma, d_beta


def _spread(row: Tensor, n_rows: int) -> Tensor:
    """Repeats [N] to [M, N]: for operands of unequal shapes the CPU's multiplication keeps lists of indices."""
    return ops.matmul(ops.ones((n_rows, 1), row.dtype), row.expand_dims(0))
