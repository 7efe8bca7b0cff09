"""Overlapping chunks and segments of a sequence, and their sum back into one; and `Swap`, of their axes.

`split` and `overlap_add`, and `segments` and `join_segments`, which pad a sequence as SkiM and SepFormer do.

All work on any length, also on one that is known only when the graph runs.
"""

from mindspore import Tensor, nn, ops


class Swap(nn.Cell):
    """Exchanges the first two axes.

    Attributes:
        by_rows: out of training, fetch the rows one by one. The result is the same; on a CPU a transposition takes
            four times as long where there is no graph, or one of a shape that is known only when it runs.

    Inputs:
        x: [A, B, N].

    Outputs:
        [B, A, N].
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_rows = False

    def construct(self, x: Tensor) -> Tensor:
        if self.training or not self.by_rows:
            return x.transpose(1, 0, 2)
        n_outer, n_inner, width = x.shape
        rows = ops.arange(n_inner).reshape(-1, 1) + n_inner * ops.arange(n_outer).reshape(1, -1)  # [B, A]
        return ops.gather(x.reshape(-1, width), rows.reshape(-1), 0).reshape(n_inner, n_outer, width)


def split(x: Tensor, size: int, hop: int) -> Tensor:
    """Cuts a sequence into overlapping chunks; frames after the last whole chunk are left out.

    Args:
        x: sequence, [B, L, N] with L >= size.
        size: frames in a chunk, K.
        hop: frames between the starts of two chunks.

    Returns:
        Chunks, [B, S, K, N] with S = (L - K) // hop + 1.
    """
    n_batch, n_frames, width = x.shape
    overlap = -(-size // hop)  # hops that a chunk touches
    n_chunks = (n_frames - size) // hop + 1
    x = ops.concat((x, ops.zeros((n_batch, overlap * hop, width), x.dtype)), axis=1)
    pieces = x[:, : (n_chunks + overlap - 1) * hop].reshape(n_batch, -1, hop, width)  # [B, S + overlap - 1, hop, N]
    chunks = ops.concat([pieces[:, i : i + n_chunks] for i in range(overlap)], axis=2)  # [B, S, overlap * hop, N]
    return chunks if overlap * hop == size else chunks[:, :, :size]


def overlap_add(chunks: Tensor, hop: int) -> Tensor:
    """Adds overlapping chunks up: the transpose of `split`.

    Args:
        chunks: [B, S, K, N].
        hop: frames between the starts of two chunks.

    Returns:
        Sequence, [B, L, N] with L = (S - 1) * hop + K.
    """
    n_batch, n_chunks, size, width = chunks.shape
    overlap = -(-size // hop)
    if overlap * hop != size:
        chunks = ops.concat((chunks, ops.zeros((n_batch, n_chunks, overlap * hop - size, width), chunks.dtype)), axis=2)
    total = None  # type: Tensor
    for i in range(overlap):
        piece = chunks[:, :, i * hop : (i + 1) * hop].reshape(n_batch, -1, width)  # [B, S * hop, N]
        parts = (
            (ops.zeros((n_batch, i * hop, width), chunks.dtype),) * (i > 0)
            + (piece,)
            + (ops.zeros((n_batch, (overlap - 1 - i) * hop, width), chunks.dtype),) * (i < overlap - 1)
        )
        placed = ops.concat(parts, axis=1)  # [B, (S + overlap - 1) * hop, N]
        total = placed if total is None else total + placed
    return total if overlap * hop == size else total[:, : (n_chunks - 1) * hop + size]


def segments(x: Tensor, size: int, *, overlap: bool) -> Tensor:
    """Cuts a sequence into segments, zeros at its end filling up the last.

    Where the sequence comes out even, there is one more segment, of zeros.

    Args:
        x: sequence, [B, L, N].
        size: frames in a segment, K.
        overlap: whether a segment begins every K // 2 frames, after K // 2 zeros, and not every K.

    Returns:
        [B, S, K, N].
    """
    n_batch, n_frames, width = x.shape
    silence = ops.zeros((n_batch, size, width), x.dtype)
    if not overlap:
        n_segments = n_frames // size + 1
        return ops.concat((x, silence), axis=1)[:, : n_segments * size].reshape(n_batch, -1, size, width)
    half = size // 2
    gap = size - (half + n_frames % size) % size
    x = ops.concat((silence[:, :half], x, silence, silence[:, :half]), axis=1)
    return split(x[:, : n_frames + gap + 2 * half], size, half)


def join_segments(x: Tensor, n_frames: int, *, overlap: bool) -> Tensor:
    """Joins what `segments` cut, [B, S, K, N], to [B, L, N]; where segments overlap they are added up."""
    n_batch, _, size, width = x.shape
    if not overlap:
        return x.reshape(n_batch, -1, width)[:, :n_frames]
    return overlap_add(x, size // 2)[:, size // 2 : size // 2 + n_frames]
