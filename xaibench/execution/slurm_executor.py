"""Executor that runs units as jobs of a Slurm cluster, submitted by submitit."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import shlex
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import submitit

from xaibench.core.errors import UsageError, XaibenchError
from xaibench.execution.messages import WorkerError
from xaibench.execution.remote import Chunk, ChunkFactory, ChunkProgress, one_chunk_at_a_time, work_off
from xaibench.execution.settings import Count, ExecutorSettings
from xaibench.execution.task import Emit, Event, Options, Stop, Task, UnitsFailed, WorkerGone
from xaibench.store import Store

JOB_POLL_SECONDS = 0.5
"""Seconds between looks at what jobs have written."""
UNITS_PER_JOB = 16
"""Units of a job, unless the setting ``units`` says otherwise."""
ARRAY = 500
"""Jobs of an array, at most."""
MINUTES = 60
"""Time limit of a job, unless the setting ``time`` says otherwise."""
LATE = 10.0
"""Seconds that a job's last words may need to be seen from here, when the job is over."""
_LINES = 30
_STATES = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "OUT_OF_MEMORY": "oom"}


@dataclass(frozen=True)
class Over:
    """The last message of a job, with the error that it ended with if that ends the run."""

    error: XaibenchError | None = None


@dataclass
class _Flight:
    """A job that was submitted, and what has come from it."""

    chunk: Chunk
    job: Any
    stem: str
    progress: ChunkProgress
    read: dict[Path, int] = field(default_factory=dict)
    over: Over | None = None
    ended: float | None = None


class SlurmSettings(ExecutorSettings, extra="allow"):
    """Settings of the executor ``slurm``; what is not named here goes to sbatch, as far as submitit knows it.

    Such are ``partition``, ``mem``, ``account``, ``qos``, ``gres``, ``constraint``, ``array_parallelism``, ...

    Attributes
    ----------
    units : int
        Units of a job.
    cluster : str, optional
        ``local`` and ``debug`` run without Slurm.
    time : int
        Time limit of a job in minutes.
    folder : str, optional
        A folder that all machines see, for jobs and their logs; beside the store by default.
    """

    units: Count = UNITS_PER_JOB
    cluster: str | None = None
    time: Count = MINUTES
    folder: str | None = None


class Slurm:
    """Job arrays, a job for every chunk of units, on a store that all machines see.

    Jobs write their results into the store and tell what happens in files beside it, which are read
    here. A unit whose job ends in the middle of it is lost if it was the first of its job, else it
    and those after it are submitted again.

    Parameters
    ----------
    store : Store
    options : Options
        ``workers`` processes in each job; 0 works in the job's own process, unless ``timeout`` or
        ``memory`` ask for one that can be ended.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self.store = store
        self.options = options
        settings = SlurmSettings.read("slurm", options.settings)
        self.units = settings.units
        self.cluster = settings.cluster or "slurm"
        processors = max(1, options.workers) * options.threads
        self.parameters: dict[str, Any] = {"time": settings.time, "cpus_per_task": processors}
        self.parameters |= settings.model_extra or {}
        if not settings.folder and not isinstance(store.path, Path):
            raise UsageError("jobs need a folder that all machines see", "give one with --set folder=PATH")
        self.folder = Path(settings.folder or f"{store.path}.jobs").resolve()
        watched = options.timeout is not None or options.memory is not None
        self.factory = ChunkFactory(store, replace(options, workers=max(options.workers, int(watched))))
        self._attempts: Counter[int] = Counter()
        self._flights: list[_Flight] = []
        self._died = False
        self.place = self.folder / uuid.uuid4().hex[:12]
        self._executor = self._submitit()

    def run(self, tasks: Iterable[Task], emit: Emit, stop: Stop) -> None:
        place = self.place
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
        chunks = self.factory.divide(tasks, self.units)
        again: list[Chunk] = []
        halt = place / "halt"
        try:
            while True:
                if stop():
                    self._halt(halt)
                    again.clear()
                elif len(self._flights) <= ARRAY // 2:
                    batch = list(itertools.islice(itertools.chain(_drained(again), chunks), ARRAY - len(self._flights)))
                    self._submit(batch)
                if not self._flights:
                    break
                for flight in list(self._flights):
                    self._look(flight, again, emit)
                time.sleep(JOB_POLL_SECONDS)
        except BaseException:
            halt.touch()
            raise
        finally:
            for flight in self._flights:
                _cancel(flight.job)
            self._flights.clear()
        if not self._died:  # logs are of use where a job has died
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def _submitit(self) -> Any:
        try:
            executor = submitit.AutoExecutor(folder=self.place / "%j", cluster=self.cluster)
            executor.update_parameters(name="xaibench", **_named(self.parameters))
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            why = str(error).partition("\n")[0].partition(". Valid")[0]
            raise UsageError(
                f"Slurm jobs cannot be submitted: {why}", "name parameters of sbatch, on a login node of the cluster"
            ) from error
        return executor

    def _submit(self, batch: list[Chunk]) -> None:
        if not batch:
            return
        stems = [str(self.place / uuid.uuid4().hex) for _ in batch]
        try:
            jobs = self._executor.map_array(work_and_tell, batch, stems, [str(self.place / "halt")] * len(batch))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UsageError(f"sbatch refuses the jobs: {error}", "check --partition, --time and --set") from error
        for chunk, job, stem in zip(batch, jobs, stems, strict=True):
            self._flights.append(_Flight(chunk, job, stem, ChunkProgress(chunk)))

    def _halt(self, halt: Path) -> None:
        """Tell running jobs to begin nothing new, and take back those that have not begun."""
        if halt.exists():
            return
        halt.touch()
        for flight in list(self._flights):
            if not _told(flight.stem):
                _cancel(flight.job)
                self._flights.remove(flight)

    def _look(self, flight: _Flight, again: list[Chunk], emit: Emit) -> None:
        """Read what a job has reported, and notice its end."""
        ended = flight.job.done()  # here debug jobs do their work
        for event in _read(flight):
            if isinstance(event, Over):
                flight.over = event
            else:
                flight.progress.take(event, emit)
        if flight.over is not None and flight.over.error is not None:
            raise flight.over.error
        if ended or flight.over is not None:
            flight.ended = flight.ended or time.monotonic()
        late = flight.ended is not None and time.monotonic() - flight.ended > (LATE if self.cluster == "slurm" else 0)
        if late or (ended and flight.over is not None):
            self._flights.remove(flight)
            if flight.over is None:
                self._bury(flight, again, emit)

    def _bury(self, flight: _Flight, again: list[Chunk], emit: Emit) -> None:
        """Account for the units of a job that ended without a last message."""
        self._died = True
        failure = _failure(flight.job)
        left = flight.progress.rest()
        caught = [j for j in left if j.number in flight.progress.begun] or left
        first = flight.chunk.task.jobs[0].number
        for job in left:
            if job in caught and (job.number == first or not flight.progress.begun):
                self._attempts[job.number] += 1
                if self._attempts[job.number] > self.options.retry:
                    emit(UnitsFailed((job.number,), dict(failure)))
                    continue
            if flight.progress.partly(job.number):
                emit(WorkerGone(job.number))
            again.append(self.factory.chunk(flight.chunk.task.only(job)))


def work_and_tell(chunk: Chunk, stem: str, halt: str) -> None:
    """Run a chunk in a job, and write what happens into a file, event by event."""
    wish = Path(halt)
    with Path(f"{stem}-{uuid.uuid4().hex[:8]}.events").open("wb", buffering=0) as file:

        def tell(event: Event | Over) -> None:
            content = pickle.dumps(event)
            file.write(len(content).to_bytes(8, "big") + content)

        try:
            with one_chunk_at_a_time():
                work_off(chunk, tell, wish.exists)
        except XaibenchError as error:
            tell(Over(error))
        except Exception as error:
            tell(Over(WorkerError(f"a job ended with {type(error).__name__}: {error}")))
            raise
        else:
            tell(Over())


def _told(stem: str) -> list[Path]:
    """Files in which a job reports what happens, one for every time that it was begun."""
    path = Path(stem)
    return sorted(path.parent.glob(f"{path.name}-*.events"))


def _read(flight: _Flight) -> Iterator[Event | Over]:
    """What a job has reported since the last look; an incomplete message waits for its rest."""
    for path in _told(flight.stem):
        with path.open("rb") as file:
            file.seek(flight.read.get(path, 0))
            content = file.read()
        start = 0
        while len(content) >= start + 8:
            end = start + 8 + int.from_bytes(content[start : start + 8], "big")
            if end > len(content):
                break
            yield pickle.loads(content[start + 8 : end])
            start = end
        flight.read[path] = flight.read.get(path, 0) + start


def _drained(chunks: list[Chunk]) -> Iterator[Chunk]:
    while chunks:
        yield chunks.pop(0)


def _named(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as submitit wants them: those of sbatch with its prefix, numbers as numbers, commands as lists."""
    found: dict[str, Any] = {k: int(v) if str(v).isdecimal() else v for k, v in parameters.items()}
    found |= {name: str(found[name]).split(";") for name in ("setup", "teardown") if name in found}
    if "srun_args" in found:
        found["srun_args"] = shlex.split(str(found["srun_args"]))
    return {f"slurm_{name}": value for name, value in found.items()}


def _cancel(job: Any) -> None:
    with contextlib.suppress(Exception):
        job.cancel(check=False)


def _failure(job: Any) -> dict[str, Any]:
    """Why the units of a job are lost that ended on its own."""
    state = str(job.state).split()[0].rstrip("+") if job.state else "UNKNOWN"
    text = f"job {job.job_id} ended in state {state}"
    words = ""
    for read in (job.stdout, job.stderr):
        with contextlib.suppress(OSError):
            words += read() or ""
    lines = words.splitlines()[-_LINES:]
    status = _STATES.get(state, "failed")
    return {"status": status, "error_kind": "JobDied", "message": text, "traceback": "\n".join(lines) or None}
