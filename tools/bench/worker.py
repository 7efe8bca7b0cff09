"""What the workers of `against_asteroid.py` have in common: a model behind a pipe, asked for one step at a time.

A worker is a process with one model. It reads a request a line, `train BATCH SECONDS` or `infer SECONDS`, does it once,
and answers with a line of JSON. Only one worker works at a time; the others wait for their next line.
"""

import json
import sys
import time
from abc import ABC, abstractmethod

import numpy as np

RATE = 8000  # Hz


class Worker(ABC):
    """A toolkit's model; made when the process starts, so that `started` is the first moment it could know."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.imported = time.perf_counter()

    @abstractmethod
    def train(self, mixture: np.ndarray, sources: np.ndarray) -> float:
        """Does one training step on [B, T] and [B, C, T]; gives the loss."""

    @abstractmethod
    def infer(self, mixture: np.ndarray) -> np.ndarray:
        """Separates [T] into [C, T]."""

    def serve(self, num_spks: int) -> None:
        """Answers requests until there are no more."""
        answer({"import": self.imported - self.started, "build": time.perf_counter() - self.imported})
        for line in sys.stdin:
            request, *numbers = line.split()
            n_samples, rng = int(float(numbers[-1]) * RATE), np.random.default_rng(0)
            if request == "train":
                shape = (int(numbers[0]), num_spks, n_samples)
                sources = 0.1 * rng.standard_normal(shape).astype(np.float32)
                mixture = sources.sum(axis=1)
                started = time.perf_counter()
                result = self.train(mixture, sources)
            else:
                mixture = 0.1 * rng.standard_normal(n_samples).astype(np.float32)
                started = time.perf_counter()
                result = float(np.abs(self.infer(mixture)).sum())
            answer({"seconds": time.perf_counter() - started, "result": result, "peak_mb": peak_memory()})


def answer(content: dict[str, float]) -> None:
    """Writes a line for the benchmark; everything else that is printed goes to stderr."""
    print(json.dumps(content), file=ANSWERS, flush=True)


def peak_memory() -> float:
    """Returns the largest resident memory of this process so far, in MB."""
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmHWM"].split()[0]) / 1e3


ANSWERS, sys.stdout = sys.stdout, sys.stderr
