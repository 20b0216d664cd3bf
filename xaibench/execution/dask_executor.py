"""Executor that runs units on a Dask cluster: a running one, or local worker processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Event, Future, KilledWorker, LocalCluster, get_worker, wait
from distributed.utils import sync
from pydantic import Field

from xaibench.core.errors import UsageError, XaibenchError
from xaibench.execution.messages import WorkerError
from xaibench.execution.remote import (
    Chunk,
    ChunkFactory,
    ChunkProgress,
    ChunkResult,
    one_chunk_at_a_time,
    work_off,
    written,
)
from xaibench.execution.settings import Amount, Amounts, Count, ExecutorSettings
from xaibench.execution.task import Emit, Options, Stop, Task, UnitsFailed, WorkerGone
from xaibench.execution.worker import device_of
from xaibench.store import Store

STOP_POLL_SECONDS = 0.2
"""Seconds between looks at the wish to stop."""
ROUNDS = 2
"""Chunks that every thread of the cluster gets of a problem, at least."""
LOG_TAIL_LINES = 30
"""Last lines of a worker's output that a lost unit shows."""
MAX_CHUNK_UNITS = 8
"""Units of a chunk, at most, unless the setting ``units`` says otherwise."""


class DaskSettings(ExecutorSettings):
    """Settings of the executor ``dask``.

    Attributes
    ----------
    scheduler : str, optional
        Address; without one, a cluster of ``workers`` processes is started.
    units : int, optional
        Units of a chunk.
    resources : dict of str to float
        What a chunk takes of what workers announce, given as ``GPU=1,MEMORY=8e9``; ``GPU=1`` by default if the
        device is ``cuda`` and there are such workers.
    wait : float
        Seconds for the scheduler to answer and for the first worker to come.
    """

    scheduler: str | None = None
    units: Count | None = None
    resources: Amounts = Field(default_factory=dict)
    wait: Amount = 60.0


class Dask:
    """Chunks of units as Dask tasks.

    Workers write into the store if they see it (the same folder or URL); otherwise rows and
    explanations come back and are written here. Dask restarts the chunks of a
    lost worker a few times; then their units are submitted one by one, so that only the unit that ends
    its worker every time is lost.

    Parameters
    ----------
    store : Store
    options : Options
        With ``timeout`` or ``memory``, a chunk runs in a process of its own beside the Dask worker.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self.store = store
        self.options = options
        self.settings = DaskSettings.read("dask", options.settings)
        watched = options.timeout is not None or options.memory is not None
        self.factory = ChunkFactory(store, replace(options, workers=int(watched)))
        self._name = ""
        self._log: str | None = None
        self._numbers = itertools.count()
        self._attempts: Counter[int] = Counter()
        self._flying: dict[Future[Any], Chunk] = {}

    def run(self, tasks: Iterable[Task], emit: Emit, stop: Stop) -> None:
        with _connected(self.settings, self.options) as client, tempfile.TemporaryDirectory() as log:
            self._log = None if self.settings.scheduler else log
            self._wait_for_workers(client)
            self._name = f"xaibench-{uuid.uuid4().hex}"
            halt = Event(self._name, client=client)
            chunks = self._chunks(client, tasks)
            queue: list[Chunk] = []
            try:
                while True:
                    if stop():
                        halt.set()
                        queue.clear()
                    else:
                        self._hand_in(client, chunks, queue)
                    if not self._flying:
                        return
                    for future in _done(self._flying):
                        self._take(client, future, self._flying.pop(future), queue, emit)
            finally:
                client.cancel(list(self._flying))
                self._flying.clear()

    def _wait_for_workers(self, client: Client) -> None:
        try:
            client.wait_for_workers(1, timeout=self.settings.wait)
        except TimeoutError as error:
            where = f"no worker connected to {client.scheduler.address} within {self.settings.wait:g} s"
            raise UsageError(where, "start one: dask worker ADDRESS") from error

    def _chunks(self, client: Client, tasks: Iterable[Task]) -> Iterator[Chunk]:
        for task in tasks:
            fair = -(-len(task.jobs) // (ROUNDS * _threads(client)))
            yield from self.factory.divide([task], self.settings.units or min(fair, MAX_CHUNK_UNITS))

    def _hand_in(self, client: Client, chunks: Iterator[Chunk], queue: list[Chunk]) -> None:
        """Keep every thread of the cluster busy, and no more in flight: what waits at a worker is lost with it."""
        threads = _threads(client)
        resources = self.settings.resources or _graphics(client, self.options.device)
        while len(self._flying) < threads:
            chunk = queue.pop(0) if queue else next(chunks, None)
            if chunk is None:
                return
            key = f"{self._name}-{next(self._numbers)}"
            future = client.submit(_answer, chunk, self._name, key, self._log, key=key, pure=False, resources=resources)
            self._flying[future] = chunk

    def _take(self, client: Client, future: Future[Any], chunk: Chunk, queue: list[Chunk], emit: Emit) -> None:
        """Handle the result or the failure of a chunk."""
        if future.status == "cancelled":
            raise WorkerError("the Dask scheduler is gone", "start it, and run the same command again to resume")
        progress = ChunkProgress(chunk)
        if future.status == "finished":
            answer: ChunkResult = future.result()
            answer.save(self.store)
            for event in answer.events:
                progress.take(event, emit)
            return
        error = future.exception()
        if not isinstance(error, KilledWorker):
            raise error if isinstance(error, XaibenchError) else WorkerError(f"{type(error).__name__}: {error}")
        for event in written(self.store, chunk.task):
            progress.take(event, emit)
        rest = progress.rest()
        if len(chunk.task.jobs) > 1:
            queue.extend(self.factory.chunk(chunk.task.only(job)) for job in rest)
            return
        begun = Event(future.key, client=client).is_set()
        for job in rest:
            self._attempts[job.number] += begun
            if not begun or self._attempts[job.number] <= self.options.retry:  # else it was its neighbour
                emit(WorkerGone(job.number))
                queue.append(self.factory.chunk(chunk.task.only(job)))
            else:
                emit(UnitsFailed((job.number,), _killed(error, self._log)))


def _answer(chunk: Chunk, halt: str, begun: str, log: str | None) -> ChunkResult:
    """Run a chunk in a Dask worker, and report first that it has begun, because the worker may die."""
    answer = ChunkResult()
    worker = get_worker()
    looked, said = 0.0, False

    def stop() -> bool:
        nonlocal looked, said
        if not said and time.monotonic() - looked > STOP_POLL_SECONDS:
            said, looked = bool(sync(worker.loop, worker.scheduler.event_is_set, name=halt)), time.monotonic()
        return said

    if stop():
        return answer
    if log is not None:
        _redirect(log, worker.name)
    number = re.search(r"\d+$", str(worker.name))  # a number, NAME-3, or an address: all spread workers over devices
    device = device_of(chunk.options.device, int(number[0]) if number else 0)
    options = replace(chunk.options, device=device)
    with one_chunk_at_a_time():
        sync(worker.loop, worker.scheduler.event_set, name=begun)
        answer.files = work_off(replace(chunk, options=options), answer.events.append, stop)
    return answer


@contextmanager
def _connected(settings: DaskSettings, options: Options) -> Iterator[Client]:
    """A client of the cluster at the address of its scheduler, or of one that lasts as long as this."""
    address = settings.scheduler
    own = {
        "distributed.scheduler.allowed-failures": max(1, options.retry),
        "distributed.scheduler.worker-ttl": None,  # what holds the interpreter lock for long is not dead
        "distributed.deploy.lost-worker-timeout": "1 hour",  # a new process may take long to import torch
    }
    with dask.config.set({} if address else own):
        if address is None:
            cluster = LocalCluster(
                n_workers=max(1, options.workers),
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=":0",
                silence_logs="CRITICAL",
                preload=["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],  # Ctrl-C is for this process
            )
            with cluster, Client(cluster) as client:
                yield client
            return
        try:
            client = Client(address, timeout=settings.wait)
        except (OSError, ValueError) as error:
            raise UsageError(f"no Dask scheduler answers at {address}", "start one: dask scheduler") from error
        with client:
            yield client


def _redirect(folder: str, name: str | int) -> None:
    """Redirect the output of this process to a file."""
    global _redirected
    if _redirected:
        return
    _redirected = True
    file = os.open(f"{folder}/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


_redirected = False


def _done(flying: Iterable[Future[Any]]) -> list[Future[Any]]:
    """Futures that are over, after a moment in which one may become so."""
    try:
        found: list[Future[Any]] = list(
            wait(list(flying), timeout=STOP_POLL_SECONDS, return_when="FIRST_COMPLETED").done
        )
    except TimeoutError:
        return []
    return found


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _threads(client: Client) -> int:
    """Threads of the cluster as it is now; at least one, so that one that grows with its work does."""
    return max(1, sum(int(w["nthreads"]) for w in _workers(client)))


def _graphics(client: Client, device: str) -> dict[str, float] | None:
    """A graphics processor of those that workers announce, if one is to be used."""
    announced = device.startswith("cuda") and any("GPU" in w.get("resources", {}) for w in _workers(client))
    return {"GPU": 1} if announced else None


def _killed(error: KilledWorker, log: str | None) -> dict[str, Any]:
    """Why a unit is lost whose workers were lost again and again."""
    text = f"{error.allowed_failures + 1} Dask workers ended with it, the last one {error.last_worker.address}"
    words = ""
    if log is not None:
        with contextlib.suppress(OSError):
            words = Path(log, f"{error.last_worker.name}.log").read_text(errors="replace")
    lines = "\n".join(words.splitlines()[-LOG_TAIL_LINES:])
    return {"status": "failed", "error_kind": "WorkerDied", "message": text, "traceback": lines or None}
