"""A packed experiment separates like the one it came from, in half the space."""

import numpy as np
import pytest
from tiny_experiment import RATE, files_of, make_experiment

from mindaudio_ext.bin.pack import main
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.models.parameters import save_parameters

WIDE = "separator_conf.hidden_size=64 init_from=elsewhere/first.ckpt"


@pytest.fixture
def refused(capsys):
    """Runs the command, which must fail, and gives its one line."""

    def run(*words):
        with pytest.raises(SystemExit) as status:
            main([str(word) for word in words])
        error = capsys.readouterr().err
        assert (status.value.code, error.count("\n")) == (2, 1)
        return error

    return run


@pytest.fixture(scope="module")
def expdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp") / "wide"
    make_experiment(folder, overrides=WIDE)
    (folder / "history.jsonl").write_text('{"epoch": 1}\n')
    (folder / "train.log").write_text("a line of this machine\n")
    return folder


def test_it_separates_alike_in_half_the_space(expdir, tmp_path, capsys):
    main([str(expdir), str(tmp_path / "small"), "--shifts", "2"])
    assert set(files_of(tmp_path / "small")) == {"config.yaml", "history.jsonl", "checkpoints/best.ckpt"}
    assert "best.ckpt" in capsys.readouterr().out
    sizes = [(folder / "checkpoints/best.ckpt").stat().st_size for folder in (tmp_path / "small", expdir)]
    assert sizes[0] < 0.55 * sizes[1]
    original, packed = Separator.from_expdir(expdir, shifts=2), Separator.from_expdir(tmp_path / "small")
    assert (packed.shifts, packed.config.init_from) == (2, "first.ckpt")
    mixture = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    expected, estimates = original.estimate(mixture), packed.estimate(mixture)
    assert np.linalg.norm(estimates - expected) < 0.01 * np.linalg.norm(expected)


def test_what_is_there_stays(expdir, tmp_path, refused):
    (tmp_path / "small").mkdir()
    assert "small: is already there" in refused(expdir, tmp_path / "small")
    assert not any((tmp_path / "small").iterdir())


@pytest.mark.parametrize("shifts", ["0", "-1", "17"])
def test_shifts_out_of_range_are_refused(expdir, tmp_path, refused, shifts):
    assert "argument --shifts: must be a whole number of 1 to 16" in refused(
        expdir, tmp_path / "small", f"--shifts={shifts}"
    )
    assert not any(tmp_path.iterdir())


def test_what_float16_cannot_hold_is_named_and_nothing_is_left(tmp_path, refused):
    model = make_experiment(tmp_path / "exp")
    model.encoder.weight.set_data(model.encoder.weight + 70000)
    save_parameters(model, tmp_path / "exp/checkpoints/best.ckpt")
    assert "encoder.weight: has a value that float16 cannot hold" in refused(tmp_path / "exp", tmp_path / "small")
    assert [path.name for path in tmp_path.iterdir()] == ["exp"]
