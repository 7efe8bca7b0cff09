"""Proof that an exported graph computes what its checkpoint does."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import mindaudio_ext
from mindaudio_ext.data.kaldi_dir import DataDir
from mindaudio_ext.errors import InputError
from mindaudio_ext.interrupt import removed_at_an_end
from mindaudio_ext.metrics._permutation import assign_estimates
from mindaudio_ext.metrics.si_snr import BOUND_DB, si_snr

HOST_TOLERANCE, ONNX_TOLERANCE = 1e-5, 1e-4  # of the peak; float32 sums in another order differ by about 1e-6
LOWEST_SI_SNR = 40.0  # dB, of a graph with float16 against float32
LARGEST_LOSS = 0.05  # dB of SI-SNRi

Run = Callable[[np.ndarray], np.ndarray]  # mixtures [B, T] -> estimates [B, C, T]


@dataclasses.dataclass(frozen=True)
class Segment:
    """A test utterance, cut or padded with zeros to the length T of a graph.

    Attributes:
        key: of the utterance.
        n_samples: what of it is not padding.
        mixture: [T].
        references: [C, T].
        expected: what the checkpoint gives, [C, T].
    """

    key: str
    n_samples: int
    mixture: np.ndarray
    references: np.ndarray
    expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far a graph in float32 is from the checkpoint on its first mixtures.

    Attributes:
        key: of the first mixture.
        max_abs_difference: over all samples of all estimates.
        peak: the largest absolute sample of the checkpoint's estimates.
        tolerance: the largest difference allowed, of the peak.
    """

    key: str
    max_abs_difference: float
    peak: float
    tolerance: float = HOST_TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the difference is at most `tolerance` of the peak."""
        return self.max_abs_difference <= self.tolerance * self.peak

    def __str__(self) -> str:
        return (
            f"{self.key}: max |graph - checkpoint| = {self.max_abs_difference:.2e}, peak {self.peak:.2e}; "
            f"at most {self.tolerance:.0e} of the peak is allowed"
        )


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How much a graph with float16 loses.

    Attributes:
        utterances: their number.
        lowest_si_snr: of any of its estimates against the checkpoint's in float32, dB.
        si_snri: mean over the utterances, dB.
        checkpoint_si_snri: the same of the checkpoint, dB.
    """

    utterances: int
    lowest_si_snr: float
    si_snri: float
    checkpoint_si_snri: float

    @property
    def passed(self) -> bool:
        """Whether both are within their limits."""
        loss = abs(self.si_snri - self.checkpoint_si_snri)
        return self.lowest_si_snr >= LOWEST_SI_SNR and loss <= LARGEST_LOSS

    def __str__(self) -> str:
        return (
            f"{self.utterances} utterances: SI-SNR against float32 at least {self.lowest_si_snr:.1f} dB "
            f"({LOWEST_SI_SNR:g} needed), SI-SNRi {self.si_snri:.3f} dB, the checkpoint's "
            f"{self.checkpoint_si_snri:.3f} ({LARGEST_LOSS} apart allowed)"
        )


def read_segments(data: DataDir, *, length: int, sample_rate: int, count: int, estimate: Run) -> list[Segment]:
    """Returns the first utterances of a test set that can be scored: none of their sources is silent up to `length`.

    Args:
        data: the test set.
        length: samples, T.
        sample_rate: Hz.
        count: utterances, if there are as many.
        estimate: the checkpoint.

    Raises:
        InputError: a signal cannot be read, or no utterance can be scored.
    """
    segments: list[Segment] = []
    for entry in data.entries():
        names = [name for name in entry.signals if name.startswith(("wav", "spk"))]
        signals = np.stack([entry.read(name, sample_rate=sample_rate)[0][:length] for name in names])  # [1 + C, <= T]
        n_samples = signals.shape[1]
        if (np.ptp(signals, axis=1) == 0).any():
            continue
        signals = np.pad(signals, ((0, 0), (0, length - n_samples)))
        segments.append(Segment(entry.key, n_samples, signals[0], signals[1:], estimate(signals[:1])[0]))
        if len(segments) == count:
            break
    if not segments:
        raise InputError(f"{data.path}: in every utterance a source is silent for the first {length} samples")
    return segments


def compare(run: Run, segments: list[Segment], *, batch: int, tolerance: float) -> Parity:
    """Runs a graph once on the first segments, repeated up to its batch, and compares it with the checkpoint."""
    used = [segments[i % len(segments)] for i in range(batch)]
    expected = np.stack([segment.expected for segment in used])  # [B, C, T]
    difference = np.abs(run(np.stack([segment.mixture for segment in used])) - expected).max()
    return Parity(used[0].key, float(difference), float(np.abs(expected).max()), tolerance)


def score(run: Run, segments: list[Segment], *, batch: int) -> Fidelity:
    """Runs a graph on all segments and scores its estimates and the checkpoint's."""
    estimates: list[np.ndarray] = []  # [C, T] each
    for start in range(0, len(segments), batch):
        mixtures = np.stack([segment.mixture for segment in segments[start : start + batch]])
        n_mixtures = len(mixtures)
        estimates += list(run(np.pad(mixtures, ((0, batch - n_mixtures), (0, 0))))[:n_mixtures])
    pairs = list(zip(segments, estimates))
    return Fidelity(
        len(segments),
        min(_agreement(estimate=each, reference=segment.expected) for segment, each in pairs),
        float(np.mean([_si_snri(segment, each) for segment, each in pairs])),
        float(np.mean([_si_snri(segment, segment.expected) for segment in segments])),
    )


def _agreement(*, estimate: np.ndarray, reference: np.ndarray) -> float:
    """Returns the lowest SI-SNR of any source, dB. For one that the model itself leaves silent, the graph must too."""
    if not np.isfinite(estimate).all():
        return -BOUND_DB
    silent = np.ptp(reference, axis=1) == 0
    if (estimate[silent] != reference[silent]).any():
        return -BOUND_DB
    values = si_snr(estimate=estimate[~silent], reference=reference[~silent])
    return float(values.min(initial=BOUND_DB))


def _si_snri(segment: Segment, estimates: np.ndarray) -> float:
    """Returns an utterance's SI-SNRi under the best permutation, dB, over what is not padding."""
    if not np.isfinite(estimates).all():
        return -BOUND_DB
    estimates, references = (signals[:, : segment.n_samples] for signals in (estimates, segment.references))
    _, reached = assign_estimates(estimates=estimates, references=references)
    mixtures = np.broadcast_to(segment.mixture[: segment.n_samples], references.shape)
    return float((reached - si_snr(estimate=mixtures, reference=references)).mean())


def run_in_fresh_process(mindir: Path, inputs: np.ndarray) -> np.ndarray:
    """Returns a host graph's output as a process sees it that never had the model."""
    package = str(Path(mindaudio_ext.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder, removed_at_an_end(folder):
        given, result = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(given, inputs)
        subprocess.run(
            [sys.executable, "-m", "mindaudio_ext.export.run_graph", str(mindir), str(given), str(result)],
            env=os.environ | {"PYTHONPATH": paths},
            check=True,
        )
        return np.load(result)
