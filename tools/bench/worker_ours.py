"""This project's side: `worker_ours.py FILE.pth THREADS [KEY=VALUE ...]`, a file of Asteroid's and keys of a conf.

With `--cost` in place of THREADS it says how large the model is, and ends.
"""

import sys
import time

STARTED = time.perf_counter()

from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mindaudio_ext.device import set_up_device  # noqa: E402

set_up_device("CPU", num_threads=None if sys.argv[2] == "--cost" else int(sys.argv[2]))

import numpy as np  # noqa: E402
import yaml  # noqa: E402
from worker import RATE, Worker, answer  # noqa: E402

from mindaudio_ext.config import make_config  # noqa: E402
from mindaudio_ext.convert import asteroid  # noqa: E402
from mindaudio_ext.convert.torch_file import read_torch_file  # noqa: E402
from mindaudio_ext.convert.transfer import fill  # noqa: E402
from mindaudio_ext.data.dataset import Batch  # noqa: E402
from mindaudio_ext.models.cost import count_multiply_adds  # noqa: E402
from mindaudio_ext.models.evaluation import WholeUtterance  # noqa: E402
from mindaudio_ext.models.tasnet import build_model  # noqa: E402
from mindaudio_ext.train.step import TrainStep  # noqa: E402


class Ours(Worker):
    """The same model, the training step and the decoding of the recipes."""

    def __init__(self, started: float, path: str, keys: list[str]) -> None:
        super().__init__(started)
        content = read_torch_file(path)
        values = asteroid.config_values(content, path, sample_rate=None)
        options = {key: yaml.safe_load(value) for key, value in (text.split("=", 1) for text in keys)}
        self.config = make_config({**values, **options}, path)
        self.model = build_model(self.config)
        fill(self.model, asteroid.our_parameters(content, path), source=path)
        self.step: TrainStep | None = None
        self.whole: WholeUtterance | None = None

    def train(self, mixture: np.ndarray, sources: np.ndarray) -> float:
        if self.step is None:
            self.step = TrainStep(self.config, self.model)
        self.model.set_train(True)
        lengths = np.full(len(mixture), mixture.shape[1], np.int32)
        return self.step(Batch(mixture, sources, lengths), self.config.lr).loss

    def infer(self, mixture: np.ndarray) -> np.ndarray:
        self.whole = self.whole or WholeUtterance(self.model)
        return self.whole.separate(mixture)

    def cost(self) -> dict[str, int]:
        """Returns trained parameters, and multiply-adds of a second."""
        parameters = sum(parameter.size for parameter in self.model.trainable_params())
        return {"parameters": parameters, "multiply_adds": count_multiply_adds(self.model, 4 * RATE) // 4}


if __name__ == "__main__":
    worker = Ours(STARTED, sys.argv[1], sys.argv[3:])
    if sys.argv[2] == "--cost":
        answer(worker.cost())
    else:
        worker.serve(num_spks=2)
