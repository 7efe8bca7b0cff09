"""Other packages add separators to ours, and MindAudio's scripts get ours; both in fresh processes, as users would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tiny-separator"
version = "1.0"

[project.entry-points."mindaudio_ext.separators"]
tiny = "tiny_separator:Tiny"
"""
SEPARATOR = '''
from typing import Annotated, Literal

from annotated_types import Le
from mindspore import nn


class Tiny(nn.Cell):
    """One dense layer for each frame."""

    def __init__(
        self, input_size: int, num_spks: int, *, depth: Annotated[int, Le(9)] = 1, kind: Literal["dense"] = "dense"
    ):
        super().__init__()
        self.num_spks = num_spks
        self.layers = nn.SequentialCell([nn.Dense(input_size, input_size) for _ in range(depth)])
        self.mask = nn.Dense(input_size, num_spks * input_size)

    def construct(self, features):
        n_batch, n_frames, n_features = features.shape
        masks = self.mask(self.layers(features)).reshape(n_batch, n_frames, self.num_spks, n_features)
        return masks.transpose(0, 2, 1, 3)
'''
WITHOUT_MINDSPORE = """
import sys
sys.modules["mindspore"] = None  # importing it fails
from mindaudio_ext.registry import list_separators
print(list_separators())
assert "tiny_separator" not in sys.modules
"""
TRAINING = """
import numpy as np
from mindaudio_ext.config import make_config
from mindaudio_ext.data.dataset import Batch
from mindaudio_ext.errors import InputError
from mindaudio_ext.models.tasnet import build_model
from mindaudio_ext.train.step import TrainStep

for option, value in (("depth", 10), ("depth", "deep"), ("kind", "conv")):
    try:
        make_config({"separator": "tiny", "separator_conf": {option: value}}, "conf")
    except InputError as error:
        print(error)
config = make_config({"separator": "tiny", "separator_conf": {"depth": 2}, "kernel_size": 16}, "conf")
print(config.separator_conf)
model = build_model(config)
step = TrainStep(config, model)
sources = np.random.default_rng(1).standard_normal((2, 2, 800)).astype(np.float32)
batch = Batch(sources.sum(axis=1), sources, np.array([800, 800], np.int32))
losses = [step(batch, config.lr).loss for _ in range(10)]
assert losses[-1] < losses[0], losses
print(type(model.separator).__module__, len(model.separator.layers))
"""
MINDAUDIO_SCRIPT = """
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

import mindaudio_ext

models = mindaudio_ext.register_with_mindaudio()
assert mindaudio_ext.register_with_mindaudio() == models  # again, as when two modules call it
from mindaudio.loss.separation_loss import Separation_Loss
from mindaudio.models import DPRNN, TasNet
import mindaudio.models

ms.set_context(mode=ms.GRAPH_MODE)
assert TasNet.__module__ == "mindaudio.models.tasnet"  # MindAudio's own is still there
assert mindaudio.models.Tiny is models["Tiny"]  # of another package
net = DPRNN(num_spks=3, n_filters=8, kernel_size=16, bottleneck_size=6, hidden_size=5, chunk_size=20, n_blocks=1)
assert isinstance(net, nn.Cell)
mixture = Tensor(np.random.default_rng(1).standard_normal((2, 1234)).astype(np.float32))
print(net(mixture).shape)

optimizer = nn.Adam(net.trainable_params(), 1e-3)
target = Tensor(np.zeros((2, 3, 1234), np.float32))
train = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), optimizer)
losses = [float(train(mixture, target)) for _ in range(5)]
assert losses[-1] < losses[0], losses

try:
    DPRNN(num_spks=2, chunk_sise=20)
except mindaudio_ext.errors.InputError as error:
    print(error)
"""


def run(script, *folders):
    """Runs a script as a file (MindSpore reads the source of graphs) with folders on its path; gives its output."""
    path = folders[0].parent / "script.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT))), "GLOG_v": "3"}
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder a package with one separator was installed into by pip, without network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site") / "packages"
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "tiny_separator.py").write_text(SEPARATOR)
    _pip_install(source, target)
    return target


def _pip_install(source, target):
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    subprocess.run(command, check=True)


def test_package_with_an_entry_point_is_known_without_mindspore(installed):
    (names,) = run(WITHOUT_MINDSPORE, installed)
    assert "'tiny'" in names
    assert "'dprnn'" in names


def test_package_with_an_entry_point_trains(installed):
    assert run(TRAINING, installed) == [
        "conf: separator_conf.depth: must be at most 9, got 10",
        "conf: separator_conf.depth: expected a whole number, got text 'deep'",
        "conf: separator_conf.kind: expected one of dense, got 'conv'",
        "{'depth': 2, 'kind': 'dense'}",
        "tiny_separator 2",
    ]


def test_mindaudio_script_uses_our_separators(installed):
    shape, error = run(MINDAUDIO_SCRIPT, installed)
    assert shape == "(2, 3, 1234)"
    assert error.startswith("DPRNN: separator_conf.chunk_sise: separator 'dprnn' has no option 'chunk_sise'")
    assert "did you mean 'chunk_size'" in error


def test_name_that_mindaudio_has_is_refused(installed):
    script = """
import mindaudio_ext
from mindaudio_ext.registry import register
from mindspore import nn

@register("mine")
class TasNet(nn.Cell):
    def __init__(self, input_size, num_spks):
        super().__init__()

try:
    mindaudio_ext.register_with_mindaudio()
except mindaudio_ext.errors.InputError as error:
    print(error)
import mindaudio.models
print(hasattr(mindaudio.models, "DPRNN"))
"""
    assert run(script, installed) == [
        "mindaudio.models has another TasNet; rename the class of separator 'mine'",
        "False",
    ]


def test_installed_package_brings_the_defaults(tmp_path):
    """`make_config`, and with it the converter, needs no conf/ beside the package, which only a checkout has."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "conf", "mindaudio_ext"):
        (source / name).symlink_to(ROOT / name)
    _pip_install(source, tmp_path / "packages")
    packages = tmp_path / "packages"
    script = "from mindaudio_ext import config\nprint(config.__file__, config.make_config({}, 'x').n_filters)\n"
    assert run(script, packages) == [f"{packages / 'mindaudio_ext' / 'config' / '__init__.py'} 64"]
