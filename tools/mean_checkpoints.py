"""Writes the weighted mean of the parameters of several checkpoints of one network.

    tools/venv/bin/python tools/mean_checkpoints.py OUT.ckpt 0.7 A.ckpt 0.3 B.ckpt

Weights that were trained on from the same ones can be averaged, and the mean is often better than either: Wortsman et
al., "Model soups", ICML 2022; Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022. The weights of the
mean must add up to 1. OUT.ckpt must not be there.
"""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np


def main(args: list[str]) -> int:
    """Runs the command; gives the exit status."""
    if len(args) < 3 or len(args) % 2 == 0:
        print(__doc__, file=sys.stderr)
        return 2
    out, paths = Path(args[0]), args[2::2]
    try:
        weights = [float(weight) for weight in args[1::2]]
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    checkpoints = [ms.load_checkpoint(path) for path in paths]
    shapes = [{name: tuple(parameter.shape) for name, parameter in one.items()} for one in checkpoints]
    problem = f"{out}: is there" if out.exists() else ""
    if abs(sum(weights) - 1) > 1e-6:
        problem = f"the weights add up to {sum(weights):g}, not to 1"
    for path, own in zip(paths, shapes):
        if own != shapes[0]:
            problem = f"{path}: has other parameters than {paths[0]}"
    if problem:
        print(problem, file=sys.stderr)
        return 2
    rows = []
    for name in checkpoints[0]:
        values = [weight * one[name].asnumpy().astype(np.float64) for weight, one in zip(weights, checkpoints)]
        rows.append({"name": name, "data": ms.Tensor(sum(values).astype(np.float32))})
    ms.save_checkpoint(rows, str(out))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
