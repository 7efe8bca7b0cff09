"""Loss and gradients of a batch: by one graph that keeps all it computes, or block by block.

Block by block, what is inside of a block is computed again on the way back: all of it (`recompute`), or all but what
its RNNs have kept (`recompute_rnns: false`), which is most of the time.

Both are called with a batch, `(mixture [B, T], sources [B, C, T], lengths [B])`, and give the loss and a tuple with the
gradient of each parameter, in the order of `parameters`. `loss_fn` gives what is differentiated and the loss.
"""

import copy
from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindaudio_ext.errors import InputError
from mindaudio_ext.train.dropout import CountedDropout
from mindaudio_ext.train.precision import in_half_precision

Gradients = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]
LossFn = Callable[..., tuple[Tensor, Tensor]]  # of estimates, sources and lengths


def make_gradients(
    model: nn.Cell,
    loss_fn: LossFn,
    parameters: ParameterTuple,
    *,
    recompute: bool,
    recompute_rnns: bool = True,
    half: bool,
    auxiliary: bool = False,
) -> Gradients:
    """Returns the function for a model.

    Args:
        model: mixture [B, T] -> estimates [B, C, T].
        loss_fn: estimates, sources, lengths -> what is differentiated, the loss.
        parameters: of the model, to be trained.
        recompute: compute what is inside of the separator's blocks again, instead of keeping it.
        recompute_rnns: what is inside of their RNNs too.
        half: compute the model in mixed precision.
        auxiliary: give `loss_fn` what the model's `with_auxiliary` gives, in place of the estimates alone.

    Raises:
        InputError: to be computed again, but the separator has no `before_blocks`, or the model no separator; or the
            RNNs are not to be, and the blocks have no `with_kept`.
    """
    separator: Any = getattr(model, "separator", None)
    wrap = in_half_precision if half else _as_it_is
    if not recompute:
        return by_one_graph(wrap(_with_auxiliary(model) if auxiliary else model), loss_fn, parameters)
    if auxiliary or not hasattr(separator, "before_blocks"):
        raise InputError("recompute: this model has no blocks to compute again; set it to false")
    if not (recompute_rnns or all(getattr(block, "keeps", False) for block in separator.blocks)):
        raise InputError("recompute_rnns: false is for the LSTMs of dprnn on a CPU; this model's blocks keep nothing")
    return BlockByBlock(model, loss_fn, parameters, wrap, keep=not recompute_rnns)


def _with_auxiliary(model: nn.Cell) -> Callable[[Tensor], tuple[Tensor, ...]]:
    def estimates(mixture: Tensor) -> tuple[Tensor, ...]:
        return model.with_auxiliary(mixture)

    return estimates


def _as_it_is(function: Callable) -> Callable:
    return function


def by_one_graph(
    estimate: Callable[[Tensor], Tensor | tuple[Tensor, ...]], loss_fn: LossFn, parameters: ParameterTuple
) -> Gradients:
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

    With `keep` not the RNNs: what a block's `with_kept` gives is kept too, and given to it again on the way back.

    Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016. As the blocks are alike, one
    block of each kind is compiled and lent the parameters of all of that kind: a sixth of the compiling for six blocks
    that are alike, and MindSpore's kernels, which keep their scratch memory, are there once.

    Args:
        model: has `features`, `estimates`, and a separator with `before_blocks`, `blocks` and `after_blocks`; block i
            is of kind i % `block_period` if it has that, else all are of one.
        loss_fn: estimates, sources, lengths -> what is differentiated, the loss.
        parameters: of the model, to be trained.
        wrap: is given every function of the model before it is compiled.
        keep: the blocks' `with_kept` is used.
    """

    def __init__(
        self,
        model: nn.Cell,
        loss_fn: LossFn,
        parameters: ParameterTuple,
        wrap: Callable[[Callable], Callable],
        *,
        keep: bool,
    ) -> None:
        separator = model.separator
        self.names = [parameter.name for parameter in parameters]
        in_blocks = {parameter.name for parameter in separator.blocks.get_parameters()}
        self.others = ParameterTuple([parameter for parameter in parameters if parameter.name not in in_blocks])
        blocks = list(separator.blocks)  # a slice of a CellList would give the parameters other names
        period = getattr(separator, "block_period", 1)
        shared = [SharedBlock(blocks[kind::period], wrap, keep=keep) for kind in range(period)]
        self.blocks = [(shared[number % period], number // period) for number in range(len(blocks))]

        def before_blocks(mixture: Tensor) -> tuple[Tensor, Tensor]:
            features = model.features(mixture)
            return features, separator.before_blocks(features)

        def after_blocks(features: Tensor, x: Tensor, mixture: Tensor) -> Tensor:
            return model.estimates(features, separator.after_blocks(x, features.shape[1]), mixture)

        before = wrap(before_blocks)
        self.forward_before = ms.jit(before)
        self.backward_before = _backward_before(before, self.others)
        self.backward_after = _backward_after(wrap(after_blocks), loss_fn, self.others)

    def __call__(self, mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns the loss and the gradient of each parameter."""
        features, x = self.forward_before(mixture)
        kept = []
        for shared, number in self.blocks:
            y, inside = shared.forward(number, x)
            kept.append((x, inside))
            x = y
        loss, d_features, d_x, found = self.backward_after(features, x, mixture, sources, lengths)
        gradients: dict[str, Tensor] = {}
        for shared, number in reversed(self.blocks):
            d_x, of_block = shared.backward(number, *kept.pop(), d_x)
            gradients |= of_block
        of_others = self.backward_before(mixture, d_features, d_x, *found)
        gradients |= zip((parameter.name for parameter in self.others), of_others)
        return loss, tuple(gradients[name] for name in self.names)


def _backward_after(after_blocks: Callable, loss_fn: LossFn, parameters: ParameterTuple) -> Callable:
    """Compiles what follows the blocks, there and back.

    Returns:
        features, x, mixture, sources, lengths -> loss, the gradients of features and x, and those of the parameters.
    """

    def loss_after(
        features: Tensor, x: Tensor, mixture: Tensor, sources: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        return loss_fn(after_blocks(features, x, mixture), sources, lengths)

    grad_after = ms.value_and_grad(loss_after, (0, 1), parameters, has_aux=True)

    @ms.jit
    def backward_after(features: Tensor, x: Tensor, mixture: Tensor, sources: Tensor, lengths: Tensor) -> tuple:
        (_, loss), ((d_features, d_x), found) = grad_after(features, x, mixture, sources, lengths)
        return loss, d_features, d_x, found

    return backward_after


def _backward_before(before_blocks: Callable, parameters: ParameterTuple) -> Callable:
    """Compiles the way back through what comes before the blocks.

    Returns:
        mixture, the gradients of features and x, and those of the parameters by what follows -> the parameters'.
    """

    def along_before(mixture: Tensor, d_features: Tensor, d_x: Tensor) -> Tensor:
        features, x = before_blocks(mixture)
        return (features * d_features).sum() + (x * d_x).sum()

    grad_before = ms.grad(along_before, None, parameters)

    @ms.jit
    def backward_before(mixture: Tensor, d_features: Tensor, d_x: Tensor, *found: Tensor) -> tuple[Tensor, ...]:
        sums = []
        for before, after in zip(grad_before(mixture, d_features, d_x), found):
            sums.append(before + after)
        return tuple(sums)

    return backward_before


class SharedBlock:
    """A copy of a block that can be any one of several which are alike.

    Args:
        blocks: x -> x, of one kind and size.
        wrap: is given the copy before it is compiled.
        keep: the blocks have `with_kept`, which is used.
    """

    def __init__(self, blocks: list[nn.Cell], wrap: Callable[[Callable], Callable], *, keep: bool) -> None:
        self.sources = [list(block.get_parameters()) for block in blocks]
        cell = copy.deepcopy(blocks[0]).set_train()
        self.parameters = list(cell.get_parameters())
        for parameter in self.parameters:
            parameter.name = f"lent.{parameter.name}"

        dropouts = [_dropouts(block) for block in blocks]
        self.offsets = [Tensor(own[0].place - dropouts[0][0].place, ms.int32) for own in dropouts if own]
        if self.offsets:
            self.offset = Parameter(Tensor(0, ms.int32), name="lent.dropout_offset", requires_grad=False)
            for own, first in zip(_dropouts(cell), dropouts[0]):
                own.draw_by(first.count, self.offset)

        through = wrap(cell.with_kept if keep else _keeping_nothing(cell))

        def forward(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            return through(x, ())

        def along(x: Tensor, d_y: Tensor, *kept: Tensor) -> Tensor:
            return (through(x, kept)[0] * d_y).sum()

        gradient = ms.grad(along, 0, ParameterTuple(self.parameters))

        @ms.jit
        def backward(x: Tensor, d_y: Tensor, *kept: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            return gradient(x, d_y, *kept)  # one by one: MindSpore 2.10 reads wrong numbers from tensors in a tuple

        self._forward, self._backward = ms.jit(forward), backward

    def forward(self, number: int, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Computes block `number`, and what it keeps of its inside."""
        self._take(number)
        return self._forward(x)

    def backward(
        self, number: int, x: Tensor, kept: tuple[Tensor, ...], d_y: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the gradients of block `number`'s input x and, by names, of its parameters; `d_y` is its output's."""
        self._take(number)
        d_x, found = self._backward(x, d_y, *kept)
        return d_x, {parameter.name: gradient for parameter, gradient in zip(self.sources[number], found)}

    def _take(self, number: int) -> None:
        for own, parameter in zip(self.parameters, self.sources[number]):
            ops.assign(own, parameter)
        if self.offsets:
            ops.assign(self.offset, self.offsets[number])


def _keeping_nothing(cell: nn.Cell) -> Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]]:
    """Gives a block the form of `with_kept`."""

    def through(x: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return cell(x), kept

    return through


def _dropouts(block: nn.Cell) -> list[CountedDropout]:
    return [cell for _, cell in block.cells_and_names() if isinstance(cell, CountedDropout)]
