"""Recordings that are separated for the page, several at a time though MindSpore runs one graph at a time.

A recording has a thread. Between two blocks of sound it lets the next one have its turn, so a long recording never
keeps a short one waiting for more than a few chunks, and there it can be stopped.
"""

import contextlib
import logging
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mindaudio_ext.errors import InputError, describe_error, one_line
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.recording import Recording, write_wavs
from mindaudio_ext.inference.separate_file import separate_file
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.serve.pictures import draw
from mindaudio_ext.serve.words import in_both

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8  # recordings that are not finished
MOST_KEPT = 32  # recordings, finished ones included; the oldest finished go first
_RUNNING = ("waiting", "working")


class Turns:
    """Threads that take turns, in the order in which they came."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()  # the first one has its turn

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for a turn and has it within the `with`."""
        self._take()
        try:
            yield
        finally:
            self._give()

    def pass_on(self) -> None:
        """Lets all others that wait have theirs first."""
        if len(self._queue) > 1:
            self._give()
            self._take()

    def _take(self) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(lambda: self._queue[0] is ticket)

    def _give(self) -> None:
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()


class Stopped(Exception):
    """The user has stopped it."""


class Job:
    """One recording of one window.

    Args:
        name: of the file, as the user has it.
        folder: where its files go; made here.

    Attributes:
        id: nobody guesses it; a window knows its own.
        name, folder: as given.
        state: waiting, working, done, failed or stopped.
        progress: 0 to 1, of the recording's samples that were read.
        error: what went wrong, one line.
        signals: of a finished one, what the page shows of the mixture and each voice.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.id = secrets.token_urlsafe(16)
        self.name, self.folder = name, folder / self.id
        self.folder.mkdir()
        self.state, self.progress, self.error = "waiting", 0.0, ""
        self.signals: list[dict[str, Any]] = []
        self.stop = threading.Event()

    @property
    def input(self) -> Path:
        """The file that the user gave."""
        return self.folder / "input"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is done."""
        return self.state not in _RUNNING

    def told(self) -> dict[str, Any]:
        """Returns what the page asks for again and again; `error` in both languages."""
        names = ("id", "name", "state", "progress", "signals")
        return {name: getattr(self, name) for name in names} | {"error": in_both(self.error) if self.error else ""}


class Jobs:
    """All recordings of all windows.

    Args:
        folder: where their files are kept; the caller removes it.
        load: loads the model of a name.
    """

    def __init__(self, folder: Path, load: Callable[[str], Separator]) -> None:
        self._folder, self._load = folder, load
        self._jobs: dict[str, Job] = {}
        self._separators: dict[str, Separator] = {}
        self._turns = Turns()

    def new(self, name: str) -> Job:
        """Returns a job that waits for its file; raises InputError when too many others are not finished."""
        if sum(not job.is_finished for job in self._jobs.values()) >= MOST_AT_ONCE:
            raise InputError(f"{MOST_AT_ONCE} recordings are being separated; try again when one is done")
        finished = [job for job in self._jobs.values() if job.is_finished]
        for job in finished[: max(0, len(self._jobs) + 1 - MOST_KEPT)]:
            self.remove(job.id)
        job = Job(name, self._folder)
        self._jobs[job.id] = job
        return job

    def get(self, job_id: str) -> Job | None:
        """Returns a job; None when there is none of that number."""
        return self._jobs.get(job_id)

    def remove(self, job_id: str) -> None:
        """Stops a job and forgets it with its files."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return
        job.stop.set()
        if job.is_finished:
            shutil.rmtree(job.folder, ignore_errors=True)

    def start(self, job: Job, model: str) -> None:
        """Begins to separate a job's file with a model."""
        threading.Thread(target=self._run, args=(job, model), name=f"job {job.id}", daemon=True).start()

    def _run(self, job: Job, model: str) -> None:
        try:
            recording = Recording(job.input, name=job.name)
            with self._turns.turn():
                self._separate(job, recording, model)
            job.state = "done"
        except Stopped:
            job.state = "stopped"
        except Exception as error:  # one window's trouble is not another's
            job.error, job.state = one_line(describe_error(error)), "failed"
            if not isinstance(error, InputError):
                log.error("%s", one_line(f"{job.name}: {job.error}"))
        if job.stop.is_set():
            shutil.rmtree(job.folder, ignore_errors=True)

    def _separate(self, job: Job, recording: Recording, model: str) -> None:
        """Writes mixture.wav and voice_1.wav, ..., and draws them."""

        def go_on(part: float) -> None:
            job.progress = part
            self._turns.pass_on()
            if job.stop.is_set():
                raise Stopped

        go_on(0)
        job.state = "working"
        if model not in self._separators:
            self._separators[model] = self._load(model)
        separator = self._separators[model]
        voices = [job.folder / f"voice_{number}.wav" for number in range(1, separator.config.num_spks + 1)]
        separate_file(separator, recording, voices, chunking=Chunking(), overwrite=True, progress=go_on)
        mixture = job.folder / "mixture.wav"
        write_wavs(
            [mixture],
            (block[:, None] for block in recording.blocks()),
            sample_rate=recording.sample_rate,
            n_samples=recording.n_samples,
        )
        job.signals = draw([mixture, *voices])
