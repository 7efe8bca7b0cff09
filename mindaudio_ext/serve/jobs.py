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

from mindaudio_ext.data.rttm import write_rttm
from mindaudio_ext.errors import InputError, describe_error, one_line
from mindaudio_ext.inference.activity import Speech
from mindaudio_ext.inference.chunking import Chunking
from mindaudio_ext.inference.recording import Recording, write_wavs
from mindaudio_ext.inference.separate_file import separate_file
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.serve.pictures import draw
from mindaudio_ext.serve.words import in_both

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8  # recordings that are not finished
MOST_KEPT = 32  # recordings, finished ones included; the oldest finished go first
RTTM = "turns.rttm"  # in a job's folder
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
        speech: who speaks when, of a finished one and a model for conversations; None else.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.id = secrets.token_urlsafe(16)
        self.name, self.folder = name, folder / self.id
        self.folder.mkdir()
        self.state, self.progress, self.error = "waiting", 0.0, ""
        self.signals: list[dict[str, Any]] = []
        self.speech: Speech | None = None
        self.stop = threading.Event()

    @property
    def input(self) -> Path:
        """The file that the user gave."""
        return self.folder / "input"

    @property
    def downloads(self) -> dict[str, str]:
        """The files in the folder that the page may have -> what they are called when they are kept."""
        stem = Path(self.name).stem
        turns = {RTTM: f"{stem}.rttm"} if self.speech else {}
        return {signal["file"]: f"{stem}_{signal['file']}" for signal in self.signals} | turns

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is done."""
        return self.state not in _RUNNING

    def told(self) -> dict[str, Any]:
        """Returns what the page asks for again and again; `error` in both languages."""
        names = ("id", "name", "state", "progress", "signals")
        told = {name: getattr(self, name) for name in names} | {"error": in_both(self.error) if self.error else ""}
        return told | {"speech": self.speech and _told_speech(self.speech)}


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
        """Writes mixture.wav, voice_1.wav, ... and, of a model for conversations, the turns; draws the sounds."""

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
        rttm = job.folder / RTTM if separator.config.conversations else None
        done = separate_file(
            separator, recording, voices, chunking=Chunking(), overwrite=True, progress=go_on, rttm=rttm
        )
        mixture = job.folder / "mixture.wav"
        write_wavs(
            [mixture],
            (block[:, None] for block in recording.blocks()),
            sample_rate=recording.sample_rate,
            n_samples=recording.n_samples,
        )
        if rttm and done.speech:
            write_rttm(rttm, {Path(job.name).stem: done.speech.as_rttm()})  # a key that the user knows
        turns = None if done.speech is None else done.speech.turns
        job.signals, job.speech = draw([mixture, *done.outputs], turns=turns), done.speech


def _told_speech(speech: Speech) -> dict[str, Any]:
    """Returns what the page says: how many speak, and for how many per cent of the time nobody, one and several."""
    nobody, one, several = (round(100 * share) for share in speech.shares())
    return {"speakers": len(speech.speaking), "nobody": nobody, "one": one, "several": several, "file": RTTM}
