"""What separators of blocks have in common: the way from features through the blocks to masks."""

from mindspore import Tensor, nn


class BlockSeparator(nn.Cell):
    """Features [B, L, N] through blocks to mask logits [B, C, L, N].

    A subclass has `before_blocks(features)`, whose result goes through the blocks, `blocks`, each x -> x, and
    `after_blocks(x, n_frames)`. So a training can compute the inside of a block again (`train/gradients.py`).
    """

    def construct(self, features: Tensor) -> Tensor:
        x = self.before_blocks(features)
        for block in self.blocks:
            x = block(x)
        return self.after_blocks(x, features.shape[1])
