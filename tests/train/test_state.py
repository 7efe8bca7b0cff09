"""The state's files: whole or noticed, and what they hold."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor
from permissions import locked_up

from mindaudio_ext.errors import InputError
from mindaudio_ext.train.state import Progress, StateFiles


def parameters(value=0.0):
    rng = np.random.default_rng(0)
    return [
        Parameter(Tensor((value + rng.standard_normal((20, 7))).astype(np.float32)), name="encoder.weight"),
        Parameter(Tensor(np.int32(value + 3)), name="dropout_count"),
    ]


PROGRESS = Progress(history=[{"epoch": 1, "valid_loss": -1 / 3}], step=2, losses=[0.1, -0.2], data={"dump/train": "ab"})


def test_what_was_saved_comes_back(tmp_path):
    files = StateFiles(tmp_path)
    assert not files.found()
    assert files.load(parameters(), {"d": "x"}) == Progress(data={"d": "x"})
    files.save(parameters(), PROGRESS)
    filled = parameters(1.0)
    assert files.load(filled, {"elsewhere/train": "ab"}) == PROGRESS
    assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(filled, parameters()))


def test_equal_states_are_equal_files(tmp_path):
    for name in ("a", "b"):
        StateFiles(tmp_path / name).save(parameters(), PROGRESS)
    assert (tmp_path / "a/last.ckpt").read_bytes() == (tmp_path / "b/last.ckpt").read_bytes()


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path):
    files = StateFiles(tmp_path)
    files.save(parameters(), PROGRESS)
    content = files.last.read_bytes()
    missed = []
    for place in range(0, len(content), 23):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        for what, damaged in (("flipped", flipped), ("cut", content[:place])):
            files.last.write_bytes(damaged)
            try:
                if files.load(parameters(1.0), {}) != PROGRESS:
                    missed.append((what, place))
            except InputError:
                pass
    assert missed == []


def test_another_model_is_refused(tmp_path):
    files = StateFiles(tmp_path)
    files.save(parameters(), PROGRESS)
    with pytest.raises(InputError, match=r"last.ckpt: belongs to another model or optimizer"):
        files.load(parameters()[:1], {})


def test_a_state_that_may_not_be_read_is_no_damaged_one(tmp_path):
    files = StateFiles(tmp_path)
    for _ in range(2):
        files.save(parameters(), PROGRESS)
    with locked_up(files.last), pytest.raises(PermissionError, match=r"last\.ckpt"):
        files.load(parameters(), {})
