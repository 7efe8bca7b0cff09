"""Signal-to-distortion ratio of BSS Eval, by mir_eval."""

import warnings

import numpy as np

from mindaudio_ext.metrics.si_snr import BOUND_DB


def sdr(*, estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Gives the SDR of each estimate against the reference in its place, dB, in -100 to 100.

    Filters of 512 taps are allowed for, as in BSS Eval version 3. No permutation is searched. A silent
    estimate gets -100.

    Args:
        estimates: [C, T].
        references: [C, T]; they take part together, because what comes from another source is interference.

    Returns:
        [C], float64.

    Raises:
        ValueError: the shapes differ, a value is not finite, or a reference is silent.

    Source: Vincent, Gribonval and Fevotte, "Performance measurement in blind audio source separation", 2006.
    """
    from mir_eval import separation  # slow to import, and few need it

    estimates, references = np.asarray(estimates, np.float64), np.asarray(references, np.float64)
    if estimates.shape != references.shape or estimates.ndim != 2:
        raise ValueError(f"expected [C, T] twice, got estimates {estimates.shape} and references {references.shape}")
    if not (np.isfinite(estimates).all() and np.isfinite(references).all()):
        raise ValueError("a signal has NaN or infinity")
    silent = ~estimates.any(axis=1)
    # mir_eval refuses a silent estimate; the values of the others do not depend on it.
    filled = np.where(silent[:, None], references, estimates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module announces that mir_eval 0.9 will not have it
        values = separation.bss_eval_sources(references, filled, compute_permutation=False)[0]
    return np.where(silent, -BOUND_DB, np.clip(values, -BOUND_DB, BOUND_DB))
