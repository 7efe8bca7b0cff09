"""Writes the PyTorch files of this folder, as Asteroid's `save_publishable` and Lightning write theirs.

Needs PyTorch, which the project does not: `python write_torch_files.py numpy2` with NumPy 2, `... numpy1` with NumPy 1.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent
LICENSE = {"title": "Libri2Mix", "license": "CC BY 4.0", "non_commercial": False}


def publish(path: Path, content: dict, **how: bool) -> None:
    """Adds what Asteroid's recipes and `asteroid-upload` add, the means of a table as NumPy's scalars among it."""
    metrics = {"si_sdr": np.float64(14.5), "stoi": np.float32(0.25), "count": np.int64(3000), "whole": np.bool_(True)}
    metrics |= {"big": np.dtype(">f8").type(2.5), "set": np.str_("test"), "kind": np.dtype("float32")}
    infos = content["infos"] | {"recipe_name": "librimix/DPRNN", "final_metrics": metrics}
    infos |= {"training_config": {"optim": {"lr": 0.001}, "data": {"task": "sep_clean"}}, "uploader": "Ü"}
    more = {"dataset": "Libri2Mix", "task": "sep_clean", "licenses": [LICENSE]}
    torch.save({**content, **more, "infos": infos}, path, **how)


def attribute_dict(module: str, **items: object) -> dict:
    """Returns an AttributeDict of the module of that name, which need not be installed."""
    for number in range(1, module.count(".") + 2):
        name = ".".join(module.split(".")[:number])
        sys.modules.setdefault(name, types.ModuleType(name))
    kind = type("AttributeDict", (dict,), {"__module__": module})
    sys.modules[module].AttributeDict = kind
    return kind(items)


def lightning(path: Path, state: dict) -> None:
    """Writes what a Trainer saves: the parameters below `model.`, here in bfloat16."""
    old = attribute_dict("pytorch_lightning.utilities.parsing", lr=0.001, size=torch.Size([2, 3]))
    new = attribute_dict("lightning.fabric.utilities.data", epochs=200)
    halves = {f"model.{name}": value.bfloat16() for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": halves, "hyper_parameters": old, "datamodule": new}, path)


def main() -> None:
    """Writes the files of one version of NumPy."""
    golden = torch.load(FOLDER.parent / "golden" / "dprnn_gln_lstm_k2.pth", weights_only=False)
    if sys.argv[1] == "numpy2":
        publish(FOLDER / "published.pth", golden)
        lightning(FOLDER / "lightning.ckpt", golden["state_dict"])
        return
    parallel = {f"module.{name}": value for name, value in golden["state_dict"].items()}
    older = {**golden, "state_dict": parallel}
    publish(FOLDER / "published_parallel.pth", older, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
