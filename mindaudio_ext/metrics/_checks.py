"""What all metrics ask of an estimate and its reference."""

import numpy as np


def checked_pair(estimate: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns estimates and references as float64 [..., T].

    Raises:
        ValueError: the shapes differ, there are fewer than two samples, a value is not finite, or a reference is zero
            throughout.
    """
    estimate, reference = _checked(estimate, "estimate"), _checked(reference, "reference")
    if estimate.shape != reference.shape:
        raise ValueError(f"the estimate's shape {estimate.shape} is not the reference's {reference.shape}")
    if not reference.any(-1).all():
        raise ValueError("the reference is silent; nothing can be measured against it")
    return estimate, reference


def _checked(signal: np.ndarray, name: str) -> np.ndarray:
    signal = np.asarray(signal, np.float64)
    if signal.ndim == 0 or signal.shape[-1] < 2:
        raise ValueError(f"the {name} has fewer than two samples (shape {signal.shape})")
    if not np.isfinite(signal).all():
        raise ValueError(f"the {name} has NaN or infinity")
    return signal
