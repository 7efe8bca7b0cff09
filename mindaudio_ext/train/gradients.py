"""Loss and gradients of a batch: by one graph that keeps all it computes, or block by block, computed again.

Both are called with a batch, `(mixture [B, T], sources [B, C, T], lengths [B])`, and give the loss and a tuple with the
gradient of each parameter, in the order of `parameters`. `loss_fn` gives what is differentiated and the loss.
"""

import copy
from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindaudio_ext.errors import InputError
from mindaudio_ext.train.dropout import CountedDropout
from mindaudio_ext.train.precision import in_half_precision

Gradients = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]
LossFn = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def make_gradients(
    model: nn.Cell, loss_fn: LossFn, parameters: ParameterTuple, *, recompute: bool, half: bool
) -> Gradients:
    """Gives the function for a model.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
        loss_fn: estimates, sources, lengths -> what is differentiated, the loss.
        parameters: of the model, to be trained.
        recompute: compute what is inside of the separator's blocks again, instead of keeping it.
        half: compute the model in mixed precision.

    Raises:
        InputError: to be computed again, but the separator has no `blocks`.
    """
    separator, wrap = getattr(model, "separator", None), in_half_precision if half else _as_it_is
    if not recompute:
        return by_one_graph(wrap(model), loss_fn, parameters)
    if not isinstance(getattr(separator, "blocks", None), nn.CellList):
        raise InputError("recompute: this model has no blocks to compute again; set it to false")
    if hasattr(separator, "before_blocks"):
        return BlockByBlock(model, loss_fn, parameters, wrap)
    for block in separator.blocks:
        block.recompute()
    return by_one_graph(wrap(model), loss_fn, parameters)


def _as_it_is(function: Callable) -> Callable:
    return function


def by_one_graph(estimate: Callable[[Tensor], Tensor], loss_fn: LossFn, parameters: ParameterTuple) -> Gradients:
    """Has MindSpore differentiate the whole model."""

    def forward(mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return loss_fn(estimate(mixture), sources, lengths)

    value_and_grad = ms.value_and_grad(forward, None, parameters, has_aux=True)

    @ms.jit
    def gradients(mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        (_, loss), found = value_and_grad(mixture, sources, lengths)
        return loss, found

    return gradients


class BlockByBlock:
    """Keeps what goes into each block, and computes the inside of one block at a time again to differentiate it.

    Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016. As the blocks are alike, one
    block is compiled and lent the parameters of each: a sixth of the compiling for six blocks, and MindSpore's kernels,
    which keep their scratch memory, are there once.

    Args:
        model: has `encoder`, `reconstruct`, and a separator with `before_blocks`, `blocks` and `after_blocks`.
        loss_fn: estimates, sources, lengths -> what is differentiated, the loss.
        parameters: of the model, to be trained.
        wrap: is given every function of the model before it is compiled.
    """

    def __init__(
        self, model: nn.Cell, loss_fn: LossFn, parameters: ParameterTuple, wrap: Callable[[Callable], Callable]
    ) -> None:
        separator = model.separator
        self.names = [parameter.name for parameter in parameters]
        self.blocks = [list(block.get_parameters()) for block in separator.blocks]
        in_blocks = {parameter.name for block in self.blocks for parameter in block}
        self.others = ParameterTuple([parameter for parameter in parameters if parameter.name not in in_blocks])
        self.block = LentBlock(separator.blocks)
        of_block, others = ParameterTuple(self.block.parameters), self.others

        def before_blocks(mixture: Tensor) -> tuple[Tensor, Tensor]:
            features = model.encoder(mixture)
            return features, separator.before_blocks(features)

        def after_blocks(features: Tensor, x: Tensor, n_samples: int) -> Tensor:
            return model.reconstruct(features, separator.after_blocks(x, features.shape[1]), n_samples)

        before_blocks, through_block, after_blocks = wrap(before_blocks), wrap(self.block.cell), wrap(after_blocks)

        def loss_after(features: Tensor, x: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            return loss_fn(after_blocks(features, x, sources.shape[2]), sources, lengths)

        def along_block(x: Tensor, d_y: Tensor) -> Tensor:
            return (through_block(x) * d_y).sum()

        def along_before(mixture: Tensor, d_features: Tensor, d_x: Tensor) -> Tensor:
            features, x = before_blocks(mixture)
            return (features * d_features).sum() + (x * d_x).sum()

        grad_after = ms.value_and_grad(loss_after, (0, 1), others, has_aux=True)
        grad_block = ms.grad(along_block, 0, of_block)
        grad_before = ms.grad(along_before, None, others)

        @ms.jit
        def backward_after(features: Tensor, x: Tensor, sources: Tensor, lengths: Tensor) -> tuple:
            (_, loss), ((d_features, d_x), found) = grad_after(features, x, sources, lengths)
            return loss, d_features, d_x, found

        @ms.jit
        def backward_block(x: Tensor, d_y: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            return grad_block(x, d_y)

        @ms.jit
        def backward_before(mixture: Tensor, d_features: Tensor, d_x: Tensor, *found: Tensor) -> tuple[Tensor, ...]:
            sums = []
            for before, after in zip(grad_before(mixture, d_features, d_x), found):
                sums.append(before + after)
            return tuple(sums)

        self.forward_before, self.forward_block = ms.jit(before_blocks), ms.jit(through_block)
        self.backward_after, self.backward_block, self.backward_before = backward_after, backward_block, backward_before

    def __call__(self, mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Gives the loss and the gradient of each parameter."""
        features, x = self.forward_before(mixture)
        kept = []
        for number in range(len(self.blocks)):
            self.block.take(number)
            kept.append(x)
            x = self.forward_block(x)
        loss, d_features, d_x, found = self.backward_after(features, x, sources, lengths)
        gradients = {}
        for number in reversed(range(len(self.blocks))):
            self.block.take(number)
            d_x, of_block = self.backward_block(kept.pop(), d_x)
            gradients |= zip((parameter.name for parameter in self.blocks[number]), of_block)
        of_others = self.backward_before(mixture, d_features, d_x, *found)
        gradients |= zip((parameter.name for parameter in self.others), of_others)
        return loss, tuple(gradients[name] for name in self.names)


class LentBlock:
    """A copy of a block that can be any one of several which are alike.

    Args:
        blocks: of one kind and size.

    Attributes:
        cell: the copy.
        parameters: the copy's.
    """

    def __init__(self, blocks: nn.CellList) -> None:
        self.sources = [list(block.get_parameters()) for block in blocks]
        self.cell = copy.deepcopy(blocks[0]).set_train()
        self.parameters = list(self.cell.get_parameters())
        for parameter in self.parameters:
            parameter.name = f"lent.{parameter.name}"

        dropouts = [_dropouts(block) for block in blocks]
        self.offsets = [Tensor(own[0].place - dropouts[0][0].place, ms.int32) for own in dropouts if own]
        if self.offsets:
            self.offset = Parameter(Tensor(0, ms.int32), name="lent.dropout_offset", requires_grad=False)
            for cell, first in zip(_dropouts(self.cell), dropouts[0]):
                object.__setattr__(cell, "count", first.count)
                object.__setattr__(cell, "offset", self.offset)

    def take(self, number: int) -> None:
        """Makes the copy that block."""
        for own, parameter in zip(self.parameters, self.sources[number]):
            ops.assign(own, parameter)
        if self.offsets:
            ops.assign(self.offset, self.offsets[number])


def _dropouts(block: nn.Cell) -> list[CountedDropout]:
    return [cell for _, cell in block.cells_and_names() if isinstance(cell, CountedDropout)]
