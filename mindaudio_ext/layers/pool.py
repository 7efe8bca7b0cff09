"""A sequence brought to another number of frames: by the mean of frames, or by the nearest one."""

import mindspore as ms
from mindspore import Tensor, ops


def average_to(x: Tensor, n_frames: int, factor: int) -> Tensor:
    """Averages a sequence to fewer frames: frame i is the mean of floor(i L / M) up to ceil((i + 1) L / M).

    Args:
        x: [B, L, N].
        n_frames: M.
        factor: a whole number that L / M does not exceed.

    Returns:
        [B, M, N].
    """
    n_batch, n_given, width = x.shape
    numbers = ops.arange(n_frames).astype(ms.int32).reshape(-1, 1)  # [M, 1]
    start = numbers * n_given // n_frames
    size = ((numbers + 1) * n_given + n_frames - 1) // n_frames - start  # [M, 1]
    offsets = ops.arange(factor + 1).astype(ms.int32).reshape(1, -1)  # [1, factor + 1]
    places = ops.minimum(start + offsets, n_given - 1)  # [M, factor + 1]
    weights = (offsets < size).astype(x.dtype) / size.astype(x.dtype)  # [M, factor + 1]
    frames = ops.gather(x, places.reshape(-1), 1).reshape(-1, factor + 1, width)  # [B * M, factor + 1, N]
    weights = ops.tile(weights.reshape(-1, 1, factor + 1), (n_batch, 1, 1))
    return ops.bmm(weights, frames).reshape(n_batch, -1, width)


def nearest_to(x: Tensor, n_frames: int) -> Tensor:
    """Repeats or leaves out frames of a sequence, [B, L, N]: frame i of [B, M, N] is frame floor(i L / M)."""
    places = ops.arange(n_frames).astype(ms.int32) * x.shape[1] // n_frames
    return ops.gather(x, places, 1)
