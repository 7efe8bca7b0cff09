"""A causal model that takes its mixture hop by hop and carries its state from one to the next."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.encoders.conv import Encoder
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.tasnet import TasNet, make_consistent


class StreamingModel(nn.Cell):
    """One hop of a `TasNet` whose separator can go on from a state: waveform in, earlier waveform out.

    Args:
        model: its separator has `forward_step`, `initial_state`, `hop_size`, `n_ahead`, `starts_after_silence`, and an
            empty `streaming_blocker`.

    Attributes:
        hop: samples that come and go with a call.
        window: samples that a call looks at; those after `hop` are seen again by the next.
        delay: samples between the first of a call's window and the first of its output.

    Raises:
        InputError: the model cannot; says why.
    """

    @one_at_a_time
    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        separator: Any = getattr(model, "separator", None)
        if not isinstance(model, TasNet) or not hasattr(separator, "streaming_blocker"):
            raise InputError("this model has no streaming mode; a dprnn or skim that is causal has")
        if type(model.encoder) is not Encoder:
            raise InputError("this model cannot stream: only the encoder conv can")
        if separator.streaming_blocker:
            raise InputError(f"this model cannot stream: {separator.streaming_blocker}")
        if model.normalize_variance:
            raise InputError("this model cannot stream: normalize_variance is true, so a sample depends on all others")
        if ms.get_context("device_target") != "CPU":
            raise InputError("streaming runs on a CPU only; use --device_target CPU")
        self.model = model
        self.is_consistent = model.mixture_consistency
        self.n_frames, self.n_ahead = separator.hop_size, separator.n_ahead
        self.hop, self.delay = self.n_frames * model.stride, self.n_ahead * model.stride
        self.overlap = model.kernel_size - model.stride
        self.window = self.hop + self.overlap
        self.set_train(False)

    def construct(self, samples: Tensor, is_frame: Tensor, features: Tensor, tail: Tensor, *state: Tensor) -> tuple:
        past = state[-1]  # the mixture's last samples; there with mixture_consistency alone
        state = state[:-1] if self.is_consistent else state
        new = self.model.encoder(samples) * is_frame  # [1, P, N]
        features = ops.concat((features, new), axis=1)  # [1, K, N]
        logits, state = self.model.separator.forward_step(new, is_frame, state)  # [1, C, P, N]
        masked = self.model.mask(features[:, : self.n_frames].expand_dims(1), logits)
        waveform = self.model.decoder(masked[0])  # [C, window]
        if self.overlap > 0:
            start = waveform[:, : self.overlap] + tail
            waveform = ops.concat((start, waveform[:, self.overlap :]), axis=1)
            tail = waveform[:, self.hop :]
        waveform, features = waveform[:, : self.hop], features[:, self.n_frames :]
        if not self.is_consistent:
            return (waveform, features, tail, *state)
        past = ops.concat((past, samples[:, : self.hop]), axis=1)
        waveform = make_consistent(waveform.expand_dims(0), past[:, : self.hop].expand_dims(0))[0]
        return (waveform, features, tail, *state, past[:, self.hop :])

    @one_at_a_time
    def initial_state(self) -> tuple[Tensor, ...]:
        """Returns the state before a signal, or after a hop of silence for a separator that begins with one."""
        model = self.model
        features = ops.zeros((1, self.n_ahead, model.encoder.weight.shape[0]), ms.float32)
        tail = ops.zeros((model.num_spks, max(1, self.overlap)), ms.float32)
        past = (ops.zeros((1, self.delay), ms.float32),) if self.is_consistent else ()
        state = (features, tail, *model.separator.initial_state(), *past)
        if not model.separator.starts_after_silence:
            return state
        _, (features, tail, norm, *rest) = self.step(np.zeros(self.window, np.float32), 0, state)
        return (features, tail, ops.zeros_like(norm), *rest)  # what is no frame does not count in the norm

    @one_at_a_time
    def step(self, samples: np.ndarray, n_frames: int, state: tuple[Tensor, ...]) -> tuple:
        """Returns the next samples of the estimates.

        Args:
            samples: [window].
            n_frames: how many of the hop's frames are the signal's.
            state: what the step before gave.

        Returns:
            [C, hop], `delay` samples earlier than `samples`; and the state.
        """
        is_frame = (np.arange(self.n_frames) < n_frames).astype(np.float32).reshape(1, -1, 1)
        # Not as one tuple, which would be a constant of the graph and compiled anew with every step.
        waveform, *state = self(Tensor(samples[None]), Tensor(is_frame), *state)
        return waveform.asnumpy(), tuple(state)
