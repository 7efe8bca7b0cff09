"""How one recurrent layer is executed on each target; `rnn.RNN` holds the parameters.

Every form is a Cell `form(input_size, hidden_size, n_directions)` and maps, with G gates of H units in D directions,

    x [T, B, N], w_ih [D, G * H, N], w_hh [D, G * H, H], b_ih [D, G * H], b_hh [D, G * H] -> [T, B, D * H]
"""

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.ops.operations._grad_ops import LSTMGrad

from mindaudio_ext.layers import gru_numpy
from mindaudio_ext.layers.activation import tanh

N_KEPT = 4  # tensors that a layer keeps for its gradient


class LSTMOnCPU(nn.Cell):
    """The CPU's LSTM primitive, both directions in one call.

    Args:
        input_size: N.
        hidden_size: H.
        n_directions: D, 1 or 2.
        initial_output: h before the first step, in all units.
        initial_cell: c before the first step, in all units.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_directions: int,
        initial_output: float = 0.0,
        initial_cell: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden_size, self.n_directions = hidden_size, n_directions
        self.initial_output, self.initial_cell = initial_output, initial_cell
        self.lstm = ops.LSTM(input_size, hidden_size, 1, True, n_directions == 2, 0.0)
        self.replay = _ReplayedLSTM(input_size, hidden_size, n_directions)

    def construct(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        return self.with_kept(x, w_ih, w_hh, b_ih, b_hh, ())[0]

    def forward_step(
        self, x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Goes on from a state h, c [D, B, H]; gives the outputs and the state after them."""
        y, h, c, _, _ = self.lstm(x, h, c, self.packed(w_ih, w_hh, b_ih, b_hh))
        return y, h, c

    def with_kept(
        self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, kept: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Computes the outputs, or with `kept`, which that gave for the same x, takes them from it.

        Differentiated, the second does what the first would: the outputs and what the primitive reserves are all that
        its gradient needs of the way there.
        """
        state = ops.zeros((self.n_directions, x.shape[1], self.hidden_size), x.dtype)
        h, c, packed = state + self.initial_output, state + self.initial_cell, self.packed(w_ih, w_hh, b_ih, b_hh)
        if len(kept) > 0:
            return self.replay(x, h, c, packed, kept[0], kept[1], kept[2], kept[3]), kept
        y, last_h, last_c, reserve, _ = self.lstm(x, h, c, packed)
        return y, (y, last_h, last_c, reserve)

    def packed(self, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        """Returns the primitive's weights: one flat vector by kind, then by direction, with one summed bias."""
        return ops.concat((w_ih.reshape(-1), w_hh.reshape(-1), (b_ih + b_hh).reshape(-1))).reshape(-1, 1, 1)


class _ReplayedLSTM(nn.Cell):
    """Gives the outputs y that the primitive has given for x, h, c and weights, and the primitive's gradient.

    Args: the first three of `LSTMOnCPU`.
    """

    def __init__(self, input_size: int, hidden_size: int, n_directions: int) -> None:
        super().__init__()
        self.gradient = LSTMGrad(input_size, hidden_size, 1, True, n_directions == 2, 0.0)

    def construct(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        packed: Tensor,
        y: Tensor,
        last_h: Tensor,
        last_c: Tensor,
        reserve: Tensor,
    ) -> Tensor:
        return y

    def bprop(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        packed: Tensor,
        y: Tensor,
        last_h: Tensor,
        last_c: Tensor,
        reserve: Tensor,
        output: Tensor,
        d_output: Tensor,
    ) -> tuple[Tensor, ...]:
        none_h, none_c = ops.zeros_like(last_h), ops.zeros_like(last_c)
        found = self.gradient(x, h, c, packed, y, last_h, last_c, d_output, none_h, none_c, reserve)
        zeros = ops.zeros_like(y), none_h, none_c, ops.zeros_like(reserve)
        return found[0], found[1], found[2], found[3], zeros[0], zeros[1], zeros[2], zeros[3]


class LSTMOnAscend(nn.Cell):
    """Ascend's DynamicRNN: float16, one call a direction, gates in the order i, g, f, o.

    Args: those of `LSTMOnCPU`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_directions: int,
        initial_output: float = 0.0,
        initial_cell: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden_size, self.n_directions = hidden_size, n_directions
        self.initial_output, self.initial_cell = initial_output, initial_cell
        self.lstm = ops.DynamicRNN(forget_bias=0.0)
        self.reverse = ops.ReverseV2(axis=[0])

    def construct(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        outputs = []
        state = ops.zeros((1, x.shape[1], self.hidden_size), ms.float16)
        h, c = state + self.initial_output, state + self.initial_cell
        for i in range(self.n_directions):
            outputs.append(self._run(i, x, h, c, w_ih, w_hh, b_ih, b_hh)[0])
        return ops.concat(outputs, axis=-1).astype(x.dtype)

    def forward_step(
        self, x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Goes on from a state h, c [D, B, H]; gives the outputs and the state after them."""
        outputs, last_h, last_c = [], [], []
        for i in range(self.n_directions):
            first = h[i : i + 1].astype(ms.float16), c[i : i + 1].astype(ms.float16)
            y, h_after, c_after = self._run(i, x, first[0], first[1], w_ih, w_hh, b_ih, b_hh)
            outputs.append(y)
            last_h.append(h_after)
            last_c.append(c_after)
        y, h, c = ops.concat(outputs, axis=-1), ops.concat(last_h), ops.concat(last_c)
        return y.astype(x.dtype), h.astype(x.dtype), c.astype(x.dtype)

    def _run(
        self, i: int, x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs direction i; gives the outputs [T, B, H], and the last output and cell, [1, B, H], in float16."""
        weight, bias = self.packed(w_ih[i], w_hh[i], b_ih[i], b_hh[i])
        half = x.astype(ms.float16)
        y, _, cells = self.lstm(self.reverse(half) if i else half, weight, bias, None, h, c)[:3]
        return self.reverse(y) if i else y, y[-1:], cells[-1:]

    def packed(self, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor]:
        """Returns one direction's weight [N + H, 4 * H] and bias [4 * H], float16."""
        rows = ops.concat((w_ih, w_hh, (b_ih + b_hh).expand_dims(1)), axis=1)  # [4 * H, N + H + 1]
        i, f, g, o = ops.chunk(rows, 4, axis=0)
        columns = ops.concat((i, g, f, o)).T.astype(ms.float16)  # [N + H + 1, 4 * H]
        return columns[:-1], columns[-1]


class _TanhByLSTM(nn.Cell):
    """A tanh RNN, exactly, by an LSTM: CPU and Ascend have no kernel for it, but both have one for the LSTM.

    With the input gate shut, the forget gate open and a large first cell, tanh(c) stays 1, and the LSTM's output is its
    output gate alone: p = sigmoid(2 a). As tanh(a) = 2 sigmoid(2 a) - 1, the RNN's output is h = 2 p - 1, and its
    recurrence W h = 2 W p - W 1 is again one in p.

    Args:
        lstm: a form of the LSTM that starts from p = 0.5 (h = 0) and c = 50.
    """

    saturated = 100.0

    def __init__(self, lstm: nn.Cell) -> None:
        super().__init__()
        self.lstm = lstm

    def construct(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        bias = 2 * (b_ih + b_hh - w_hh.sum(axis=2))  # [D, H]
        none = ops.zeros_like(bias)
        bias = ops.concat((none - self.saturated, none + self.saturated, none, bias), axis=1)  # [D, 4 * H]: i, f, g, o
        output = self.lstm(x, _last_of_four(2 * w_ih), _last_of_four(4 * w_hh), bias, ops.zeros_like(bias))
        return 2 * output - 1


def _last_of_four(rows: Tensor) -> Tensor:
    """Puts rows [D, H, N] after zeros: [D, 4 * H, N]."""
    none = ops.zeros_like(rows)
    return ops.concat((none, none, none, rows), axis=1)


class TanhOnCPU(_TanhByLSTM):
    """A tanh RNN on a CPU."""

    def __init__(self, input_size: int, hidden_size: int, n_directions: int) -> None:
        super().__init__(LSTMOnCPU(input_size, hidden_size, n_directions, 0.5, 50.0))


class TanhOnAscend(_TanhByLSTM):
    """A tanh RNN on an Ascend."""

    def __init__(self, input_size: int, hidden_size: int, n_directions: int) -> None:
        super().__init__(LSTMOnAscend(input_size, hidden_size, n_directions, 0.5, 50.0))


class GRUOnCPU(nn.Cell):
    """A GRU whose recurrence runs in NumPy, and back.

    MindSpore's own CPU kernel is another GRU (it resets before the product, PyTorch after), and its layer is unrolled:
    half a minute of compiling for 100 steps. What does not recur, the product with the inputs, stays in the graph.
    """

    def __init__(self, input_size: int, hidden_size: int, n_directions: int) -> None:
        super().__init__()
        self.recurrence = _GRURecurrence()

    def construct(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        n_steps, n_batch, width = x.shape
        flat = w_ih.reshape(-1, width)  # [D * 3H, N]
        gates = ops.matmul(x.reshape(-1, width), flat.T) + b_ih.reshape(-1)  # [T * B, D * 3H]
        return self.recurrence(gates.reshape(n_steps, n_batch, flat.shape[0]), w_hh, b_hh)


class _GRURecurrence(nn.Cell):
    """The inputs' part of the gates, [T, B, D * 3H], with w_hh and b_hh to outputs, [T, B, D * H].

    The calls to NumPy are left to MindSpore's interpreter inside the graph, which follows any shape; `ops.Custom` would
    keep the first shape, and is slower. The interpreter does not know what type and shape come back: hence the
    `jit.typing` comments, which MindSpore reads, and the reshapes.
    """

    def __init__(self) -> None:
        super().__init__()
        # An operator of its own: MindSpore 2.10 finds `ops.stack` empty when two Cells have a `bprop`.
        self.stack = ops.Stack()

    def construct(self, gates: Tensor, w_hh: Tensor, b_hh: Tensor) -> Tensor:
        arrays = (gates.asnumpy(), w_hh.asnumpy(), b_hh.asnumpy())
        outputs = Tensor(gru_numpy.forward(*arrays))  # @jit.typing: () -> tensor_type[float32]
        return ops.reshape(outputs, (ops.shape(gates)[0], ops.shape(gates)[1], w_hh.shape[0] * w_hh.shape[2]))

    def bprop(self, gates: Tensor, w_hh: Tensor, b_hh: Tensor, outputs: Tensor, d_outputs: Tensor) -> tuple:
        # In one tensor: a gradient that is a constant of the graph, as a sum's, could not be handed over alone.
        both = self.stack((outputs, d_outputs))
        arrays = (gates.asnumpy(), w_hh.asnumpy(), b_hh.asnumpy(), both.asnumpy())
        d_all = Tensor(gru_numpy.backward_flat(*arrays))  # @jit.typing: () -> tensor_type[float32]
        n_w, n_b = w_hh.size, b_hh.size
        d_all = ops.reshape(d_all, (-1,))
        d_w, d_b = ops.reshape(d_all[:n_w], w_hh.shape), ops.reshape(d_all[n_w : n_w + n_b], b_hh.shape)
        return ops.reshape(d_all[n_w + n_b :], ops.shape(gates)), d_w, d_b


class GRUByLoop(nn.Cell):
    """A GRU by ordinary operators in a loop of the graph: compiles fast for any length and exports, but runs slowly."""

    def __init__(self, input_size: int, hidden_size: int, n_directions: int) -> None:
        super().__init__()
        self.hidden_size, self.n_directions = hidden_size, n_directions

    def construct(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        both = ops.stack((x, ops.flip(x, (0,))), 1) if self.n_directions == 2 else x.expand_dims(1)  # [T, D, B, N]
        gates = ops.matmul(both, w_ih.swapaxes(1, 2)) + b_ih.expand_dims(1)  # [T, D, B, 3H]
        y = self._recur(gates, w_hh.swapaxes(1, 2), b_hh.expand_dims(1))  # [T, D, B, H]
        if self.n_directions == 2:
            return ops.concat((y[:, 0], ops.flip(y[:, 1], (0,))), axis=-1)
        return y[:, 0]

    def _recur(self, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        size = self.hidden_size
        h = ops.zeros_like(gates[0, :, :, :size])  # [D, B, H]
        outputs = ops.zeros_like(gates[:, :, :, :size])
        n_steps, t = ops.shape(gates)[0], Tensor(0, ms.int32)
        while t < n_steps:
            from_x, from_h = ops.gather(gates, t, 0), ops.bmm(h, weight) + bias  # [D, B, 3H]
            rz = ops.sigmoid(from_x[..., : 2 * size] + from_h[..., : 2 * size])
            n = tanh(from_x[..., 2 * size :] + rz[..., :size] * from_h[..., 2 * size :])
            h = n + rz[..., size:] * (h - n)
            outputs = ops.tensor_scatter_update(outputs, t.reshape(1, 1), h.expand_dims(0))
            t = t + 1
        return outputs


class GRUOnAscend(nn.Cell):
    """Ascend's DynamicGRUV2: weights in float16, one call a direction, gates r, z, n, reset after the product.

    Its units come in sixteens. Those added have no weights: they start at 0 and stay there.
    """

    def __init__(self, input_size: int, hidden_size: int, n_directions: int) -> None:
        super().__init__()
        self.hidden_size, self.n_directions = hidden_size, n_directions
        self.padding = -hidden_size % 16
        self.gru = ops.DynamicGRUV2(gate_order="rzh")
        self.reverse = ops.ReverseV2(axis=[0])

    def construct(self, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        outputs = []
        for i in range(self.n_directions):
            w_x, w_h, b_x, b_h = self.packed(w_ih[i], w_hh[i], b_ih[i], b_hh[i])
            state = ops.zeros((x.shape[1], self.hidden_size + self.padding), ms.float32)
            half = x.astype(ms.float16)
            y = self.gru(self.reverse(half) if i else half, w_x, w_h, b_x, b_h, None, state)[0]
            y = y[:, :, : self.hidden_size]  # [T, B, H]
            outputs.append(self.reverse(y) if i else y)
        return ops.concat(outputs, axis=-1).astype(x.dtype)

    def packed(self, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns one direction's weights [N, 3 * H'] and [H', 3 * H'] in float16, biases [3 * H'] in float32."""
        weight_h = ops.pad(self._padded_gates(w_hh).T, (0, 0, 0, self.padding))
        biases = self._padded_gates(b_ih.expand_dims(1))[:, 0], self._padded_gates(b_hh.expand_dims(1))[:, 0]
        return (self._padded_gates(w_ih).T.astype(ms.float16), weight_h.astype(ms.float16), *biases)

    def _padded_gates(self, rows: Tensor) -> Tensor:
        """[3 * H, N] -> [3 * H', N], zeros at the end of each gate."""
        width = rows.shape[1]
        gates = ops.pad(rows.reshape(3, self.hidden_size, width), (0, 0, 0, self.padding))
        return gates.reshape(3 * (self.hidden_size + self.padding), width)


FORMS = {
    "CPU": {"LSTM": LSTMOnCPU, "GRU": GRUOnCPU, "RNN": TanhOnCPU},
    "Ascend": {"LSTM": LSTMOnAscend, "GRU": GRUOnAscend, "RNN": TanhOnAscend},
    "portable": {"LSTM": LSTMOnCPU, "GRU": GRUByLoop, "RNN": TanhOnCPU},
}
