"""SkiM, the skipping memory LSTM.

Li, Yang, Wang and Qian, "SkiM: skipping memory LSTM for low-latency real-time continuous speech separation", ICASSP
2022.

features [B, L, N] -> segments [B, S, K, N] -> LSTM within segments, and between two of them LSTMs across the segments
that hand on the first one's last states as the second one's first -> one copy a source -> mask logits [B, C, L, N]
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindaudio_ext.config.types import Share, Size
from mindaudio_ext.convert.names import Rule
from mindaudio_ext.convert.public_model import (
    SPEECHBRAIN_FILTERBANK,
    Arguments,
    PublicModel,
    espnet_normalizes,
    speechbrain_filterbank,
)
from mindaudio_ext.layers.activation import PReLU
from mindaudio_ext.layers.blocks import BlockSeparator
from mindaudio_ext.layers.chunk import Swap, join_segments, segments
from mindaudio_ext.layers.dense import dense
from mindaudio_ext.layers.norm import ChannelLayerNorm, GlobalLayerNorm
from mindaudio_ext.layers.rnn import StatefulLSTM
from mindaudio_ext.registry import register, require_options

EPSILON = 1.1920929e-07  # of all norms, as published: float32's
MOST_FRAMES_AT_ONCE = 50  # that a stream waits for


def _speechbrain_config(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of SpeechBrain's `ResourceEfficientSeparator` of LSTMs."""
    filterbank = speechbrain_filterbank(theirs)
    causal = theirs.require("masknet.causal", True, False)
    hidden_size = theirs.get("masknet.unit", 512)
    mem_type = theirs.get("masknet.mem_type", "hc")
    theirs.require("masknet.input_dim", filterbank["n_filters"])
    theirs.require("masknet.seg_model.input_size", filterbank["n_filters"])
    theirs.require("masknet.nonlinear", "relu")
    # A memory that is left out has no arguments.
    for name in ("masknet.seg_model", "masknet.mem_model") if mem_type else ("masknet.seg_model",):
        theirs.require(f"{name}.hidden_size", hidden_size)
        theirs.require(f"{name}.bidirectional", not causal, default=False)
        theirs.require(f"{name}.norm_type", *(("cln", "cLN") if causal else ("gln",)), default="cln")
        theirs.leave_out(f"{name}.class")
    theirs.require("masknet.mem_model.mem_type", mem_type)
    theirs.leave_out("encoder.class", "decoder.class", "masknet.class", "masknet.dropout", "masknet.mem_model")
    theirs.leave_out("masknet.mem_model.dropout")
    options = {
        "hidden_size": hidden_size, "chunk_size": theirs.get("masknet.segment_size", 20),
        "n_blocks": theirs.get("masknet.layer", 3), "mem_type": mem_type or "none", "causal": causal,
        "dropout": theirs.get("masknet.seg_model.dropout", 0.0),
    }  # fmt: skip
    return {**filterbank, "num_spks": theirs.get("masknet.num_spk", 2), "separator_conf": options}


def _espnet_config(theirs: Arguments) -> dict[str, Any]:
    """Returns the config keys of ESPnet's `skim` between convolutions."""
    sizes = {}
    for name in ("channel", "kernel_size", "stride"):
        sizes[name] = theirs[f"encoder_conf.{name}"]
        theirs.require(f"decoder_conf.{name}", sizes[name], default=None)
    for name in ("encoder", "decoder"):
        theirs.require(name, "conv", default=None)
        theirs.leave_out(f"{name}_conf.class")
    normalize_variance = espnet_normalizes(theirs)
    theirs.require("model_conf.flexible_numspk", False)
    theirs.require("separator_conf.predict_noise", False)
    theirs.leave_out(*(name for name in theirs.values if name.startswith("model_conf.")), "separator_conf.class")
    options = {
        "hidden_size": theirs.get("separator_conf.unit", 512), "n_blocks": theirs.get("separator_conf.layer", 3),
        "chunk_size": theirs.get("separator_conf.segment_size", 20),
        "overlap": theirs.get("separator_conf.seg_overlap", False),
        "mem_type": theirs.get("separator_conf.mem_type", "hc") or "none",
        "causal": theirs.get("separator_conf.causal", True), "dropout": theirs.get("separator_conf.dropout", 0.0),
    }  # fmt: skip
    return {
        "sample_rate": theirs.sample_rate, "num_spks": theirs.get("separator_conf.num_spk", 2),
        "n_filters": sizes["channel"], "kernel_size": sizes["kernel_size"], "stride": sizes["stride"],
        "encoder_activation": "relu",
        "mask_activation": theirs.require("separator_conf.nonlinear", "relu", "sigmoid"),
        "normalize_variance": normalize_variance, "separator_conf": options,
    }  # fmt: skip


def _speechbrain_names(options: Mapping[str, Any]) -> tuple[Rule, ...]:
    names = _names("masknet.model.", ("seg_model", "mem_model"), options, ("mdl.rnn", "out"), ("weight", "bias"))
    return (*SPEECHBRAIN_FILTERBANK, *names)


def _espnet_names(options: Mapping[str, Any]) -> tuple[Rule, ...]:
    names = _names("separator.skim.", ("seg_lstms", "mem_lstms"), options, ("rnn", "proj"), ("gamma", "beta"))
    filterbank = (
        Rule("encoder.conv1d.weight", "encoder.weight"),
        Rule("decoder.convtrans1d.weight", "decoder.weight"),
    )
    return (*filterbank, *names)


def _names(
    prefix: str, lists: tuple[str, str], options: Mapping[str, Any], carry: tuple[str, str], norm: tuple[str, str]
) -> Iterator[Rule]:
    """Yields the rules for names of SpeechBrain's or ESPnet's.

    Args:
        prefix: of all of their names.
        lists: theirs of LSTMs within and across segments.
        options: of the separator; the last of the LSTMs within segments stands alone here.
        carry: theirs of an LSTM across segments and its dense layer.
        norm: theirs of a norm's scale and shift.
    """
    segment, memory = lists
    norms = tuple(zip(norm, ("gamma", "beta")))
    places = ((f"{segment}.{options['n_blocks'] - 1}", "last"), (f"{segment}.#", "blocks.#.segment"))
    for place, here in places:
        yield Rule(f"{prefix}{place}.lstm.*", f"separator.{here}.rnn.*")
        yield Rule(f"{prefix}{place}.proj.*", f"separator.{here}.dense.*")
        for theirs, ours in norms:
            yield Rule(f"{prefix}{place}.norm.{theirs}", f"separator.{here}.norm.{ours}")
    for state in ("h", "c"):
        here = f"separator.blocks.#.memory.{state}_carry"
        yield Rule(f"{prefix}{memory}.#.{state}_net.{carry[0]}.*", f"{here}.rnn.*")
        yield Rule(f"{prefix}{memory}.#.{state}_net.{carry[1]}.*", f"{here}.dense.*")
        for theirs, ours in norms:
            yield Rule(f"{prefix}{memory}.#.{state}_norm.{theirs}", f"{here}.norm.{ours}")
    yield Rule(f"{prefix}output_fc.0.weight", "separator.prelu.weight")
    yield Rule(f"{prefix}output_fc.1.*", "separator.mask.*")


@register("skim")
class SkiM(BlockSeparator):
    """Estimates one mask a source by LSTMs within segments, whose states are carried across the segments.

    Args:
        input_size: features, N; there is no bottleneck.
        num_spks: sources, C.
        hidden_size: LSTM units a direction, H.
        chunk_size: frames in a segment, K.
        overlap: whether segments overlap by half.
        n_blocks: LSTMs within segments.
        mem_type: which of the states an LSTM across the segments carries on: "hc" both, "h" the output (the cell
            starts from zero), "c" the cell, "id" both as they are, without an LSTM, "none" neither: then the states
            of each segment go on to the next LSTM within the same one.
        causal: whether a frame's masks depend on earlier frames only. LSTMs run forwards then, states reach the next
            segment, and norms are over the channels of a frame, otherwise over a segment and over all states.
        dropout: of what each LSTM gives, in training.

    Attributes:
        blocks: x -> x, all alike: an LSTM within segments and the memory after it. The last LSTM has none.
        streaming_blocker: why `forward_step` cannot be used; empty when it can.
        hop_size: frames that `forward_step` takes.
        n_ahead: frames between what it takes and what it gives.
        starts_after_silence: whether a hop of silence comes before the signal.

    Inputs:
        features: [B, L, N].

    Outputs:
        Mask logits, [B, C, L, N].

    Raises:
        InputError: options do not go together.
    """

    causal_with: ClassVar[str] = "`causal: true`"
    public: ClassVar[tuple[PublicModel, ...]] = (
        PublicModel(
            "speechbrain",
            "ResourceEfficientSeparator of SegLSTM",
            config=_speechbrain_config,
            names=_speechbrain_names,
        ),
        PublicModel("espnet", "skim", config=_espnet_config, names=_espnet_names),
    )

    def __init__(
        self,
        input_size: int,
        num_spks: int,
        *,
        hidden_size: Size = 256,
        chunk_size: Size = 150,
        overlap: bool = False,
        n_blocks: Size = 4,
        mem_type: Literal["hc", "h", "c", "id", "none"] = "hc",
        causal: bool = False,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        require_options(SkiM, "separator_conf", {"causal": causal, "overlap": overlap})
        self.num_spks, self.chunk_size, self.overlap = num_spks, chunk_size, overlap
        self.hidden_size, self.n_directions = hidden_size, 1 if causal else 2
        lstm: dict[str, Any] = {"hidden_size": hidden_size, "causal": causal, "dropout": dropout}
        self.blocks = nn.CellList([SkiMBlock(input_size, mem_type=mem_type, **lstm) for _ in range(n_blocks - 1)])
        self.last = SegmentLSTM(input_size, **lstm)
        self.prelu = PReLU()
        self.mask = dense(input_size, num_spks * input_size)
        self.streaming_blocker = _streaming_blocker(causal=causal, mem_type=mem_type)
        self.hop_size = next(n for n in range(MOST_FRAMES_AT_ONCE, 0, -1) if chunk_size % n == 0)
        self.n_ahead, self.starts_after_silence = 0, False

    @staticmethod
    def check_options(*, causal: bool, overlap: bool, **_: object) -> Iterator[tuple[str, str]]:
        """Yields an option and what is wrong with it, of the rules for several options together."""
        if causal and overlap:
            yield "overlap", "a causal model takes segments that do not overlap"

    def before_blocks(self, features: Tensor) -> Tensor:
        """Makes segments and the zeros that the first LSTM starts from, [B, S, K * N + 2 * D * H]."""
        x = segments(features, self.chunk_size, overlap=self.overlap)  # [B, S, K, N]
        n_batch, n_segments, size, width = x.shape
        state = ops.zeros((n_batch, n_segments, 2 * self.n_directions * self.hidden_size), x.dtype)
        return ops.concat((x.reshape(n_batch, n_segments, size * width), state), axis=2)

    def after_blocks(self, x: Tensor, n_frames: int) -> Tensor:
        """Makes mask logits, [B, C, L, N], of what has gone through the blocks, [B, S, K * N + 2 * D * H]."""
        n_batch, n_segments, _ = x.shape
        x, state = self.last.unpack(x)
        x, _ = self.last(x, state)  # [B * S, K, N]
        width = x.shape[2]
        x = join_segments(x.reshape(n_batch, n_segments, self.chunk_size, width), n_frames, overlap=self.overlap)
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        """[B, L, N] -> [B, C, L, N]; output n * C + c of the dense layer is feature n of source c."""
        n_batch, n_frames, width = x.shape
        logits = self.mask(self.prelu(x)).reshape(n_batch, n_frames, width, self.num_spks)
        return logits.transpose(0, 3, 1, 2)

    def initial_state(self) -> tuple[Tensor, ...]:
        """Returns the state before the first frame, for `forward_step`."""
        size, n_blocks = self.hidden_size, len(self.blocks)
        return (
            ops.zeros((1,), ms.float32),
            ops.zeros((n_blocks + 1, 1, 2, 1, 1, size), ms.float32),
            ops.zeros((max(1, n_blocks), 2, 1, 2, 1, 1, size), ms.float32),
        )

    def forward_step(
        self, features: Tensor, is_frame: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Separates the next frames of one signal; it goes on from those before.

        Args:
            features: [1, P, N], `hop_size` frames.
            is_frame: [1, P, 1]; what comes after the signal changes nothing before it.
            state: frames of the segment that were there already [1]; the states within the segments
                [n_blocks, 1, 2, 1, 1, H] and of the LSTMs across [n_blocks - 1, 2, 1, 2, 1, 1, H].

        Returns:
            Mask logits, [1, C, P, N], and the state after it.
        """
        position, within, across = state
        position = position + self.hop_size
        ends = position > self.chunk_size - 0.5  # the segment does
        x, first = features, ops.zeros_like(within[0])  # of the next segment
        next_within = ()  # type: tuple[Tensor, ...]
        next_across = ()  # type: tuple[Tensor, ...]
        for i in range(len(self.blocks)):
            x, last = self.blocks[i].segment(x, within[i])
            next_within = (*next_within, ops.where(ends, first, last))
            first, after = self.blocks[i].memory.forward_step(last, across[i])
            next_across = (*next_across, ops.where(ends, after, across[i]))
        x, last = self.last(x, within[len(self.blocks)])
        next_within = (*next_within, ops.where(ends, first, last))
        position = ops.where(ends, ops.zeros_like(position), position)
        across = ops.stack(next_across) if len(self.blocks) > 0 else across
        return self._logits(x), (position, ops.stack(next_within), across)


def _streaming_blocker(*, causal: bool, mem_type: str) -> str:
    """Returns the first option that keeps `forward_step` from being possible; none when it is."""
    if not causal:
        return "separator_conf.causal is false"
    return "separator_conf.mem_type is none, so a frame depends on its whole segment" if mem_type == "none" else ""


class SkiMBlock(nn.Cell):
    """An LSTM within segments and the memory across them.

    Args:
        width: features, N.
        hidden_size: LSTM units a direction, H.
        mem_type: which states are carried on.
        causal: in D = 1 direction, else 2.
        dropout: of what each LSTM gives.

    Inputs:
        x: [B, S, K * N + 2 * D * H]: segments, and the states from which the LSTM starts in each.

    Outputs:
        The same shape; the states are those for the next block.
    """

    def __init__(self, width: int, *, hidden_size: int, mem_type: str, causal: bool, dropout: float) -> None:
        super().__init__()
        lstm: dict[str, Any] = {"hidden_size": hidden_size, "causal": causal, "dropout": dropout}
        self.segment = SegmentLSTM(width, **lstm)
        self.memory = Memory(mem_type=mem_type, **lstm)

    def construct(self, x: Tensor) -> Tensor:
        n_batch, n_segments, _ = x.shape
        x, state = self.segment.unpack(x)
        x, state = self.segment(x, state)  # [B * S, K, N], [1, 2, D, B * S, H]
        state = self.memory(self.segment.swap(state[0].reshape(-1, state.shape[3], state.shape[4])), n_batch)
        flat = x.reshape(n_batch, n_segments, x.shape[1] * x.shape[2])  # [B, S, K * N]
        return ops.concat((flat, state), axis=2)


class SegmentLSTM(nn.Cell):
    """An LSTM along each segment from a state of its own, a dense layer, a norm and a residual sum.

    Args:
        width: features, N.
        hidden_size, causal, dropout: those of `SkiMBlock`.

    Inputs:
        x: [B * S, K, N].
        state: [1, 2, D, B * S, H].

    Outputs:
        The same shapes: the result, and the LSTM's last state.
    """

    def __init__(self, width: int, *, hidden_size: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.width, self.hidden_size, self.n_directions = width, hidden_size, 1 if causal else 2
        self.rnn = StatefulLSTM(width, hidden_size, bidirectional=not causal)
        self.dropout = nn.Dropout(p=float(dropout))
        self.dense = dense(self.n_directions * hidden_size, width)
        self.norm = (ChannelLayerNorm if causal else GlobalLayerNorm)(width, EPSILON)
        self.swap = Swap()

    def construct(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.rnn(self.swap(x), state)  # [K, B * S, D * H]
        y = self.swap(self.dense(self.dropout(y)))  # [B * S, K, N]
        return x + self.norm(y), state

    def unpack(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, K * N + 2 * D * H] -> [B * S, K, N] and [1, 2, D, B * S, H]."""
        n_state = 2 * self.n_directions * self.hidden_size
        flat, state = x[:, :, :-n_state], x[:, :, -n_state:]
        state = self.swap(state.reshape(-1, 2 * self.n_directions, self.hidden_size))  # [2 * D, B * S, H]
        state = state.reshape(1, 2, self.n_directions, -1, self.hidden_size)
        return flat.reshape(-1, flat.shape[2] // self.width, self.width), state


class Memory(nn.Cell):
    """Makes the first states of the next LSTM within segments of the last states of the one before.

    Args:
        hidden_size, mem_type, causal, dropout: those of `SkiMBlock`.

    Inputs:
        state: [B * S, 2 * D, H], outputs before cells.
        n_batch: B.

    Outputs:
        [B, S, 2 * D * H].
    """

    def __init__(self, *, hidden_size: int, mem_type: str, causal: bool, dropout: float) -> None:
        super().__init__()
        self.mem_type, self.causal = mem_type, causal
        self.size = (1 if causal else 2) * hidden_size
        carry: dict[str, Any] = {"hidden_size": hidden_size, "causal": causal, "dropout": dropout}
        if mem_type in ("hc", "h"):
            self.h_carry = Carry(self.size, **carry)
        if mem_type in ("hc", "c"):
            self.c_carry = Carry(self.size, **carry)

    def construct(self, state: Tensor, n_batch: int) -> Tensor:
        state = state.reshape(n_batch, -1, 2 * self.size)  # [B, S, 2 * D * H]
        h, c = state[:, :, : self.size], state[:, :, self.size :]  # [B, S, D * H]
        if self.mem_type in ("hc", "h"):
            h = self.h_carry(h)
        if self.mem_type in ("hc", "c"):
            c = self.c_carry(c)
        h = ops.zeros_like(h) if self.mem_type == "c" else h
        c = ops.zeros_like(c) if self.mem_type == "h" else c
        state = ops.concat((h, c), axis=2)
        if not self.causal or self.mem_type == "none":
            return state
        return ops.concat((ops.zeros_like(state[:, :1]), state[:, :-1]), axis=1)  # each segment has the one before's

    def forward_step(self, state: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        """Goes on with the next segment of one signal.

        Args:
            state: the last of the segment, [1, 2, 1, 1, H].
            carried: of the LSTMs across, [2, 1, 2, 1, 1, H].

        Returns:
            The next segment's first state, [1, 2, 1, 1, H], and what is carried then.
        """
        h, c = state[0, 0], state[0, 1]  # [1, 1, H]
        of_h, of_c = carried[0], carried[1]
        if self.mem_type in ("hc", "h"):
            h, of_h = self.h_carry.forward_step(h, of_h)
        if self.mem_type in ("hc", "c"):
            c, of_c = self.c_carry.forward_step(c, of_c)
        h = ops.zeros_like(h) if self.mem_type == "c" else h
        c = ops.zeros_like(c) if self.mem_type == "h" else c
        return ops.stack((h, c)).expand_dims(0), ops.stack((of_h, of_c))


class Carry(nn.Cell):
    """An LSTM across the segments on one kind of state, a dense layer, a norm and a residual sum.

    Args:
        width: of the states of all directions, D * H.
        hidden_size, causal, dropout: those of `SkiMBlock`.

    Inputs:
        x: [B, S, D * H].

    Outputs:
        The same shape.
    """

    def __init__(self, width: int, *, hidden_size: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.rnn = StatefulLSTM(width, hidden_size, bidirectional=not causal)
        self.dropout = nn.Dropout(p=float(dropout))
        self.dense = dense(width, width)
        self.norm = (ChannelLayerNorm if causal else GlobalLayerNorm)(width, EPSILON)

    def construct(self, x: Tensor) -> Tensor:
        n_batch = x.shape[0]
        return self.forward_step(x, self.rnn.initial_state(n_batch).astype(x.dtype))[0]

    def forward_step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Goes on from a state, [1, 2, D, B, H]; gives what `construct` does and the state after it."""
        y, state = self.rnn(x.transpose(1, 0, 2), state)  # [S, B, D * H]
        return x + self.norm(self.dense(self.dropout(y)).transpose(1, 0, 2)), state
