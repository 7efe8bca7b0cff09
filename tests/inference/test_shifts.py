"""The shift trick: estimates whose errors are known, and a model's by hand."""

import numpy as np
import pytest
from tiny_experiment import RATE, make_data, make_experiment

from mindaudio_ext.bin.decode import main as decode
from mindaudio_ext.bin.separate import main as separate
from mindaudio_ext.errors import InputError
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.inference.shifts import delayed, mean_of, starts_of

NOISE = np.random.default_rng(0).standard_normal((2, 2, 100)).astype(np.float32)  # [B, C, T]
MIXTURES = NOISE.sum(axis=1)


def test_one_shift_is_what_it_is():
    np.testing.assert_array_equal(delayed(MIXTURES, 0, room=0), MIXTURES)
    np.testing.assert_array_equal(mean_of([NOISE]), NOISE)


def test_all_shifts_have_one_shape():
    for start in (0, 10, 30):
        shifted = delayed(MIXTURES, start, room=30)
        assert shifted.shape == (2, 130)
        np.testing.assert_array_equal(shifted[:, start : start + 100], MIXTURES)
        assert not shifted[:, :start].any()
        assert not shifted[:, start + 100 :].any()


def test_errors_average_out():
    """The first source comes with an error of 0.1, -0.1, 0.3 and -0.3 for the four shifts, the second with none."""
    shifted = (NOISE + np.float32([[error], [0]]) for error in (0.1, -0.1, 0.3, -0.3))
    np.testing.assert_allclose(mean_of(shifted), NOISE, atol=1e-6)


def test_sources_keep_the_order_of_the_first_shift_in_each_mixture():
    second = np.stack([NOISE[0], NOISE[1, ::-1]])
    np.testing.assert_allclose(mean_of([NOISE, second, NOISE]), NOISE, atol=1e-6)


@pytest.mark.parametrize(
    ("shifts", "stride", "starts"),
    [(1, 16, [0]), (2, 16, [0, 408]), (3, 16, [0, 261, 522]), (4, 1, [0, 200, 400, 600]), (2, 1000, [0, 1500])],
)
def test_starts(shifts, stride, starts):
    assert starts_of(shifts, stride=stride, sample_rate=8000) == starts


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
    _, step = starts_of(2, stride=stride, sample_rate=RATE)
    early = one.estimate(np.pad(mixture, (0, step)))[:, :RATE]
    late = one.estimate(np.pad(mixture, (step, 0)))[:, step:]
    if (early * late).sum() < (early * late[::-1]).sum():
        late = late[::-1]
    assert np.abs(early - late).max() > 1e-3  # or the shift would be of no use
    np.testing.assert_allclose(two.estimate(mixture), (early + late) / 2, atol=1e-6)


def test_a_mixture_of_one_filter_and_chunks_of_a_long_one(expdir):
    separator = Separator.from_expdir(expdir, shifts=4)
    noise = np.random.default_rng(2).standard_normal(2 * RATE).astype(np.float32)
    short = separator.estimate(noise[: separator.config.kernel_size])
    assert short.shape == (2, separator.config.kernel_size)
    assert np.isfinite(short).all()
    one, two = (
        separator.separate(0.1 * noise, RATE, chunking=Chunking(longest_whole=1, chunk=0.5, overlap=0.1, batch=batch))
        for batch in (1, 2)
    )
    assert one.shape == (2, 2 * RATE)
    np.testing.assert_allclose(two, one, atol=1e-4)


@pytest.mark.parametrize("shifts", [0, 17])
def test_other_numbers_are_refused(expdir, shifts):
    with pytest.raises(InputError, match=f"^shifts: must be 1 to 16, got {shifts}$"):
        Separator.from_expdir(expdir, shifts=shifts)


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
        outputs.append(sorted(path.read_bytes() for path in out.glob("*.wav")))
    assert len(outputs[1]) == 2
    assert outputs[0] != outputs[1]
