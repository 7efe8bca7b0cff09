"""The loss on signals whose SI-SNR is known in closed form."""

import numpy as np
import pytest
from mindspore import Tensor

from mindaudio_ext.losses._si_snr import pairwise_si_snr
from mindaudio_ext.losses.pit_si_snr import PITLoss
from mindaudio_ext.metrics.si_snr import si_snr


def orthogonal(n_signals, n_samples):
    """Sines of whole periods: zero mean, orthogonal, equal power."""
    time = np.arange(n_samples) / n_samples
    return np.stack([np.sin(2 * np.pi * (k + 1) * time) for k in range(n_signals)]).astype(np.float32)


def lengths(*values):
    return Tensor(np.array(values, np.int32))


def test_noise_of_a_tenth_of_the_amplitude_is_20_db():
    signal, noise = orthogonal(2, 800)
    scores = pairwise_si_snr(
        Tensor((3 * signal + 0.3 * noise + 5)[None, None]), Tensor(signal[None, None]), lengths(800)
    )
    assert abs(float(scores[0, 0, 0]) - 20) < 1e-3


@pytest.mark.parametrize("n_src", [1, 2, 3, 5])
def test_loss_does_not_depend_on_the_order_of_the_estimates(n_src):
    signals = orthogonal(n_src + 1, 500)
    sources, noise = signals[:n_src], signals[n_src]
    estimates = np.stack([source + 10 ** (-k / 2) * noise for k, source in enumerate(sources)])  # 0, 10, 20 ... dB
    order = np.random.default_rng(n_src).permutation(n_src)
    loss = PITLoss(num_spks=n_src)(Tensor(estimates[order][None]), Tensor(sources[None]), lengths(500))
    assert abs(float(loss) + 10 * (n_src - 1) / 2) < 1e-3


def test_the_pairing_is_one_to_one():
    """Both estimates resemble source 0; one of them must still stand for source 1."""
    a, b, noise = orthogonal(3, 400)
    loss = PITLoss(num_spks=2)(
        Tensor(np.stack([a + 0.1 * b, a + noise])[None]), Tensor(np.stack([a, b])[None]), lengths(400)
    )
    # Best: estimate 0 is source 1 (-20 dB) and estimate 1 source 0 (0 dB), or 20 dB and silence (about -80 dB).
    assert abs(float(loss) - 10) < 0.01


def test_samples_after_the_length_do_not_count():
    rng = np.random.default_rng(0)
    estimates, sources = rng.standard_normal((2, 1, 2, 300)).astype(np.float32)
    whole = float(PITLoss(num_spks=2)(Tensor(estimates[..., :201]), Tensor(sources[..., :201]), lengths(201)))
    masked = float(PITLoss(num_spks=2)(Tensor(estimates), Tensor(sources), lengths(201)))
    assert abs(whole - masked) < 1e-4
    assert abs(whole - float(PITLoss(num_spks=2)(Tensor(estimates), Tensor(sources), lengths(300)))) > 1e-3


def test_loss_and_metric_agree():
    rng = np.random.default_rng(1)
    estimate, reference = rng.standard_normal((2, 1, 1, 1000)).astype(np.float32)
    ours = float(pairwise_si_snr(Tensor(estimate), Tensor(reference), lengths(1000))[0, 0, 0])
    assert abs(ours - si_snr(estimate=estimate[0, 0], reference=reference[0, 0])) < 1e-3


def test_the_limit_may_hold_for_each_source():
    """Estimates of 40 and 10 dB: their mean is 25, and 20 if each counts up to 30; a limit of the mean is not met."""
    a, b, noise = orthogonal(3, 400)
    estimates, sources = (
        Tensor(np.stack([a + 1e-2 * noise, b + 10**-0.5 * noise])[None]),
        Tensor(np.stack([a, b])[None]),
    )
    for options, expected in (({}, 25), ({"si_snr_clamp": 30}, 25), ({"si_snr_clamp": 30, "clamp_sources": True}, 20)):
        loss = PITLoss(num_spks=2, **options)(estimates, sources, lengths(400))
        assert float(loss) == pytest.approx(-expected, abs=0.01)
