"""A packed experiment separates like the one it came from, in half the space."""

import numpy as np
import pytest
from tiny_experiment import RATE, files_of, make_experiment

from mindaudio_ext.bin.pack import main
from mindaudio_ext.decode.separate import Separator

WIDE = "separator_conf.hidden_size=64 init_from=elsewhere/first.ckpt"


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


def test_what_is_there_stays(expdir, tmp_path, capsys):
    (tmp_path / "small").mkdir()
    with pytest.raises(SystemExit) as exit_:
        main([str(expdir), str(tmp_path / "small")])
    assert exit_.value.code == 2
    assert "small: is already there" in capsys.readouterr().err
    assert not any((tmp_path / "small").iterdir())
