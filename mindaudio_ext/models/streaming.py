"""A causal model that takes its mixture hop by hop and carries its state from one to the next."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindaudio_ext.errors import InputError
from mindaudio_ext.models.tasnet import TasNet


class StreamingModel(nn.Cell):
    """One hop of a `TasNet` whose separator can go on from a state: waveform in, earlier waveform out.

    Args:
        model: its separator has `resume`, `first_state`, `chunk_size` and `hop_size`, and no reason in `not_streaming`.

    Attributes:
        hop: samples that come and go with a call.
        window: samples that a call looks at; those after `hop` are seen again by the next.
        delay: samples between the first of a call's window and the first of its output.

    Raises:
        InputError: the model cannot; says why.
    """

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        separator = getattr(model, "separator", None)
        if not isinstance(model, TasNet) or not hasattr(separator, "not_streaming"):
            raise InputError("this model has no streaming mode; a dprnn that is causal has")
        if separator.not_streaming:
            raise InputError(f"this model cannot stream: {separator.not_streaming}")
        if ms.get_context("device_target") != "CPU":
            raise InputError("streaming runs on a CPU only; use --device_target CPU")
        self.model = model
        self.n_frames, self.n_ahead = separator.hop_size, separator.chunk_size - separator.hop_size
        self.hop, self.delay = self.n_frames * model.stride, self.n_ahead * model.stride
        self.overlap = model.kernel_size - model.stride
        self.window = self.hop + self.overlap
        self.set_train(False)

    def construct(self, samples: Tensor, is_frame: Tensor, features: Tensor, tail: Tensor, *state: Tensor) -> tuple:
        new = self.model.encoder(samples) * is_frame  # [1, P, N]
        features = ops.concat((features, new), axis=1)  # [1, K, N]
        logits, state = self.model.separator.resume(new, is_frame, state)  # [1, C, P, N]
        masked = self.model.activate(logits) * features[:, : self.n_frames].expand_dims(1)
        waveform = self.model.decoder(masked[0])  # [C, window]
        if self.overlap > 0:
            start = waveform[:, : self.overlap] + tail
            waveform = ops.concat((start, waveform[:, self.overlap :]), axis=1)
            tail = waveform[:, self.hop :]
        return (waveform[:, : self.hop], features[:, self.n_frames :], tail, *state)

    def first_state(self) -> tuple[Tensor, ...]:
        """Gives the state before a signal: there is a chunk of zeros, as before a whole one."""
        model = self.model
        features = ops.zeros((1, self.n_ahead, model.encoder.weight.shape[0]), ms.float32)
        tail = ops.zeros((model.num_spks, max(1, self.overlap)), ms.float32)
        state = (features, tail, *model.separator.first_state())
        _, (features, tail, norm, *rest) = self.step(np.zeros(self.window, np.float32), 0, state)
        return (features, tail, ops.zeros_like(norm), *rest)  # what is no frame does not count in the norm

    def step(self, samples: np.ndarray, n_frames: int, state: tuple[Tensor, ...]) -> tuple:
        """Gives the next samples of the estimates.

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
