"""TasNet's first separator, a stack of LSTM layers.

Luo and Mesgarani, "TasNet: time-domain audio separation network for real-time, single-channel speech separation",
ICASSP 2018.

features [B, L, N] -> norm -> LSTM layers [B, L, D H] -> mask logits [B, C, L, N]

The paper's encoder is `encoder_activation: gated`. As in Asteroid, no layer skips another.
"""

from typing import ClassVar

from mindspore import Tensor, nn

from mindaudio_ext.config.types import Share, Size
from mindaudio_ext.convert.architecture import COMMON_DEFAULTS, FILTERS, Architecture
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.norm import make_norm
from mindaudio_ext.layers.rnn import LSTM
from mindaudio_ext.registry import register


@register("rnn")
class StackedLSTM(nn.Cell):
    """Estimates one mask a source by LSTM layers along the frames.

    Args:
        input_size: features, N.
        num_spks: sources, C.
        hidden_size: LSTM units a direction, H.
        rnn_layers: layers on top of each other.
        bidirectional: whether the layers also run backwards. If not, a frame's masks depend on earlier frames only: the
            norm is cgLN then, otherwise gLN.
        dropout: between two layers.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].
    """

    causal_with: ClassVar[str] = "`bidirectional: false`"
    asteroid: ClassVar[Architecture] = Architecture(
        name="LSTMTasNet",
        options={
            "n_layers": "rnn_layers",
            "hid_size": "hidden_size",
            "dropout": "dropout",
            "bidirectional": "bidirectional",
        },
        defaults={
            **COMMON_DEFAULTS,
            "n_filters": 64,
            "n_layers": 4,
            "hid_size": 512,
            "dropout": 0.3,
            "mask_act": "sigmoid",
            "bidirectional": True,
        },
        rules=(
            Rule("encoder.filterbank._filters", "encoder.weight", FILTERS),  # the next one again
            Rule("encoder.encoder_relu.filterbank._filters", "encoder.weight", FILTERS),
            Rule("encoder.encoder_sig.filterbank._filters", "encoder.gate_weight", FILTERS),
            Rule("decoder.filterbank._filters", "decoder.weight", FILTERS),
            Rule("masker.bn_layer.*", "separator.input_norm.*"),
            Rule("masker.masker.0.rnn.*", "separator.rnn.*"),
            Rule("masker.masker.1.*", "separator.mask.*"),
        ),
        fixed={"rnn_type": ("lstm", "LSTM", "GRU", "gru", "RNN", "rnn")},  # Asteroid stores it and makes an LSTM
        gated=True,
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        hidden_size: Size = 512,
        rnn_layers: Size = 4,
        bidirectional: bool = True,
        dropout: Share = 0.3,
    ) -> None:
        super().__init__()
        self.num_spks = num_spks
        self.input_norm = make_norm("gLN" if bidirectional else "cgLN", input_size)
        self.rnn = LSTM(input_size, hidden_size, num_layers=rnn_layers, bidirectional=bidirectional, dropout=dropout)
        self.mask = dense((2 if bidirectional else 1) * hidden_size, num_spks * input_size)

    def construct(self, features: Tensor) -> Tensor:
        n_batch, n_frames, n_features = features.shape
        x = self.rnn(self.input_norm(features).transpose(1, 0, 2))  # [L, B, D * H]
        x = self.mask(x).reshape(n_frames, n_batch, self.num_spks, n_features)  # [L, B, C, N]
        return x.transpose(1, 2, 0, 3)  # [B, C, L, N]
