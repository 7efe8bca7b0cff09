"""Noise in the mixture, which the estimates should not have."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval

from mindaudio_ext.augmentations._augmentation import Augmentation, Example
from mindaudio_ext.registry import AUGMENTATIONS

Decibels = Annotated[float, Interval(ge=-20, le=100)]


@AUGMENTATIONS.register("noise")
class Noise(Augmentation):
    """Adds noise at an SNR that is drawn for each example; the sources stay as they are.

    Args:
        lowest: SNR, the mixture's power over the noise's, dB.
        highest: of the SNR, dB.
        colour: "white", or "pink", whose power falls by 3 dB an octave.
    """

    def __init__(
        self, *, lowest: Decibels = 10.0, highest: Decibels = 40.0, colour: Literal["white", "pink"] = "pink"
    ) -> None:
        self.lowest, self.highest, self.colour = lowest, highest, colour

    @staticmethod
    def check_options(*, lowest: float, highest: float, colour: str) -> Iterator[tuple[str, str]]:
        """Yields a lowest SNR that is above the highest."""
        if lowest > highest:
            yield "lowest", f"must be at most highest ({highest}), got {lowest}"

    def __call__(self, rng: np.random.Generator, mixture: np.ndarray, sources: np.ndarray) -> Example:
        snr = rng.uniform(self.lowest, self.highest)
        noise = rng.normal(size=len(mixture))
        if self.colour == "pink":
            spectrum = np.fft.rfft(noise)
            noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), len(mixture))
        power = np.mean(mixture.astype(np.float64) ** 2) / np.mean(noise**2)
        return mixture + (noise * np.sqrt(power / 10 ** (snr / 10))).astype(np.float32), sources
