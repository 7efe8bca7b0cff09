"""A whole test set separated into a folder of wavs: complete, resumable, and of one model only."""

import dataclasses
import datetime
import functools
import hashlib
import json
import os
import resource
import time
import zlib
from pathlib import Path

import numpy as np

from mindaudio_ext.config import Config
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import Entry, read_data_dir
from mindaudio_ext.data.parallel import parallel_map, worker_number
from mindaudio_ext.decode.separate import Separator, find_checkpoint, read_experiment
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import sha256_of, write_text

JOURNAL = "made.jsonl"
WAV_HEADER_BYTES = 44
# Measured: on two cores two processes take longer than one whose operators share the cores, and twice the memory.
CORES_A_PROCESS = 4


@dataclasses.dataclass(frozen=True)
class Model:
    """What a worker needs to load the model; two that are equal give equal estimates."""

    expdir: Path
    checkpoint: Path
    digest: str
    device_target: str
    num_threads: int | None
    shifts: int


@dataclasses.dataclass(frozen=True)
class Job:
    """One mixture to separate."""

    entry: Entry
    wavs: tuple[Path, ...]
    model: Model
    sample_rate: int


@dataclasses.dataclass(frozen=True)
class Made:
    """One mixture that is separated. `crc32` is that of its float32 samples, `peak_memory` the process's, in bytes."""

    key: str
    num_samples: int
    crc32: int
    peak_memory: int = 0


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What decoding a set came to: mixtures in the set and those made now, seconds of speech and of time, bytes."""

    num_utts: int
    num_made: int
    audio_seconds: float
    seconds: float
    peak_memory: int

    @property
    def summary(self) -> str:
        """A line for the log: RTF is the time by the clock, loading included, over the length of the speech."""
        if not self.num_made:
            return f"{self.num_utts} mixtures (were there)"
        return (
            f"{self.num_made} of {self.num_utts} mixtures separated, {self.audio_seconds:.0f} s of speech in "
            f"{self.seconds:.0f} s, RTF {self.seconds / self.audio_seconds:.3f}, "
            f"peak memory {self.peak_memory / 1e6:.0f} MB a process"
        )


def decode_set(
    expdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    model_path: str | os.PathLike | None = None,
    device_target: str | None = None,
    shifts: int | None = None,
    nj: int = 1,
    ngpu: int = 1,
    allow_pipes: bool = False,
) -> Decoded:
    """Separates every mixture of a data directory, whole, into `expdir/separated_<set>`.

    What the same model made of the same mixture is kept. While anything is still to be made there is no `spkN.scp`, so
    nobody scores a mixture of two models or of two states of the data.

    Args:
        expdir: the experiment.
        data_dir: its last part names the set.
        model_path: a checkpoint; see `Separator.from_expdir`.
        device_target: instead of the config's.
        shifts: instead of the config's.
        nj: processes at most on a CPU; each gets `CORES_A_PROCESS` cores or more.
        ngpu: devices, when they are none; a process for each, the first on the config's `device_id`.
        allow_pipes: run the commands in `wav.scp`.

    Raises:
        InputError: no model, no data directory, or a signal that cannot be separated, named by key and file.
    """
    started = time.monotonic()
    config = read_experiment(expdir)
    if device_target:
        config = dataclasses.replace(config, device_target=device_target)
    if shifts is not None:
        config = dataclasses.replace(config, shifts=shifts)
    checkpoint = find_checkpoint(expdir, config, model_path)
    data = read_data_dir(data_dir, allow_pipes=allow_pipes)
    out = Path(os.path.abspath(expdir)) / f"separated_{os.path.basename(os.path.abspath(data_dir))}"
    processes, num_threads = _share_cores(nj, ngpu, config)
    digest = _digest(config, checkpoint)
    model = Model(Path(expdir), checkpoint, digest, config.device_target, num_threads, config.shifts)
    jobs = [
        Job(entry, _wav_paths(out, entry.key, config.num_spks), model, config.sample_rate) for entry in data.entries()
    ]
    made = _kept(out, jobs)
    todo = [job for job in jobs if job.entry.key not in made]
    todo.sort(key=lambda job: -job.entry.num_samples)  # falling lengths fragment the memory less
    if todo:
        _log(out, f"{len(todo)} of {len(jobs)} mixtures of {data.path} to separate with {checkpoint} ({model.digest})")
        made |= _separate_all(out, todo, made, processes)
    _write_lists(out, jobs)
    num_samples = sum(job.entry.num_samples for job in todo)
    peak_memory = max((one.peak_memory for one in made.values()), default=0)
    seconds = time.monotonic() - started
    decoded = Decoded(len(jobs), len(todo), num_samples / config.sample_rate, seconds, peak_memory)
    if todo:
        _log(out, decoded.summary)
    return decoded


def _separate_all(out: Path, todo: list[Job], kept: dict[str, Made], processes: int) -> dict[str, Made]:
    """Makes the estimates of `todo`; the journal gets a line for each as soon as its wavs are there."""
    _load(todo[0].model)  # what is there stays when the model does not load
    for scp in out.glob("spk*.scp"):
        scp.unlink()
    _write_journal(out, todo[0].model, kept)
    made = {}
    with open(out / JOURNAL, "a", encoding="utf-8") as journal:
        for one in parallel_map(_separate, todo, nj=processes, title=out.name):
            made[one.key] = one
            journal.write(_journal_line(one))
            journal.flush()
    _write_journal(out, todo[0].model, kept | made)
    return made


def _separate(job: Job) -> Made:
    """Makes the wavs of one mixture."""
    mixture = _read_mixture(job)
    separator = _load(job.model)
    estimates = separator(mixture, name=f"{job.entry.path / 'wav.scp'}: {job.entry.key}")  # [C, T]
    for path, estimate in zip(job.wavs, estimates):
        write_wav(path, estimate, job.sample_rate)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Made(job.entry.key, len(mixture), zlib.crc32(mixture.tobytes()), peak)


@functools.lru_cache(maxsize=1)
def _load(model: Model) -> Separator:
    return Separator.from_expdir(
        model.expdir,
        model.checkpoint,
        device_target=model.device_target,
        n_devices_on=worker_number(),
        num_threads=model.num_threads,
        shifts=model.shifts,
    )


def _read_mixture(job: Job) -> np.ndarray:
    entry = job.entry
    mixture, _ = entry.read("wav.scp", sample_rate=job.sample_rate)
    if len(mixture) != entry.num_samples:
        raise InputError(
            f"{entry.path / 'wav.scp'}: {entry.key}: has {len(mixture)} samples; "
            f"utt2num_samples says {entry.num_samples}"
        )
    return mixture


def _share_cores(nj: int, ngpu: int, config: Config) -> tuple[int, int | None]:
    """Gives the number of processes and the threads of each; None leaves the threads to MindSpore."""
    for option, value in (("--nj", nj), ("--ngpu", ngpu)):
        if value < 1:
            raise InputError(f"{option}: must be at least 1, got {value}")
    if config.device_target != "CPU":
        return ngpu, None
    cores = len(os.sched_getaffinity(0))
    processes = max(1, min(nj, cores // CORES_A_PROCESS))
    return processes, None if processes == 1 else cores // processes


def _digest(config: Config, checkpoint: Path) -> str:
    """A digest of all that the estimates depend on, but for the mixtures."""
    names = ("model", "model_conf", "separator", "separator_conf", "num_spks", "n_filters", "kernel_size", "stride")
    names = (*names, "encoder_activation", "mask_activation", "device_target")
    values = {name: getattr(config, name) for name in names}
    if config.shifts > 1:  # what was separated before there were any is kept
        values["shifts"] = config.shifts
    text = json.dumps(values, sort_keys=True) + sha256_of(checkpoint)
    return hashlib.sha256(text.encode()).hexdigest()


def _wav_paths(out: Path, key: str, num_spks: int) -> tuple[Path, ...]:
    name = key.replace("%", "%25").replace("/", "%2F")  # a key may hold what a file's name cannot
    return tuple(out / "wav" / f"{name}_s{source}.wav" for source in range(1, num_spks + 1))


def _kept(out: Path, jobs: list[Job]) -> dict[str, Made]:
    """Gives what needs no making: the journal says this model made it of this mixture, and its wavs are there."""
    journal = _read_journal(out, jobs[0].model.digest)
    return {job.entry.key: journal[job.entry.key] for job in jobs if _is_made(job, journal.get(job.entry.key))}


def _is_made(job: Job, made: Made | None) -> bool:
    if made is None or made.num_samples != job.entry.num_samples:
        return False
    size = WAV_HEADER_BYTES + 2 * made.num_samples
    if not all(path.is_file() and path.stat().st_size == size for path in job.wavs):
        return False
    return zlib.crc32(_read_mixture(job).tobytes()) == made.crc32


def _read_journal(out: Path, digest: str) -> dict[str, Made]:
    """Gives the journal's entries when they are of the model `digest`. A killed process may leave half a last line."""
    if not (out / JOURNAL).is_file():
        return {}
    made = {}
    try:
        lines = (out / JOURNAL).read_text(encoding="utf-8").split("\n")[:-1]
        if json.loads(lines[0])["model"] != digest:
            return {}
        for line in lines[1:]:
            values = json.loads(line)
            made[values["key"]] = Made(values["key"], values["num_samples"], values["crc32"])
    except (ValueError, KeyError, TypeError, IndexError):
        return made
    return made


def _write_journal(out: Path, model: Model, made: dict[str, Made]) -> None:
    head = {"model": model.digest, "checkpoint": model.checkpoint.name, "sha256": sha256_of(model.checkpoint)}
    head["shifts"] = model.shifts
    lines = [_journal_line(made[key]) for key in sorted(made)]
    write_text(out / JOURNAL, json.dumps(head) + "\n" + "".join(lines))


def _journal_line(made: Made) -> str:
    values = {"key": made.key, "num_samples": made.num_samples, "crc32": made.crc32}
    return json.dumps(values) + "\n"


def _write_lists(out: Path, jobs: list[Job]) -> None:
    """Writes `spkN.scp`; the first comes last, because stage 4 takes it for the sign that decoding is done."""
    for source in reversed(range(len(jobs[0].wavs))):
        write_text(out / f"spk{source + 1}.scp", "".join(f"{job.entry.key} {job.wavs[source]}\n" for job in jobs))


def _log(out: Path, message: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with open(out / "decode.log", "a", encoding="utf-8") as log:
        log.write(f"{now} {message}\n")
