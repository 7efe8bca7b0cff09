"""A tiny experiment with random weights and a data directory of noise, for tests of what comes after training."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import soundfile

from mindaudio_ext.config import load_config, read_resolved, save_config
from mindaudio_ext.export.kit import write_programs
from mindaudio_ext.inference.written import LIST
from mindaudio_ext.output_folder import MARK

BASE = Path(__file__).parents[1] / "conf" / "base.yaml"
RATE = 8000
TINY = (
    "n_filters=8 kernel_size=16 separator_conf.bottleneck_size=6 separator_conf.hidden_size=5 "
    "separator_conf.chunk_size=10 separator_conf.n_blocks=1 export_segment=0.25"
)


def make_experiment(expdir, *, seed=0, overrides=""):
    """Writes config.yaml and checkpoints/best.ckpt; gives the model that was saved."""
    from mindspore import Tensor

    from mindaudio_ext.models.parameters import save_parameters
    from mindaudio_ext.models.tasnet import build_model

    config = load_config(BASE, None, [TINY, overrides])
    save_config(config, expdir / "config.yaml")
    model = build_model(config)
    rng = np.random.default_rng(seed)
    for parameter in model.trainable_params():
        parameter.set_data(Tensor(0.3 * rng.standard_normal(parameter.shape), parameter.dtype))
    save_parameters(model, expdir / "checkpoints" / "best.ckpt")
    model.set_train(False)
    return model


def make_data(folder, lengths, *, seed=0):
    """Writes a data directory; `lengths` are the samples of each key. Gives the mixtures as int16 by key."""
    rng = np.random.default_rng(seed)
    mixtures, lists = {}, {name: [] for name in ("wav.scp", "spk1.scp", "spk2.scp")}
    for key, length in sorted(lengths.items()):
        sources = rng.integers(-8000, 8000, (2, length)).astype(np.int16)
        mixtures[key] = sources.sum(axis=0, dtype=np.int16)
        for name, samples in zip(lists, (mixtures[key], *sources)):
            path = write_wav(folder / "wav" / f"{key}_{name}.wav", samples)
            lists[name].append(f"{key} {path}\n")
    lists["utt2num_samples"] = [f"{key} {len(mixture)}\n" for key, mixture in mixtures.items()]
    lists["utt2spk"] = lists["spk2utt"] = [f"{key} {key}\n" for key in mixtures]
    for name, lines in lists.items():
        (folder / name).write_text("".join(lines))
    return mixtures


def make_librimix_set(folder, *, lengths, num_spks=2, mixtures=("mix_clean",)):
    """Writes a set folder in LibriMix's layout; `lengths` are the samples of each mixture. Gives the folder."""
    rng = np.random.default_rng(0)
    for name, length in lengths.items():
        sources = rng.integers(-4000, 4000, (num_spks, length)).astype(np.int16)
        for number, source in enumerate(sources, 1):
            write_wav(folder / f"s{number}" / f"{name}.wav", source)
        for mixture in mixtures:
            write_wav(folder / mixture / f"{name}.wav", sources.sum(axis=0, dtype=np.int16))
    return folder


def write_wav(path, samples, rate=RATE):
    """Writes int16 samples as they are, floats as 32-bit floats; gives the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16" if samples.dtype == np.int16 else "FLOAT")
    return path


def files_of(folder):
    """The bytes of every file below a folder, by relative path; without what says that files are ours."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (LIST, MARK)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def make_kit(expdir, *, lengths=("0.25s",)):
    """Makes a kit of graphs for the stand-in of MindSpore Lite, batches of 4; gives its folder."""
    values = json.loads(json.dumps(dataclasses.asdict(read_resolved(expdir / "config.yaml"))))
    kit = expdir / "export"
    graphs = []
    for length in lengths:
        samples = round(float(length[:-1]) * RATE)
        for role in ("host", "ascend"):
            path = kit / f"tiny_{length}_{role}.mindir"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"4 {samples} 2")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            graphs.append({"file": path.name, "role": role, "batch": 4, "samples": samples, "sha256": digest})
    checkpoint = expdir / "checkpoints" / "best.ckpt"
    manifest = {
        "format": 1,
        "config": values,
        "checkpoint": "checkpoints/best.ckpt",
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "scores": {"test": {"utterances": 3, "si_snri": 1.234}},
        "graphs": graphs,
    }
    (kit / "manifest.json").write_text(json.dumps(manifest))
    write_programs(kit)
    return kit
