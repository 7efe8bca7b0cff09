"""The shift trick: estimates whose errors are known, and a model's by hand."""

import numpy as np
import pytest
from tiny_experiment import RATE, make_data, make_experiment

from mindaudio_ext.bin.decode import main as decode
from mindaudio_ext.bin.separate import main as separate
from mindaudio_ext.decode.separate import Separator
from mindaudio_ext.decode.shifts import mean_over_shifts, step_of
from mindaudio_ext.errors import InputError

NOISE = np.random.default_rng(0).standard_normal((2, 2, 100)).astype(np.float32)  # [B, C, T]
MIXTURES = NOISE.sum(axis=1)


def test_one_shift_is_the_function_itself():
    seen = []
    estimates = mean_over_shifts(lambda x: seen.append(x) or NOISE, MIXTURES, shifts=1, step=7)
    np.testing.assert_array_equal(estimates, NOISE)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], MIXTURES)


def test_every_call_has_one_shape_and_errors_average_out():
    """The first source comes with an error of 0.1, -0.1, 0.3 and -0.3 for the four shifts, the second with none."""
    errors = iter([0.1, -0.1, 0.3, -0.3])

    def separate_shifted(shifted):
        assert shifted.shape == (2, 130)
        start = int(np.flatnonzero(shifted[0])[0])
        np.testing.assert_array_equal(shifted[:, start : start + 100], MIXTURES)
        estimates = np.pad(NOISE, ((0, 0), (0, 0), (start, 30 - start)))
        return estimates + np.float32([[next(errors)], [0]])

    np.testing.assert_allclose(mean_over_shifts(separate_shifted, MIXTURES, shifts=4, step=10), NOISE, atol=1e-6)


def test_sources_keep_the_order_of_the_first_shift_in_each_mixture():
    calls = []

    def separate_shifted(shifted):
        calls.append(1)
        start = int(np.flatnonzero(shifted[0])[0])
        estimates = np.pad(NOISE, ((0, 0), (0, 0), (start, 10 - start)))
        return np.stack([estimates[0], estimates[1, ::-1]]) if len(calls) == 2 else estimates

    np.testing.assert_allclose(mean_over_shifts(separate_shifted, MIXTURES, shifts=3, step=5), NOISE, atol=1e-6)


@pytest.mark.parametrize(
    ("shifts", "stride", "step"), [(1, 16, 816), (2, 16, 408), (8, 16, 98), (4, 1, 201), (40, 16, 17)]
)
def test_steps(shifts, stride, step):
    assert step_of(shifts, stride=stride, sample_rate=8000) == step


@pytest.fixture(scope="module")
def expdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp") / "tiny"
    make_experiment(folder)
    return folder


def test_a_model_with_shifts(expdir):
    one, two = Separator.from_expdir(expdir), Separator.from_expdir(expdir, shifts=2)
    assert (one.shifts, two.shifts) == (1, 2)
    mixture = np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    stride = one.config.stride or one.config.kernel_size // 2
    step = step_of(2, stride=stride, sample_rate=RATE)
    early = one.estimate(np.pad(mixture, (0, step)))[:, :RATE]
    late = one.estimate(np.pad(mixture, (step, 0)))[:, step:]
    if (early * late).sum() < (early * late[::-1]).sum():
        late = late[::-1]
    assert np.abs(early - late).max() > 1e-3  # or the shift would be of no use
    np.testing.assert_allclose(two.estimate(mixture), (early + late) / 2, atol=1e-6)


def test_fewer_than_one_are_refused(expdir):
    with pytest.raises(InputError, match=r"^shifts: must be at least 1, got 0$"):
        Separator.from_expdir(expdir, shifts=0)


def test_commands_take_them_and_other_shifts_are_another_decoding(expdir, tmp_path, capsys):
    make_data(tmp_path / "test", {"a": 8000})
    arguments = ["--expdir", str(expdir), "--data", str(tmp_path / "test"), "--reference_protocol", "false"]
    decode(arguments)
    wav = expdir / "separated_test/wav/a_s1.wav"
    before = wav.read_bytes()
    decode([*arguments, "--shifts", "2"])
    assert "1 of 1 mixtures separated" in capsys.readouterr().out
    assert wav.read_bytes() != before
    decode([*arguments, "--shifts", "2"])
    assert "1 mixtures (were there)" in capsys.readouterr().out

    outputs = []
    for shifts in ("1", "2"):
        out = tmp_path / shifts
        separate([str(tmp_path / "test/wav/a_wav.scp.wav"), "--model", str(expdir), "-o", str(out), "--shifts", shifts])
        outputs.append(sorted(path.read_bytes() for path in out.iterdir()))
    assert len(outputs[1]) == 2
    assert outputs[0] != outputs[1]
