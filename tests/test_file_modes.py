"""Whatever a library writes has the mode that the user's umask gives."""

import os
import stat

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from tiny_experiment import make_data

from mindaudio_ext.data.mindrecord_writer import dump
from mindaudio_ext.files import atomic_path
from mindaudio_ext.models.parameters import save_parameters
from mindaudio_ext.train.average import write_average
from mindaudio_ext.train.state import Progress, StateFiles


@pytest.fixture(params=[0o002, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_checkpoints(umask, tmp_path):
    model = nn.Dense(3, 2)
    for name in ("best.ckpt", "epoch_1.ckpt"):
        save_parameters(model, tmp_path / name)
    write_average([tmp_path / "best.ckpt", tmp_path / "epoch_1.ckpt"], tmp_path / "average.ckpt")
    states = StateFiles(tmp_path)
    for _ in range(2):
        states.save([Parameter(Tensor(np.zeros(3, np.float32)), name="x")], Progress())
    names = ("best", "epoch_1", "average", "last", "previous")
    assert modes(tmp_path) == {f"{name}.ckpt": 0o666 & ~umask for name in names}


def test_mindrecord_files(umask, tmp_path):
    make_data(tmp_path / "train", {"a": 100})
    dump(tmp_path / "train", tmp_path / "dump" / "train")
    assert set(modes(tmp_path / "dump").values()) == {0o666 & ~umask}


@pytest.mark.parametrize("written", [0o400, 0o600, 0o666, 0o755])
def test_a_writers_own_mode_counts_only_where_it_makes_a_program(umask, tmp_path, written):
    with atomic_path(tmp_path / "file") as temporary:
        temporary.unlink()
        temporary.touch()
        temporary.chmod(written)
    assert modes(tmp_path) == {"file": (0o777 if written == 0o755 else 0o666) & ~umask}


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path):
    (tmp_path / ".tmp.file").write_text("half")
    (tmp_path / ".tmp.file").chmod(0o400)
    with atomic_path(tmp_path / "file") as temporary:
        assert temporary.read_text() == ""
    assert modes(tmp_path) == {"file": modes(tmp_path)["file"]}
