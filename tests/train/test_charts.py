"""TensorBoard's events and the picture of the curves."""

import struct

from matplotlib.image import imread
from tensorboardX.proto.event_pb2 import Event

from mindaudio_ext.experiment import Experiment
from mindaudio_ext.train.charts import Charts
from mindaudio_ext.train.step import StepResult


def read_events(folder):
    (path,) = folder.iterdir()
    content, place = path.read_bytes(), 0
    while place < len(content):
        (size,) = struct.unpack_from("<Q", content, place)  # size, its checksum, the event, its checksum
        yield Event.FromString(content[place + 12 : place + 12 + size])
        place += 12 + size + 4


def test_values_of_steps_and_epochs(tmp_path):
    entry = {"epoch": 1, "train_loss": -1.0, "valid_loss": -2.5, "valid_si_snri": 2.5, "lr": 0.25, "grad_norm": 3.0}
    history = [entry | {"skipped_steps": 1}, entry | {"epoch": 2, "train_loss": None, "skipped_steps": 0}]
    with Charts(Experiment(tmp_path)) as charts:
        charts.add_step(1, StepResult(-4.0, 5.0, True), 0.5)
        charts.add_step(2, StepResult(float("nan"), float("nan"), False), 0.5)
        charts.add_epoch(history[:1])
        charts.add_epoch(history)
    found = {(v.tag, e.step): v.simple_value for e in read_events(tmp_path / "tensorboard") for v in e.summary.value}
    assert found[("step/loss", 1)] == -4.0
    assert found[("step/lr", 1)] == 0.5
    assert not any(tag.startswith("step/") and step == 2 for tag, step in found)
    assert found[("epoch/valid_loss", 1)] == -2.5
    assert ("epoch/train_loss", 2) not in found
    picture = imread(tmp_path / "plots/curves.png")
    assert picture.shape[:2] == (700, 1000)
    assert picture[..., :3].min() < 0.5
