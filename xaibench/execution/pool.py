"""The local pool: worker processes that are monitored, stopped on a limit, and replaced."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

from xaibench.execution.messages import Broken, Halt, PortionRequest, Ready, Setup, WorkerError
from xaibench.execution.scheduling import (
    WORTH_ASKING,
    WORTH_STARTING,
    ProblemQueue,
    Worker,
    give_portion,
    helped,
    shareable,
)
from xaibench.execution.task import (
    CellCrashed,
    Emit,
    Explained,
    Finished,
    Job,
    Options,
    Preparing,
    ProblemReady,
    Scored,
    Started,
    Stop,
    Task,
    UnitsFailed,
    WorkerGone,
)
from xaibench.execution.worker_process import Process
from xaibench.store import Store

CLOCK_POLL_SECONDS = 0.1
"""Seconds between looks at clocks and processes, while nothing comes in."""
MESSAGES_PER_TURN = 100
"""Messages that are taken from one worker before the others have their turn."""
MEMORY_EVERY = 0.5
"""Seconds between looks at the memory of workers, where it is limited."""
CHANCES = 2
"""Workers that a problem may cost before it is prepared, and that may fail to start one after the other."""
PATIENCE = 1.0
"""Seconds after the word to stop from which on a worker is ended that can be taken up again at any moment."""
EXIT_GRACE = 5.0
"""Seconds for a process to end that has closed its connection."""


class Pool:
    """Worker processes on this machine.

    A worker stays with its problem while that has units left. One that has nothing to do takes the next
    problem; when there is none, it helps with the one that has most units left, once its first worker
    has prepared it. What a worker's death costs is its unit and nothing else.

    Parameters
    ----------
    store : Store
    options : Options
        ``workers``, ``timeout``, ``memory`` and ``retry`` are for this class.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self.options = options
        self.store = store
        self._workers: list[Worker] = []
        self._queues: list[ProblemQueue] = []
        self._tasks: Iterator[Task] = iter(())
        self._next: Task | None = None
        self._attempts: Counter[int] = Counter()
        self._failed_starts = 0
        self._looked = 0.0

    def start(self, n: int | None = None) -> None:
        """Start workers, up to all of them: they import while this process still plans."""
        for _ in range(self.options.workers - len(self._workers) if n is None else n):
            taken = {w.slot for w in self._workers}
            slot = next(i for i in range(self.options.workers) if i not in taken)
            self._workers.append(Worker(Process(Setup(self.store.path, self.options, slot)), slot))

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.close()
        self._workers.clear()

    def run(self, tasks: Iterable[Task], emit: Emit, stop: Stop) -> None:
        self._tasks = iter(tasks)
        try:
            while True:
                stopping = stop()
                if stopping:
                    self._halt()
                else:
                    self._deal()
                if not any(w.busy for w in self._workers) and (stopping or not self._work_left()):
                    return
                self._listen(emit)
                self._watch(emit)
        except KeyboardInterrupt:
            for worker in self._workers:
                job = worker.job
                if job is not None:
                    self._drain(worker, emit)
                    emit(WorkerGone(job.number))
            raise
        finally:
            self.close()

    # Giving work

    def _work_left(self) -> bool:
        return bool(self._peek()) or any(c.waiting for c in self._queues)

    def _peek(self) -> int:
        """Number of units of the next problem that no worker has."""
        if self._next is None:
            self._next = next(self._tasks, None)
        return 0 if self._next is None else len(self._next.jobs)

    def _deal(self) -> None:
        for worker in self._workers:
            if worker.ready:
                found = self._find(worker)
                other = shareable(self._workers, WORTH_ASKING) if found is None else None
                if found is not None:
                    worker.begin(*found)
                elif other is not None:
                    worker.help(other)
        self._queues = [c for c in self._queues if c.waiting or any(w.queue is c for w in self._workers)]
        shared = shareable(self._workers, WORTH_STARTING)
        wanted = sum(len(c.waiting) for c in self._queues) + self._peek() - sum(w.starting for w in self._workers)
        wanted += len(shared.portions or ()) if shared is not None else 0
        self.start(max(0, min(wanted, self.options.workers - len(self._workers))))

    def _find(self, worker: Worker) -> tuple[ProblemQueue, Job] | None:
        """What an idle worker does next."""
        own = worker.queue
        if own is not None and own.waiting:
            return own, own.waiting.popleft()
        orphan = next((c for c in self._queues if c.waiting and not any(w.queue is c for w in self._workers)), None)
        if orphan is None and self._peek() and self._next is not None:
            orphan = ProblemQueue(self._next, deque(self._next.jobs))
            self._queues.append(orphan)
            self._next = None
        if orphan is not None:
            return orphan, orphan.waiting.popleft()
        most = max((c for c in self._queues if c.prepared), key=lambda c: len(c.waiting), default=None)
        if most is None or not most.waiting:
            return None
        return most, most.waiting.pop()

    def _halt(self) -> None:
        """Ask busy workers to stop work that can be resumed."""
        for worker in self._workers:
            if worker.busy and not worker.halted:
                worker.halted, worker.until = True, time.monotonic() + PATIENCE
                worker.process.send(Halt())

    # Listening and watching

    def _listen(self, emit: Emit) -> None:
        """Receive messages of workers for a moment."""
        by_source: dict[Any, Worker] = {}
        for worker in self._workers:
            by_source[worker.process.connection] = worker
            if worker.log_open:
                by_source[worker.process.log] = worker
        for source in wait(list(by_source), timeout=CLOCK_POLL_SECONDS):
            worker = by_source[source]
            if worker not in self._workers:
                continue
            if source is not worker.process.connection:
                worker.log_open = worker.process.read_log()
                continue
            try:
                for _ in range(MESSAGES_PER_TURN):
                    self._take(worker, worker.process.receive(), emit)
                    if not worker.process.waiting():
                        break
            except EOFError:
                self._bury(worker, emit)

    def _take(self, worker: Worker, message: Any, emit: Emit) -> None:
        queue, job = worker.queue, worker.job
        match message:
            case Ready():
                worker.ready, worker.job, worker.portions = True, None, None
                self._failed_starts = 0
                helped(worker, self._workers, done=True)
                return
            case PortionRequest(n):
                if worker.portions is None:
                    worker.portions = deque(range(n))
                give_portion(worker, self._workers)
                return
            case Broken(error):
                raise error
            case Preparing():
                worker.preparing = True
            case ProblemReady():
                worker.preparing = False
                if queue is not None:
                    queue.prepared = True
            case Started(_, due):
                worker.since, worker.due = time.monotonic(), due
            case Explained():
                worker.explained = True
            case Scored(_, row):
                worker.scored.add(row.cell_id)
            case Finished():
                worker.finished, worker.since = True, math.inf
            case UnitsFailed(problem=str()) if queue is not None and job is not None:
                worker.finished = True
                if queue.prepared and queue.deaths + 1 < CHANCES:  # others manage
                    queue.deaths += 1
                    queue.waiting.append(job)
                    return
                message = self._give_up(queue, job, message.failure)
        emit(message)

    def _give_up(self, queue: ProblemQueue, job: Job | None, failure: dict[str, Any]) -> UnitsFailed:
        """The end of a problem that cannot be prepared."""
        numbers = [j.number for j in ([job] if job else []) + list(queue.waiting)]
        queue.waiting.clear()
        return UnitsFailed(tuple(numbers), failure, None if queue.prepared else queue.task.problem.key)

    def _watch(self, emit: Emit) -> None:
        now = time.monotonic()
        limit = self.options.memory
        look = limit is not None and now - self._looked > MEMORY_EVERY
        for worker in list(self._workers):
            if now > worker.until and (worker.portions is not None or worker.helps is not None):
                self._drain(worker, emit)  # its answers are stored
                self._workers.remove(worker)
                worker.process.close()
            elif not worker.process.alive():
                self._bury(worker, emit)
            elif self._too_late(worker, now):
                text = f"not finished after {self.options.timeout:g} s (--timeout)"
                self._bury(worker, emit, {"status": "timeout", "error_kind": "Timeout", "message": text})
            elif look and limit is not None and (held := worker.process.memory()) > limit:
                text = f"held {_size(held)}, more than the {_size(limit)} of --memory"
                self._bury(worker, emit, {"status": "oom", "error_kind": "MemoryLimit", "message": text})
        if look:
            self._looked = now

    def _too_late(self, worker: Worker, now: float) -> bool:
        """Whether a worker has been busy with its unit for too long, and not this process with something else."""
        limit = self.options.timeout
        return limit is not None and now - worker.since > limit and not worker.process.waiting()

    def _drain(self, worker: Worker, emit: Emit) -> None:
        """Receive what a process had sent before its end."""
        worker.process.kill()
        try:
            while worker.process.waiting():
                self._take(worker, worker.process.receive(), emit)
        except EOFError:
            pass

    def _bury(self, worker: Worker, emit: Emit, failure: dict[str, Any] | None = None) -> None:
        """End a worker, receive what it had sent, and account for the rest of its unit."""
        process = worker.process
        deadline = time.monotonic() + EXIT_GRACE
        while failure is None and process.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        lost = failure is None and process.alive()
        never_ready = worker.starting
        self._drain(worker, emit)
        self._workers.remove(worker)
        how = "closed its connection" if lost else process.how_it_ended()
        if failure is not None:
            how = failure["message"]
        words = process.last_words()
        process.close()
        if never_ready:
            self._failed_starts += 1
            if self._failed_starts >= CHANCES + 1:
                raise WorkerError(f"worker processes do not start: the last one {how}\n{words}".rstrip())
        helped(worker, self._workers, done=False)
        job, queue = worker.job, worker.queue
        if job is None or queue is None or worker.finished:
            return
        from_outside = failure is None and (lost or process.killed_by_signal)
        if failure is None:
            failure = {"status": "failed", "error_kind": "WorkerDied", "message": f"the worker process {how}"}
        failure["message"] += f", {self._where(worker)}"
        failure["traceback"] = words or None
        culprit = worker.in_hand()
        if worker.preparing:
            queue.deaths += 1
            if queue.deaths < CHANCES:
                queue.waiting.appendleft(job)
            else:
                emit(self._give_up(queue, job, failure))
        elif from_outside and self._attempts[job.number] < self.options.retry:
            self._attempts[job.number] += 1
            emit(WorkerGone(job.number))
            queue.waiting.appendleft(job.without(worker.scored))
        elif culprit is not None:
            emit(CellCrashed(job.number, culprit, failure))
            queue.waiting.appendleft(job.without({*worker.scored, culprit}))
        else:
            emit(UnitsFailed((job.number,), failure))

    @staticmethod
    def _where(worker: Worker) -> str:
        if worker.preparing:
            return "while it prepared the problem"
        return "while it scored this cell" if worker.in_hand() else "while it explained"


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
