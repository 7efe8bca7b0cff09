"""The mean of checkpoints: numbers known beforehand, and what cannot be averaged."""

import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np

TOOL = Path(__file__).parents[1] / "tools/mean_checkpoints.py"


def save(path, values):
    ms.save_checkpoint([{"name": "w", "data": ms.Tensor(np.array(values, np.float32))}], str(path))


def run(*args):
    return subprocess.run([sys.executable, TOOL, *map(str, args)], capture_output=True, text=True, check=False)


def test_a_weighted_mean_and_what_has_none(tmp_path):
    for name, values in (("a", [1.0, 2.0]), ("b", [3.0, -2.0]), ("c", [1.0])):
        save(tmp_path / f"{name}.ckpt", values)
    a, b, c, out = (tmp_path / f"{name}.ckpt" for name in ("a", "b", "c", "out"))
    for args, words in (((0.7, a, 0.7, b), "add up to 1.4"), ((0.7, a, 0.3, c), f"{c}: has other parameters")):
        result = run(out, *args)
        assert result.returncode == 2
        assert words in result.stderr.splitlines()[-1]
        assert not out.exists()
    assert run(out, 0.75, a, 0.25, b).returncode == 0
    np.testing.assert_array_equal(ms.load_checkpoint(str(out))["w"].asnumpy(), [1.5, 1.0])
    before = out.read_bytes()
    assert run(out, 1.0, a).returncode == 2
    assert out.read_bytes() == before
