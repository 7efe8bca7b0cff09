"""Known scores of the unprocessed mixture: a preparation or a scorer that is off shows here before any training."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

from mindaudio_ext.data.audio import files_of
from mindaudio_ext.data.kaldi_dir import DataDir, Entry
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.data.validate_data_dir import read_mixture
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import parse_json, write_text
from mindaudio_ext.metrics._bss_eval import bss_eval
from mindaudio_ext.metrics.si_snr import si_snr
from mindaudio_ext.metrics.stoi import stoi

TABLE = Path(__file__).with_name("mixture_baseline.yaml")
ALLOWED = 0.01  # dB, and of STOI: how far a full set may be from its known scores

FILE = "golden.json"


@dataclass(frozen=True)
class Scores:
    """Means over all mixtures and sources: dB, dB, and STOI."""

    si_sdr: float
    sdr: float
    stoi: float

    def __str__(self) -> str:
        return f"SI-SDR {self.si_sdr:.4f} dB, SDR {self.sdr:.4f} dB, STOI {self.stoi:.4f}"

    def misses(self, known: "Scores") -> bool:
        """Whether a score is more than `ALLOWED` from the known one."""
        return any(abs(value - known_value) > ALLOWED for value, known_value in zip(_values(self), _values(known)))


@dataclass(frozen=True)
class ReferenceSet:
    """A published test set: name, sources, folder of its mixtures in LibriMix's tree, their number, known scores."""

    name: str
    num_spks: int
    folder: str
    num_utts: int
    known: Scores


def read_table(path: str | os.PathLike = TABLE) -> list[ReferenceSet]:
    """Reads a table of published test sets.

    Raises:
        InputError: when it is not one.
    """
    try:
        rows = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return [
            ReferenceSet(
                name=row["name"],
                num_spks=int(row["num_spks"]),
                folder=row["folder"],
                num_utts=int(row["num_utts"]),
                known=Scores(float(row["si_sdr"]), float(row["sdr"]), float(row["stoi"])),
            )
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: is not a table of known scores ({error})") from error


def published_set(data: DataDir, table: Sequence[ReferenceSet]) -> ReferenceSet | None:
    """Returns the published set that a data directory is all of, told by its sources, folder and number of mixtures."""
    folders = _folders(data)
    for published in table:
        in_its_folder = all(f"/{folder}".endswith(f"/{published.folder}") for folder in folders)
        if in_its_folder and (len(data.sources), len(data.keys)) == (published.num_spks, published.num_utts):
            return published
    return None


def _folders(data: DataDir) -> set[str]:
    """Names the folders that the mixtures are in, or would be in LibriMix's tree if they were written."""
    if data.mixes is None:
        return {os.path.dirname(file) for value in data.mixtures.values() for file in files_of(value)}
    folders = set()
    for mix in data.mixes.values():
        subsets = {"test" if "/test-clean/" in path else "other" for path in mix.row.paths}
        folders |= {f"wav{mix.sample_rate // 1000}k/{mix.mode}/{subset}/{mix.mix_type}" for subset in subsets}
    return folders


def score_mixtures(data: DataDir, folder: str | os.PathLike, *, nj: int = 1) -> Scores:
    """Scores the unprocessed mixtures against their sources.

    Args:
        data: the data directory.
        folder: keeps the scores (`golden.json`), so that the same signals are not scored again.
        nj: processes.

    Raises:
        InputError: a signal cannot be read or scored.
    """
    state = _state(data)
    file = Path(folder) / FILE
    if file.is_file():
        try:
            kept = parse_json(file.read_text(encoding="utf-8"))
            if kept["state"] == state:
                return Scores(**kept["scores"])
        except (ValueError, KeyError, TypeError):
            pass  # not whole: made again
    rows = list(parallel_map(score_mixture, data.entries(), nj=nj, title=f"known scores of {data.path.name}"))
    scores = Scores(*(float(mean) for mean in np.mean([_values(row) for row in rows], axis=0)))
    write_text(file, json.dumps({"state": state, "scores": asdict(scores)}, indent=1) + "\n")
    return scores


def score_mixture(entry: Entry) -> Scores:
    """Scores one unprocessed mixture: means over its sources."""
    mixture, references, rate = read_mixture(entry)
    mixtures = np.broadcast_to(mixture, references.shape)  # [C, T]
    try:
        return Scores(
            float(si_snr(estimate=mixtures, reference=references).mean()),
            float(bss_eval(estimates=mixtures, references=references).sdr.mean()),
            float(np.mean([stoi(estimate=mixture, reference=source, sample_rate=rate) for source in references])),
        )
    except ValueError as error:
        raise InputError(f"{entry.path}: {entry.key}: {error}") from error


def _values(scores: Scores) -> tuple[float, float, float]:
    return scores.si_sdr, scores.sdr, scores.stoi


def _state(data: DataDir) -> str:
    """A digest of what the scores depend on: the lists, and name, size and time of every file."""
    digest = hashlib.sha256()
    for entry in data.entries():
        digest.update(f"{entry.key} {entry.num_samples} {sorted(entry.signals.items())} {entry.mix}\n".encode())
        for value in entry.signals.values():
            for file in files_of(value):
                status = os.stat(file) if os.path.exists(file) else None
                digest.update(f"{status and (status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()
