"""What dual-path separators have in common: overlapping chunks, and blocks that go within and across them."""

from collections.abc import Iterator

from mindspore import Tensor, ops

from mindaudio_ext.layers.blocks import BlockSeparator
from mindaudio_ext.layers.chunk import overlap_add, split


class DualPath(BlockSeparator):
    """A separator of blocks over chunks, [B, S, K, F]; a subclass makes its layers and what comes before and after.

    Attributes:
        num_spks: sources, C.
        chunk_size: frames in a chunk, K.
        hop_size: frames between two chunks, at most K.
        blocks: x -> x, [B, S, K, F].
    """

    def __init__(self, num_spks: int, *, chunk_size: int, hop_size: int | None) -> None:
        super().__init__()
        self.num_spks, self.chunk_size = num_spks, chunk_size
        self.hop_size = chunk_size // 2 if hop_size is None else hop_size

    @staticmethod
    def check_options(*, chunk_size: int, hop_size: int | None, **_: object) -> Iterator[tuple[str, str]]:
        """Yields an option and what is wrong with it, of the rules for several options together."""
        if hop_size is not None and hop_size > chunk_size:
            yield "hop_size", f"must be at most chunk_size ({chunk_size}), got {hop_size}"
        if hop_size is None and chunk_size % 2:
            yield "chunk_size", f"must be even, because chunks overlap by half without a hop_size, got {chunk_size}"

    def chunks_of(self, x: Tensor) -> Tensor:
        """Returns the chunks, [B, S, K, F], of frames [B, L, F]."""
        # A whole chunk of zeros on either side: every frame is in as many chunks as any other.
        silence = ops.zeros((x.shape[0], self.chunk_size, x.shape[-1]), x.dtype)
        return split(ops.concat((silence, x, silence), axis=1), self.chunk_size, self.hop_size)

    def frames_of(self, chunks: Tensor, n_frames: int) -> Tensor:
        """Returns frames [B, L, F], each the sum over the chunks it is in, of chunks [B, S, K, F]."""
        x = overlap_add(chunks, self.hop_size)
        return x[:, self.chunk_size : self.chunk_size + n_frames]
