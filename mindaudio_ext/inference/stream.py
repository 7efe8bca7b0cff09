"""Separation while the mixture comes: blocks of any length in, what is certain of the estimates out."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from mindaudio_ext.device import one_at_a_time
from mindaudio_ext.errors import InputError
from mindaudio_ext.inference.recording import as_samples
from mindaudio_ext.inference.separator import Separator, require_length


class Stream:
    """One mixture, separated by a causal model as it comes. All outputs in a row are the model's own for the whole.

    Args:
        separator: its model is a `dprnn` with `bidirectional: false`, `rnn_type: LSTM` and another norm than gLN, or a
            `skim` with `causal: true` and another mem_type than none.

    Attributes:
        latency: seconds from a sample's coming to its estimate, the computing apart: of a dprnn a chunk, because its
            RNN within chunks runs in both directions, of a skim the frames it takes at once, and what of a filter is
            beyond its step.

    Raises:
        InputError: the model is none of these; says why.
    """

    def __init__(self, separator: Separator) -> None:
        self._model = separator.streaming_model
        self._config = separator.config
        self.latency = (self._model.window + self._model.delay) / separator.config.sample_rate
        self._state = self._model.initial_state()
        self._stride = self._model.hop // self._model.n_frames
        self._waiting = np.zeros(0, np.float32)
        self._n_in, self._n_out = 0, -self._model.delay  # the first outputs are from before the signal
        self._is_finished = False

    @one_at_a_time
    def push(self, block: ArrayLike) -> np.ndarray:
        """Takes the next samples and returns what is finished of the estimates.

        Args:
            block: [n], at the model's rate, of the types that `Separator.separate` takes; n may be 0. [n, 1] and [1, n]
                are one channel too.

        Returns:
            [C, m], at the model's own level.

        Raises:
            InputError: the block is none of these, or not finite, or the stream is finished; nothing of it is taken.
        """
        samples = as_samples(block, name="stream")
        if samples.ndim == 2 and 1 not in samples.shape:
            raise InputError(f"stream: expected blocks of one channel, [n], got shape {samples.shape}")
        self._require_unfinished()
        self._n_in += samples.size
        self._waiting = np.concatenate((self._waiting, samples.ravel()))
        done = []
        while len(self._waiting) >= self._model.window:
            done.append(self._step(self._model.n_frames))
        return self._joined(done)

    @one_at_a_time
    def finish(self) -> np.ndarray:
        """Returns the rest of the estimates, [C, m], when no more samples come: then they are as many as came in.

        Raises:
            InputError: fewer samples came than a filter has, or it was finished before.
        """
        self._require_unfinished()
        require_length(self._n_in, self._config, name="stream")
        self._is_finished = True
        n_frames = max(0, (len(self._waiting) - self._config.kernel_size) // self._stride + 1)  # not used yet
        done = []
        while self._n_out < self._n_in:
            silence = np.zeros(max(0, self._model.window - len(self._waiting)), np.float32)
            self._waiting = np.concatenate((self._waiting, silence))
            done.append(self._step(min(n_frames, self._model.n_frames)))
            n_frames = max(0, n_frames - self._model.n_frames)
        excess = self._n_out - self._n_in
        joined = self._joined(done)
        return joined[:, : joined.shape[1] - excess]

    def _require_unfinished(self) -> None:
        if self._is_finished:
            raise InputError("stream: is finished; another recording needs another Stream")

    def _step(self, n_frames: int) -> np.ndarray:
        window = self._waiting[: self._model.window]
        estimates, self._state = self._model.step(window, n_frames, self._state)  # [C, hop]
        self._waiting = self._waiting[self._model.hop :]
        before = max(0, min(self._model.hop, -self._n_out))
        self._n_out += self._model.hop
        return estimates[:, before:]

    def _joined(self, parts: list[np.ndarray]) -> np.ndarray:
        empty = np.zeros((self._config.num_spks, 0), np.float32)
        return np.concatenate([empty, *parts], axis=1)


def stream_blocks(
    stream: Stream, blocks: Iterable[np.ndarray], n_samples: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pushes a signal through a stream in blocks of `n_samples`.

    Yields:
        What comes out, [C, m], and the samples it belongs to, [m].
    """
    mixture = np.zeros(0, np.float32)
    for block in of_size(blocks, n_samples):
        mixture = np.concatenate((mixture, block))
        estimates = stream.push(block)
        yield estimates, mixture[: estimates.shape[1]]
        mixture = mixture[estimates.shape[1] :]
    yield stream.finish(), mixture


def of_size(blocks: Iterable[np.ndarray], n_samples: int) -> Iterator[np.ndarray]:
    """Yields a signal in blocks of `n_samples`; the last may be shorter.

    >>> [block.tolist() for block in of_size([np.arange(3), np.arange(3, 5)], 2)]
    [[0, 1], [2, 3], [4]]
    """
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate((waiting, block)) if len(waiting) else block
        while len(waiting) >= n_samples:
            yield waiting[:n_samples]
            waiting = waiting[n_samples:]
    if len(waiting):
        yield waiting
