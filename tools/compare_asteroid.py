"""Compares Asteroid's models with ours: random weights at full size, and checkpoints that are given.

Each model is converted by `mindaudio_ext.bin.convert` and run on mixtures of several lengths. The largest difference of
the estimates, relative to their peak, is printed for each length. Exit status: 0, all are at most 1e-5; 1, one is not;
2, something is missing.

PyTorch and MindSpore rarely fit into one environment, so the work is done in two steps:

    python3 -m venv /tmp/asteroid
    /tmp/asteroid/bin/pip install torch asteroid
    /tmp/asteroid/bin/python tools/compare_asteroid.py --make /tmp/compared [FILE.pth ...]
    tools/venv/bin/python tools/compare_asteroid.py --check /tmp/compared

`--only NAME` makes only the models whose name contains it. `--make` writes NAME.pth, as Asteroid's `serialize()` gives
it, and NAME.npz, mixtures and estimates. Where both toolkits are importable, neither option is needed.

Of Asteroid only the networks are used. What it imports besides (Lightning, torchaudio, ...) may be missing: empty
modules stand in for it. So this smaller environment does too:

    /tmp/asteroid/bin/pip install torch numpy packaging
    /tmp/asteroid/bin/pip install --no-deps asteroid asteroid-filterbanks
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 1e-5
# Asteroid's classes and arguments; the first four are its defaults, that is full size.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "dprnntasnet": ("DPRNNTasNet", {"n_src": 2}),
    "convtasnet": ("ConvTasNet", {"n_src": 2}),
    "lstmtasnet": ("LSTMTasNet", {"n_src": 2}),
    "dptnet_default": ("DPTNet", {"n_src": 2}),
    "dprnn_gru_causal": (
        "DPRNNTasNet",
        {"n_src": 3, "rnn_type": "GRU", "bidirectional": False, "norm_type": "cLN", "n_repeats": 2, "num_layers": 2},
    ),
    "convtasnet_causal": ("ConvTasNet", {"n_src": 3, "causal": True, "norm_type": "cgLN", "mask_act": "softmax"}),
    "dptnet_widened": ("DPTNet", {"n_src": 3, "n_filters": 66, "n_repeats": 2, "hop_size": 25}),
}
# What Asteroid 0.7 imports and its networks do not use.
UNUSED = (
    *("filelock", "huggingface_hub", "julius", "librosa", "mir_eval", "pandas", "pb_bss_eval", "pypesq", "pystoi"),
    *("pytorch_lightning", "requests", "scipy", "soundfile", "torch_optimizer", "torch_stoi", "torchaudio"),
    *("torchmetrics", "tqdm", "yaml"),
)


class Missing(Exception):
    """Something that is needed is not there; the message says what, in one line."""


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Returns an empty module, whose every attribute is an empty class, for what nobody else finds."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        wanted = name.partition(".")[0] in UNUSED
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__version__ = "0"
        module.__getattr__ = _empty_class
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _empty_class(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def import_asteroid() -> tuple[types.ModuleType, types.ModuleType]:
    """Returns PyTorch and `asteroid.models`; raises Missing when one cannot be imported."""
    try:
        torch = importlib.import_module("torch")
        torch.serialization.add_safe_globals([torch.torch_version.TorchVersion])  # serialize() writes one down
        sys.meta_path.append(_StandIns())  # last: only for what is really missing
        return torch, importlib.import_module("asteroid.models")
    except ImportError as error:
        raise Missing(f"PyTorch and Asteroid are needed to make models ({error}); see --help") from error


def make(folder: Path, checkpoints: Sequence[Path], only: str) -> None:
    """Writes a .pth and a .npz for each model.

    Args:
        folder: where to; made when missing.
        checkpoints: of Asteroid, besides `MODELS`.
        only: part of the names of those of `MODELS` to make.

    Raises:
        Missing: Asteroid or a checkpoint is not there.
    """
    for checkpoint in checkpoints:
        if not checkpoint.is_file():
            raise Missing(f"{checkpoint}: no such file")
    torch, models = import_asteroid()
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (class_name, arguments) in MODELS.items():
        if only in name:
            _make_one(torch, _with_random_weights(torch, getattr(models, class_name)(**arguments)), folder / name)
    for checkpoint in checkpoints:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        _make_one(torch, models.BaseModel.from_pretrained(content), folder / f"given_{checkpoint.stem}")


def _with_random_weights(torch: types.ModuleType, model: Any) -> Any:
    """Adds noise to all vectors: scales of one and shifts of zero would hide one another."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def _make_one(torch: types.ModuleType, model: Any, stem: Path) -> None:
    model.eval()
    content = model.serialize()
    arrays = {}
    kernel_size = content["model_args"]["kernel_size"]
    for n_samples in (kernel_size + 1, 4003, 24001):  # the shortest; odd; 3 s at 8 kHz
        mixture = 0.3 * torch.randn(1, n_samples)
        with torch.no_grad():
            arrays[f"estimate_{n_samples}"] = model(mixture)[0].numpy()  # [C, T]
        arrays[f"mixture_{n_samples}"] = mixture[0].numpy()  # [T]
    torch.save(content, stem.with_name(f"{stem.name}.pth"))
    np.savez(stem.with_name(f"{stem.name}.npz"), **arrays)
    print(f"made {stem.name}: {content['model_name']}", flush=True)


def check(folder: Path) -> bool:
    """Prints the differences of all models in a folder; gives whether all are small enough.

    Raises:
        Missing: MindSpore is not there, or the folder has no models.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    try:
        importlib.import_module("mindspore")
    except ImportError as error:
        raise Missing(f"MindSpore is needed to compare ({error}); see --help") from error
    models = sorted(folder.glob("*.npz"))
    if not models:
        raise Missing(f"{folder}: no models to compare; make them with --make, see --help")
    worst = 0.0
    for arrays in models:
        for n_samples, difference in _differences(arrays):
            worst = max(worst, difference)
            verdict = "" if difference <= LIMIT else "  TOO LARGE"
            print(f"{arrays.stem:24} {n_samples:7} samples  {difference:.1e}{verdict}", flush=True)
    print(f"largest difference relative to the peak: {worst:.1e}, allowed: {LIMIT:.0e}")
    return worst <= LIMIT


def _differences(path: Path) -> Iterator[tuple[int, float]]:
    """Converts one model; gives the number of samples and the largest relative difference of each mixture."""
    from mindaudio_ext.bin.convert import main as convert
    from mindaudio_ext.inference.separator import Separator

    with tempfile.TemporaryDirectory() as scratch, np.load(path) as arrays:
        convert([str(path.with_suffix(".pth")), f"{scratch}/model"])
        separator = Separator.from_expdir(f"{scratch}/model")
        for name in (name for name in arrays.files if name.startswith("mixture_")):
            theirs = arrays[name.replace("mixture", "estimate")]
            ours = separator.estimate(arrays[name])
            if ours.shape != theirs.shape or not np.isfinite(ours).all():
                yield theirs.shape[-1], float("inf")
            else:
                yield theirs.shape[-1], float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def main() -> int:
    """Runs the command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--make", type=Path, metavar="DIR", help="write models and estimates; needs Asteroid")
    steps.add_argument("--check", type=Path, metavar="DIR", help="compare them; needs MindSpore")
    parser.add_argument("--only", default="", metavar="NAME", help="of the models with random weights, these")
    parser.add_argument("checkpoints", type=Path, nargs="*", metavar="FILE.pth", help="models of Asteroid to add")
    args = parser.parse_args()
    if args.check and (args.checkpoints or args.only):
        parser.error("--check compares what --make wrote; give files and --only there")
    try:
        if args.check:
            return 0 if check(args.check) else 1
        with tempfile.TemporaryDirectory() as scratch:
            make(args.make or Path(scratch), args.checkpoints, args.only)
            return 0 if args.make or check(Path(scratch)) else 1
    except Missing as error:
        print(f"compare_asteroid.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
