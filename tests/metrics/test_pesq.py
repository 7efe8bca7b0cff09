"""PESQ, with a stand-in for its optional package and, where it is installed, the package itself."""

import sys
import types

import numpy as np
import pytest

from mindaudio_ext.metrics.pesq import pesq

RNG = np.random.default_rng(0)
SPEECH = RNG.normal(size=16000)


@pytest.fixture
def calls(monkeypatch):
    """What the stand-in was called with; it gives 2.5, and no utterance for signals that start with a zero."""
    module, made = types.ModuleType("pesq"), []
    module.PesqError = type("PesqError", (RuntimeError,), {})
    module.NoUtterancesError = type("NoUtterancesError", (module.PesqError,), {})

    def measure(rate, reference, estimate, mode):
        made.append((rate, mode))
        if len(estimate) < rate / 4:
            raise module.PesqError("Buffer")
        if estimate[0] == 0:
            raise module.NoUtterancesError
        return 2.5

    module.pesq = measure
    monkeypatch.setitem(sys.modules, "pesq", module)
    return made


def test_band_follows_the_rate(calls):
    assert pesq(estimate=SPEECH, reference=SPEECH, sample_rate=8000) == 2.5
    assert pesq(estimate=SPEECH, reference=SPEECH, sample_rate=16000) == 2.5
    assert calls == [(8000, "nb"), (16000, "wb")]


def test_estimate_without_speech_gets_the_bottom(calls):
    without = np.concatenate([[0.0], SPEECH[1:]])
    assert pesq(estimate=without, reference=SPEECH, sample_rate=8000) == 1.0
    assert pesq(estimate=np.zeros(16000), reference=SPEECH, sample_rate=8000) == 1.0


@pytest.mark.parametrize(
    ("n_samples", "sample_rate", "words"), [(16000, 44100, "not 44100 Hz"), (1000, 8000, "cannot take these signals")]
)
@pytest.mark.usefixtures("calls")
def test_refuses(n_samples, sample_rate, words):
    with pytest.raises(ValueError, match=words):
        pesq(estimate=SPEECH[:n_samples], reference=SPEECH[:n_samples], sample_rate=sample_rate)


@pytest.mark.needs("pesq")
def test_package_itself():
    """Of a signal against itself P.862.1 gives 4.549, the top of its scale."""
    assert pesq(estimate=SPEECH, reference=SPEECH, sample_rate=8000) == pytest.approx(4.549, abs=1e-3)
