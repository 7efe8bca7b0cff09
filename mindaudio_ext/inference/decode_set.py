"""A whole test set separated into a folder of wavs: complete, resumable, and of one model only."""

import dataclasses
import functools
import hashlib
import json
import os
import resource
import time
import zlib
from pathlib import Path
from typing import Any

from mindaudio_ext.cluster import Slurm
from mindaudio_ext.config import Config, decoded_values
from mindaudio_ext.data.audio import is_whole_wav, write_wav
from mindaudio_ext.data.kaldi_dir import Entry, read_data_dir
from mindaudio_ext.data.parallel import parallel_map, worker_number
from mindaudio_ext.data.rttm import RTTM, write_rttm
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import Experiment, SeparatedSet
from mindaudio_ext.files import sha256_of, write_text
from mindaudio_ext.inference.activity import speech_of
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.journal import appended_journal, journal_line, read_journal
from mindaudio_ext.keys import MAX_SOURCES, file_name, set_name
from mindaudio_ext.log import file_alone
from mindaudio_ext.output_folder import OutputFolder

# Measured: on two cores two processes take longer than one whose operators share the cores, and twice the memory.
CORES_A_PROCESS = 4


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """What a worker needs to load the model; two that are equal give equal estimates."""

    expdir: Path
    checkpoint: Path
    digest: str
    device_target: str
    device_id: int
    num_threads: int | None
    shifts: int


@dataclasses.dataclass(frozen=True)
class Job:
    """One mixture to separate."""

    entry: Entry
    wavs: tuple[Path, ...]
    model: ModelSource
    sample_rate: int
    is_recording: bool  # what is long goes in chunks
    rttm: Path | None  # its turns, of a model for conversations


@dataclasses.dataclass(frozen=True)
class JournalEntry:
    """One mixture that is separated.

    `crc32` is that of its float32 samples, `peak_memory` the process's, in bytes, `seconds` what separating it took.
    """

    key: str
    num_samples: int
    crc32: int
    peak_memory: int = 0
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class DecodingCost:
    """What decoding a set came to: mixtures in the set and those made now, seconds of speech and of work, bytes.

    The work is that of all processes, added up: what waits in a cluster's queue does not work.
    """

    num_utts: int
    num_made: int
    audio_seconds: float
    seconds: float
    peak_memory: int

    @property
    def summary(self) -> str:
        """A line for the log: RTF is the work, without loading the model, over the length of the speech."""
        if not self.num_made:
            return f"{self.num_utts} mixtures (were there)"
        return (
            f"{self.num_made} of {self.num_utts} mixtures separated, {self.audio_seconds:.0f} s of speech in "
            f"{self.seconds:.0f} s, RTF {self.seconds / self.audio_seconds:.3f} and "
            f"peak memory {self.peak_memory / 1e6:.0f} MB a process"
        )


def decode_set(
    expdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    config: Config | None = None,
    model_path: str | os.PathLike | None = None,
    nj: int = 1,
    ngpu: int = 1,
    allow_pipes: bool = False,
) -> DecodingCost:
    """Separates every mixture of a data directory, whole, into `expdir/separated_<set>`.

    Conversations, which an RTTM file in the data directory tells, and all that a model for them gets are separated as
    mindaudio-separate does, what is long in chunks. Such a model also tells who speaks when, `rttm`; its tracks keep
    what it leaves in them while their speaker is silent.
    What the same model made of the same mixture is kept. While anything is still to be made there is no `spkN.scp`, so
    nobody scores a mixture of two models or of two states of the data.

    Args:
        expdir: the experiment.
        data_dir: its last part names the set.
        config: what this run does with the experiment's model, on which device; by default the experiment's own.
        model_path: a checkpoint; see `Experiment.find_checkpoint`.
        nj: processes at most on a CPU; each gets `CORES_A_PROCESS` cores or more.
        ngpu: devices, when they are none; a process for each, the first on the config's `device_id`.
        allow_pipes: run the commands in `wav.scp`.

    Raises:
        InputError: no model, no data directory, or a signal that cannot be separated, named by key and file; or the
            folder is there and was not made by decoding.
    """
    experiment = Experiment(Path(expdir))
    config = config or experiment.read_config()
    checkpoint = experiment.find_checkpoint(config, model_path)
    data = read_data_dir(data_dir, allow_pipes=allow_pipes)
    out = Experiment(Path(os.path.abspath(expdir))).separated(set_name(data_dir))
    folder = OutputFolder(out.path, "folder of estimates", _files_before_marks)
    folder.require_ours()
    processes, num_threads = _share_cores(nj, ngpu, config)
    digest = _digest(config, checkpoint)
    device = (config.device_target, config.device_id)
    model = ModelSource(Path(expdir), checkpoint, digest, *device, num_threads, config.shifts)
    jobs = [_job(out, entry, model, config) for entry in data.entries()]
    made = _kept(out, jobs)
    todo = [job for job in jobs if job.entry.key not in made]
    todo.sort(key=lambda job: -job.entry.num_samples)  # falling lengths fragment the memory less
    if todo:
        folder.claim()
        _log(out, f"{len(todo)} of {len(jobs)} mixtures of {data.path} to separate with {checkpoint} ({model.digest})")
        made |= _separate_all(out, todo, made, processes)
    _write_lists(out, jobs)
    cost = _cost_of(jobs, todo, made)
    if todo:
        _log(out, cost.summary)
    return cost


def _files_before_marks(folder: Path) -> tuple[str, ...] | None:
    """Knows a folder from before there were marks by its journal, which comes before the first wav."""
    out = SeparatedSet(folder)
    begun = {out.log.name, out.decoding.name}
    return () if out.journal.is_file() or set(os.listdir(folder)) <= begun else None


def _separate_all(
    out: SeparatedSet, todo: list[Job], kept: dict[str, JournalEntry], processes: int
) -> dict[str, JournalEntry]:
    """Makes the estimates of `todo`; the journal gets a line for each as soon as its wavs are there."""
    _load(todo[0].model)  # what is there stays when the model does not load
    for source in range(1, MAX_SOURCES + 1):
        out.scp(source).unlink(missing_ok=True)
    out.rttm.unlink(missing_ok=True)
    _write_journal(out, todo[0].model, kept)
    made = {}
    with appended_journal(out.journal) as add:
        for one in parallel_map(_separate, todo, nj=processes, title=out.path.name):
            made[one.key] = one
            add(_entry(one))
    _write_journal(out, todo[0].model, kept | made)
    return made


def _separate(job: Job) -> JournalEntry:
    """Makes the wavs of one mixture."""
    separator, name = _load(job.model), f"{job.entry.path / 'wav.scp'}: {job.entry.key}"
    started = time.monotonic()
    mixture = job.entry.read_input(job.sample_rate)
    if job.is_recording:
        estimates = separator.separate(mixture, job.sample_rate, name=name)  # [C, T]
    else:
        estimates = separator(mixture, name=name)
    if job.rttm is not None:
        write_rttm(job.rttm, {job.entry.key: speech_of(estimates, job.sample_rate).as_rttm()})
    for path, estimate in zip(job.wavs, estimates):
        write_wav(path, estimate, job.sample_rate)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = time.monotonic() - started
    return JournalEntry(job.entry.key, len(mixture), zlib.crc32(mixture.tobytes()), peak, seconds)


@functools.lru_cache(maxsize=1)
def _load(model: ModelSource) -> Separator:
    return Separator.from_expdir(
        model.expdir,
        model.checkpoint,
        device_target=model.device_target,
        device_id=model.device_id + worker_number(),
        num_threads=model.num_threads,
        shifts=model.shifts,
    )


def _cost_of(jobs: list[Job], todo: list[Job], made: dict[str, JournalEntry]) -> DecodingCost:
    """Returns what the `todo` of all jobs took."""
    num_samples = sum(job.entry.num_samples for job in todo)
    seconds = sum(made[job.entry.key].seconds for job in todo)
    peak_memory = max((one.peak_memory for one in made.values()), default=0)
    return DecodingCost(len(jobs), len(todo), num_samples / jobs[0].sample_rate, seconds, peak_memory)


def _share_cores(nj: int, ngpu: int, config: Config) -> tuple[int, int | None]:
    """Returns the number of processes and the threads of each; None leaves the threads to MindSpore.

    On a cluster a task has the cores that Slurm gave it, however many there are here.
    """
    for option, value in (("--nj", nj), ("--ngpu", ngpu)):
        if value < 1:
            raise InputError(f"{option}: must be at least 1, got {value}")
    if config.device_target != "CPU":
        return ngpu, None
    if Slurm.from_environment():
        return nj, None
    cores = len(os.sched_getaffinity(0))
    processes = max(1, min(nj, cores // CORES_A_PROCESS))
    return processes, None if processes == 1 else cores // processes


def _digest(config: Config, checkpoint: Path) -> str:
    """A digest of all that the estimates depend on, but for the mixtures."""
    text = json.dumps(decoded_values(config), sort_keys=True) + sha256_of(checkpoint)
    return hashlib.sha256(text.encode()).hexdigest()


def _job(out: SeparatedSet, entry: Entry, model: ModelSource, config: Config) -> Job:
    wavs = tuple(out.wavs / f"{file_name(entry.key)}_s{source}.wav" for source in range(1, config.num_spks + 1))
    rttm = out.wavs / f"{file_name(entry.key)}.rttm" if config.conversations else None
    is_recording = config.conversations or (entry.path / RTTM).is_file()
    return Job(entry, wavs, model, config.sample_rate, is_recording, rttm)


def _kept(out: SeparatedSet, jobs: list[Job]) -> dict[str, JournalEntry]:
    """Returns what needs no making: the journal says this model made it of this mixture, and its wavs are there."""
    journal = _read_journal(out, jobs[0].model.digest)
    return {job.entry.key: journal[job.entry.key] for job in jobs if _is_made(job, journal.get(job.entry.key))}


def _is_made(job: Job, made: JournalEntry | None) -> bool:
    if made is None or made.num_samples != job.entry.num_samples:
        return False
    if not all(is_whole_wav(path, made.num_samples) for path in job.wavs) or (job.rttm and not job.rttm.is_file()):
        return False
    return zlib.crc32(job.entry.read_input(job.sample_rate).tobytes()) == made.crc32


def _read_journal(out: SeparatedSet, digest: str) -> dict[str, JournalEntry]:
    """Returns what the journal says is made if that is of the model `digest`."""
    try:
        head, *entries = read_journal(out.journal)
        if head["model"] != digest:
            return {}
        return {each["key"]: JournalEntry(each["key"], each["num_samples"], each["crc32"]) for each in entries}
    except (ValueError, KeyError, TypeError):  # it is of something else
        return {}


def _write_journal(out: SeparatedSet, model: ModelSource, made: dict[str, JournalEntry]) -> None:
    head = {"model": model.digest, "checkpoint": model.checkpoint.name, "sha256": sha256_of(model.checkpoint)}
    entries = [head | {"shifts": model.shifts}, *(_entry(made[key]) for key in sorted(made))]
    write_text(out.journal, "".join(map(journal_line, entries)))


def _entry(made: JournalEntry) -> dict[str, Any]:
    return {"key": made.key, "num_samples": made.num_samples, "crc32": made.crc32}


def _write_lists(out: SeparatedSet, jobs: list[Job]) -> None:
    """Writes `rttm` and `spkN.scp`; the first comes last: stage 4 takes it for the sign that decoding is done."""
    if any(job.rttm for job in jobs):
        write_text(out.rttm, "".join(job.rttm.read_text(encoding="utf-8") for job in jobs if job.rttm))
    for source in reversed(range(len(jobs[0].wavs))):
        write_text(out.scp(source + 1), "".join(f"{job.entry.key} {job.wavs[source]}\n" for job in jobs))


def _log(out: SeparatedSet, message: str) -> None:
    out.path.mkdir(parents=True, exist_ok=True)
    with file_alone(out.log) as log:
        log.info("%s", message)
