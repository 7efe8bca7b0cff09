"""Recurrent layers. How one is executed is a detail of this file; the parameters are PyTorch's on every device."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer


class LSTM(nn.Cell):
    """A stack of LSTM layers in one or both directions, time first.

    On a CPU the primitive runs both directions of a layer in one call. Parameters are named, shaped, ordered (gates
    i, f, g, o) and initialised as in PyTorch: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, the same with
    `_reverse`, then `_l1` and so on.

    Args:
        input_size: width of the input, N.
        hidden_size: units a direction, H.
        num_layers: layers on top of each other.
        bidirectional: D = 2 directions, else D = 1.
        dropout: share of values dropped between two layers, in training.

    Inputs:
        x: [T, B, N].

    Outputs:
        [T, B, D * H].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        n_directions = len(self.suffixes)
        widths = [input_size] + [n_directions * hidden_size] * (num_layers - 1)
        for layer, width in enumerate(widths):
            for suffix in self.suffixes:
                self._add_parameters(f"_l{layer}{suffix}", width)
        self.runs = nn.CellList([_Layer(width, hidden_size, bidirectional) for width in widths])
        self.dropout = nn.Dropout(p=float(dropout))

    def _add_parameters(self, suffix: str, width: int) -> None:
        scale, rows = self.hidden_size**-0.5, 4 * self.hidden_size
        shapes = {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self.hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        for kind, shape in shapes.items():
            name = kind + suffix
            setattr(self, name, Parameter(initializer(Uniform(scale), shape, ms.float32), name=name))

    def construct(self, x: Tensor) -> Tensor:
        for layer in range(self.num_layers):
            if layer > 0:
                x = self.dropout(x)
            x = self.runs[layer](x, self._packed(layer))  # [T, B, D * H]
        return x

    def _packed(self, layer: int) -> Tensor:
        """One flat vector, as the primitive wants it: by kind, then by direction; one summed bias."""
        inputs, hiddens, biases = [], [], []
        for direction in self.suffixes:
            suffix = f"_l{layer}{direction}"
            inputs.append(getattr(self, "weight_ih" + suffix).reshape(-1))
            hiddens.append(getattr(self, "weight_hh" + suffix).reshape(-1))
            biases.append(getattr(self, "bias_ih" + suffix) + getattr(self, "bias_hh" + suffix))
        return ops.concat(inputs + hiddens + biases)


class _Layer(nn.Cell):
    """One layer, executed by the CPU primitive."""

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.n_directions = 2 if bidirectional else 1
        self.lstm = ops.LSTM(input_size, hidden_size, 1, True, bidirectional, 0.0)

    def construct(self, x: Tensor, packed: Tensor) -> Tensor:
        state = ops.zeros((self.n_directions, x.shape[1], self.hidden_size), x.dtype)
        return self.lstm(x, state, state, packed.reshape(-1, 1, 1))[0]
