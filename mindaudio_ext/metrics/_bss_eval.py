"""Signal-to-distortion, -interference and -artifact ratios of BSS Eval, by mir_eval."""

import functools
import warnings
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from mindaudio_ext.metrics._checks import checked_pair
from mindaudio_ext.metrics.si_snr import BOUND_DB


class BssEval(NamedTuple):
    """The ratios of BSS Eval, each float64 [C], dB, in -100 to 100."""

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray


def bss_eval(*, estimates: np.ndarray, references: np.ndarray) -> BssEval:
    """Returns SDR, SIR and SAR of each estimate against the reference in its place.

    Filters of 512 taps are allowed for, as in BSS Eval version 3. No permutation is searched. A silent estimate gets
    -100 in all three.

    >>> rng = np.random.default_rng(0)
    >>> references = rng.normal(size=(2, 8000))
    >>> ratios = bss_eval(estimates=references + 0.1 * references[::-1], references=references)
    >>> ratios.sir.round().tolist()  # the other source at a tenth, and nothing else
    [20.0, 20.0]
    >>> ratios.sar.tolist()
    [100.0, 100.0]

    Args:
        estimates: [C, T].
        references: [C, T]; they take part together, because what comes from another source is interference.

    Raises:
        ValueError: the shapes differ, there are fewer than two samples, a value is not finite, or a reference is
            silent.

    Source: Vincent, Gribonval and Fevotte, "Performance measurement in blind audio source separation", 2006.
    """
    from mir_eval import separation  # slow to import, and few need it

    estimates, references = checked_pair(estimates, references)
    if estimates.ndim != 2:
        raise ValueError(f"expected estimates and references [C, T], got shape {estimates.shape}")
    silent = ~estimates.any(axis=1)
    # mir_eval refuses a silent estimate; the values of the others do not depend on it.
    filled = np.where(silent[:, None], references, estimates)
    with warnings.catch_warnings(), np.errstate(divide="ignore"), _blas().limit(limits=1, user_api="blas"):
        warnings.simplefilter("ignore")  # the module announces that mir_eval 0.9 will not have it
        values = separation.bss_eval_sources(references, filled, compute_permutation=False)[:3]
    return BssEval(*(np.where(silent, -BOUND_DB, np.clip(value, -BOUND_DB, BOUND_DB)) for value in values))


def ratio(name: str, estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Returns one of the ratios by name, [C]; those of the same signals are computed once."""
    signals = [np.asarray(signals, np.float64) for signals in (estimates, references)]
    return getattr(_last(*(array.tobytes() for array in signals), len(signals[0])), name)


@functools.lru_cache(maxsize=1)
def _last(estimates: bytes, references: bytes, n_src: int) -> BssEval:
    arrays = (np.frombuffer(signals).reshape(n_src, -1) for signals in (estimates, references))
    return bss_eval(**dict(zip(("estimates", "references"), arrays, strict=True)))


@functools.cache
def _blas() -> ThreadpoolController:
    """Returns what sets the threads of NumPy's linear algebra. One gives the same bytes in any process, no slower."""
    return ThreadpoolController()
