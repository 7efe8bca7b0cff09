"""Recurrent layers: LSTM, GRU and plain tanh RNN with PyTorch's parameters on every device.

How a layer is executed is a detail of `rnn_forms`, chosen when the layer is built.
"""

import contextlib
from collections.abc import Iterator

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from mindaudio_ext.errors import InputError
from mindaudio_ext.layers.rnn_backends import FORMS, N_KEPT

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_forced_target: list[str] = []


@contextlib.contextmanager
def build_rnns_for(target: str) -> Iterator[None]:
    """Has the layers built inside the `with` run on `target`, not on the context's device.

    Args:
        target: "CPU", "Ascend" (can be exported, though not run, on a CPU), or "portable": what a CPU runs without
            Python, for a MindIR. "CPU" and "portable" differ for the GRU alone.

    Raises:
        ValueError: there is no such target.
    """
    if target not in FORMS:
        raise ValueError(f"no RNN runs on {target!r}; known: {', '.join(FORMS)}")
    _forced_target.append(target)
    try:
        yield
    finally:
        _forced_target.pop()


class RNN(nn.Cell):
    """A stack of recurrent layers in one or both directions, time first.

    Parameters are named, shaped, ordered (gates i, f, g, o; GRU r, z, n) and initialised as in PyTorch:
    `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, the same with `_reverse`, then `_l1` and so on.

    Args:
        rnn_type: "LSTM", "GRU", or "RNN" (tanh); in any case.
        input_size: width of the input, N.
        hidden_size: units a direction, H.
        num_layers: layers on top of each other.
        bidirectional: D = 2 directions, else D = 1.
        dropout: share of values dropped between two layers, in training.

    Attributes:
        keeps: whether `with_kept` can be used.

    Inputs:
        x: [T, B, N].

    Outputs:
        [T, B, D * H].

    Raises:
        InputError: rnn_type is none of the three.
    """

    def __init__(
        self,
        rnn_type: str,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kind = str(rnn_type).upper()
        if kind not in GATES:
            raise InputError(f"separator_conf.rnn_type: no RNN is called {rnn_type!r}; known: {', '.join(GATES)}")
        target = _forced_target[-1] if _forced_target else ms.get_context("device_target")
        self.num_layers, self.hidden_size = num_layers, hidden_size
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        n_directions = len(self.suffixes)
        widths = [input_size] + [n_directions * hidden_size] * (num_layers - 1)
        for layer, width in enumerate(widths):
            for suffix in self.suffixes:
                self._add_parameters(f"_l{layer}{suffix}", GATES[kind] * hidden_size, width, hidden_size)
        self.runs = nn.CellList([FORMS[target][kind](width, hidden_size, n_directions) for width in widths])
        self.keeps = all(hasattr(run, "with_kept") for run in self.runs)
        self.dropout = nn.Dropout(p=float(dropout))

    def _add_parameters(self, suffix: str, rows: int, width: int, hidden_size: int) -> None:
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}
        for kind, shape in shapes.items():
            name = kind + suffix
            setattr(self, name, Parameter(initializer(Uniform(hidden_size**-0.5), shape, ms.float32), name=name))

    def construct(self, x: Tensor) -> Tensor:
        for layer in range(self.num_layers):
            if layer > 0:
                x = self.dropout(x)
            w_ih, w_hh = self._stacked("weight_ih", layer), self._stacked("weight_hh", layer)  # [D, G * H, N or H]
            b_ih, b_hh = self._stacked("bias_ih", layer), self._stacked("bias_hh", layer)  # [D, G * H]
            x = self.runs[layer](x, w_ih, w_hh, b_ih, b_hh)  # [T, B, D * H]
        return x

    def with_kept(self, x: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Computes the outputs and what their gradient needs, or with that, for the same x, takes them from it.

        Args:
            x: [T, B, N].
            kept: what this has given for x; () to compute it.

        Returns:
            [T, B, D * H], and what is kept. Only where `keeps`.
        """
        of_layers = ()  # type: tuple[Tensor, ...]
        for layer in range(self.num_layers):
            if layer > 0:
                x = self.dropout(x)
            w_ih, w_hh = self._stacked("weight_ih", layer), self._stacked("weight_hh", layer)  # [D, G * H, N or H]
            b_ih, b_hh = self._stacked("bias_ih", layer), self._stacked("bias_hh", layer)  # [D, G * H]
            own = kept[N_KEPT * layer : N_KEPT * (layer + 1)]
            x, own = self.runs[layer].with_kept(x, w_ih, w_hh, b_ih, b_hh, own)
            of_layers = of_layers + own
        return x, of_layers

    def initial_state(self, n_batch: int) -> Tensor:
        """Returns the state before the first step, for `forward_step`."""
        return ops.zeros((self.num_layers, 2, len(self.suffixes), n_batch, self.hidden_size), ms.float32)

    def forward_step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Goes on where it ended; for an LSTM. A state may also be one that is not an earlier end, of both directions.

        Args:
            x: [T, B, N].
            state: [layers, 2, D, B, H].

        Returns:
            [T, B, D * H], and the state after it.
        """
        states = ()  # type: tuple[Tensor, ...]
        for layer in range(self.num_layers):
            w_ih, w_hh = self._stacked("weight_ih", layer), self._stacked("weight_hh", layer)  # [D, G * H, N or H]
            b_ih, b_hh = self._stacked("bias_ih", layer), self._stacked("bias_hh", layer)  # [D, G * H]
            x, h, c = self.runs[layer].forward_step(x, state[layer, 0], state[layer, 1], w_ih, w_hh, b_ih, b_hh)
            states = (*states, ops.stack((h, c)))
        return x, ops.stack(states)

    def _stacked(self, kind: str, layer: int) -> Tensor:
        directions = []
        for direction in self.suffixes:
            directions.append(getattr(self, f"{kind}_l{layer}{direction}"))
        return ops.stack(directions)


class LSTM(RNN):
    """`RNN` with the type "LSTM"."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers=num_layers, bidirectional=bidirectional, dropout=dropout
        )


class StatefulLSTM(LSTM):
    """An LSTM that starts from a given state and also gives its last.

    Inputs:
        x: [T, B, N].
        state: [layers, 2, D, B, H], the output and the cell of each layer and direction.

    Outputs:
        [T, B, D * H], and the state after the last step (backwards: the first).
    """

    def construct(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.forward_step(x, state)
