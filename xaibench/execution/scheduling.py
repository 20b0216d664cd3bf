"""Scheduling of workers: problems with their queues of units, and portions of a unit that workers share."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from xaibench.execution.messages import Do, Help
from xaibench.execution.task import Job, Task
from xaibench.execution.worker_process import Process

WORTH_STARTING, WORTH_ASKING = 8.0, 1.0
"""Seconds that a worker has been busy with a unit from which on others help: new ones, and those that are there."""


@dataclass
class ProblemQueue:
    """A problem that is being worked on."""

    task: Task
    waiting: deque[Job]
    prepared: bool = False
    deaths: int = 0


@dataclass(eq=False)
class Worker:
    """A process with what it is doing.

    Attributes
    ----------
    since : float
        When its unit was started; infinite while it has none.
    until : float
        When it is ended if it can be taken up again; infinite until it is told to stop.
    portions : deque of int or None
        What is left of its unit, where that has portions.
    asking : bool
        Whether it waits for a portion until those who help have finished theirs.
    helps : Worker or None
        Whom it answers ``portion`` for.
    """

    process: Process
    slot: int
    ready: bool = False
    queue: ProblemQueue | None = None
    job: Job | None = None
    preparing: bool = False
    since: float = math.inf
    due: tuple[str, ...] = ()
    explained: bool = False
    scored: set[str] = field(default_factory=set)
    finished: bool = False
    halted: bool = False
    until: float = math.inf
    log_open: bool = True
    portions: deque[int] | None = None
    asking: bool = False
    helps: Worker | None = None
    portion: int = 0

    @property
    def starting(self) -> bool:
        return not self.ready and self.queue is None and self.helps is None

    @property
    def busy(self) -> bool:
        return self.job is not None or self.helps is not None

    def begin(self, queue: ProblemQueue, job: Job) -> None:
        """Send a unit."""
        self.queue, self.job, self.ready = queue, job, False
        self.preparing = self.explained = self.finished = self.asking = False
        self.since, self.portions = math.inf, None
        self.scored, self.due = set(), ()
        self.process.forget_log()
        self.process.send(queue.task.only(job))  # if the process is gone, the pool finds out

    def in_hand(self) -> str | None:
        """Id of the cell that is being scored; None before the attributions are there."""
        return next((c for c in self.due if c not in self.scored), None) if self.explained else None

    def help(self, other: Worker) -> None:
        """Take the last portion of another worker's unit."""
        assert other.portions is not None
        assert other.queue is not None
        assert other.job is not None
        self.helps, self.portion, self.ready = other, other.portions.pop(), False
        self.process.forget_log()
        self.process.send(Help(other.queue.task.only(other.job), self.portion))


def shareable(workers: Iterable[Worker], after: float) -> Worker | None:
    """The worker that has most portions left, of those who have been busy for this long."""
    since = time.monotonic() - after
    found = [w for w in workers if w.portions and w.since < since and not w.halted]
    return max(found, key=lambda w: len(w.portions or ()), default=None)


def give_portion(worker: Worker, workers: Iterable[Worker]) -> None:
    """Answer a worker that asks; one with nothing left waits for those who help it."""
    worker.asking = not worker.portions and any(w.helps is worker for w in workers)
    if not worker.asking and not worker.halted:
        worker.process.send(Do(worker.portions.popleft() if worker.portions else None))


def helped(helper: Worker, workers: Iterable[Worker], *, done: bool) -> None:
    """A portion is answered, or, if its helper is gone, given back."""
    owner, helper.helps = helper.helps, None
    if owner is None or owner.portions is None:
        return
    if not done:
        owner.portions.append(helper.portion)
    if owner.asking:
        give_portion(owner, workers)
