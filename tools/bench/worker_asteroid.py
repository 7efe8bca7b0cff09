"""Asteroid's side: `worker_asteroid.py FILE.pth THREADS`; with `--make FILE.pth CLASS ARGUMENTS` it makes the model."""

import json
import sys
import time

STARTED = time.perf_counter()

import itertools  # noqa: E402
import os  # noqa: E402

import numpy as np  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from compare_asteroid import import_asteroid  # noqa: E402
from worker import Worker  # noqa: E402

torch, models = import_asteroid()


class Asteroid(Worker):
    """A model of Asteroid and the training that its recipes do: PIT SI-SDR, clipping at 5, Adam."""

    def __init__(self, started: float, path: str) -> None:
        super().__init__(started)
        self.model = models.BaseModel.from_pretrained(torch.load(path, map_location="cpu", weights_only=True))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def train(self, mixture: np.ndarray, sources: np.ndarray) -> float:
        self.model.train()
        self.optimizer.zero_grad()
        loss = pit_si_sdr(self.model(torch.from_numpy(mixture)), torch.from_numpy(sources))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return float(loss)

    def infer(self, mixture: np.ndarray) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode():
            return self.model(torch.from_numpy(mixture[None]))[0].numpy()


def pit_si_sdr(estimates: "torch.Tensor", sources: "torch.Tensor") -> "torch.Tensor":
    """Returns the negative SI-SDR under the best permutation, mean over the batch; both [B, C, T]."""
    estimates = estimates - estimates.mean(dim=-1, keepdim=True)
    sources = sources - sources.mean(dim=-1, keepdim=True)
    dots = torch.einsum("bit,bjt->bij", estimates, sources)  # [B, C, C]
    power = (sources**2).sum(dim=-1)[:, None] + 1e-8
    target = dots**2 / power
    noise = (estimates**2).sum(dim=-1)[:, :, None] - target
    ratios = 10 * torch.log10(target / (noise + 1e-8) + 1e-8)
    n_src = ratios.shape[1]
    sums = [sum(ratios[:, i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(n_src))]
    return -(torch.stack(sums, dim=1).max(dim=1).values / n_src).mean()


def main() -> None:
    """Makes a model, or serves one."""
    torch.manual_seed(0)
    if sys.argv[1] == "--make":
        path, class_name, arguments = sys.argv[2:]
        torch.save(getattr(models, class_name)(**json.loads(arguments)).serialize(), path)
        return
    torch.set_num_threads(int(sys.argv[2]))
    worker = Asteroid(STARTED, sys.argv[1])
    worker.serve(num_spks=2)


if __name__ == "__main__":
    main()
