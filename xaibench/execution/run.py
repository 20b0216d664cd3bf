"""Running a plan: tasks go to an executor, events come back, and every result is written at once."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal

from xaibench.core.gates import Gate
from xaibench.execution.cached_cells import AlreadyDone, account_for_cached
from xaibench.execution.executor import Executor, find_executor
from xaibench.execution.observer import Observer
from xaibench.execution.provenance import provenance
from xaibench.execution.row_building import Facts, make_row, reason
from xaibench.execution.task import (
    CellCrashed,
    Event,
    Finished,
    Job,
    Options,
    Preparing,
    ProblemReady,
    Scored,
    Started,
    Task,
    Training,
    UnitsFailed,
    WorkerGone,
)
from xaibench.plan import Plan, PlannedUnit, planned_tables
from xaibench.plan.history import History
from xaibench.problems.specs import AnyProblemSpec
from xaibench.store import FAILURES, Row, Store

End = Literal["finished", "interrupted", "too many failures"]
UNANSWERED = {
    "status": "failed",
    "error_kind": "Unanswered",
    "message": "the executor came back without a result for this cell",
}
TIDY = 500
"""Units after which parts are merged while the run goes on: a killed run leaves few files to read."""


@dataclass
class Outcome:
    """How a run ended.

    Attributes
    ----------
    run : int
        Number of the run in its store.
    end : {"finished", "interrupted", "too many failures"}
    statuses : Counter
        Cells scored by this run, by status.
    cached : int
        Cells whose results were stored already.
    explained, reused : int
        Explanations that were made, and taken from the store.
    gates : dict
        Gates of the problems that were prepared.
    """

    run: int
    end: End = "finished"
    statuses: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    explained: int = 0
    reused: int = 0
    seconds: float = 0.0
    gates: dict[str, tuple[Gate, ...]] = field(default_factory=dict)

    @property
    def n_failed(self) -> int:
        return sum(self.statuses[s] for s in FAILURES)

    def count(self, rows: list[Row]) -> None:
        """Add the rows of a unit."""
        self.statuses.update(r.status for r in rows)
        if any(r.attribution_kind is not None for r in rows):
            if any(r.explain_cached for r in rows):
                self.reused += 1
            else:
                self.explained += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "end": self.end,
            "statuses": dict(self.statuses),
            "cached": self.cached,
            "explained": self.explained,
            "reused": self.reused,
            "seconds": round(self.seconds, 3),
        }


def execute(
    plan: Plan,
    store: Store,
    options: Options,
    observer: Observer | None = None,
    *,
    executor: Executor | None = None,
) -> Outcome:
    """Run a plan. Whatever is finished stays finished, however the run ends.

    The first Ctrl-C (or SIGTERM) lets the running units finish, the second stops at once; the next
    run resumes.

    Parameters
    ----------
    plan : Plan
    store : Store
    options : Options
    observer : Observer, optional
    executor : Executor, optional
        Who does the work; by default worker processes if there are to be any, else this process.

    Raises
    ------
    StoreError
        If results can no longer be written.
    """
    watch = observer or Observer()
    started = time.perf_counter()
    name = options.executor or ("pool" if options.workers else "inline")
    doer = executor or find_executor(name, store, options)
    run = store.claim_run(
        {
            **plan.facts(),
            "started": datetime.now(UTC).isoformat(),
            "plugins": list(options.plugins),
            "device": options.device,
            "executor": name,
            "workers": options.workers,
            "provenance": provenance(argv=options.argv, threads=options.threads),
        },
        planned_tables(plan.every_unit()),
    )
    outcome = Outcome(run)
    watch.started(plan, run)
    with _interruptible() as stop:
        _Coordinator(plan, store, options, watch, outcome, stop)(doer)
    outcome.seconds = time.perf_counter() - started
    store.finish_run(run, outcome.as_dict())
    store.compact()
    return outcome


@dataclass
class _OpenUnit:
    """A unit that is not finished: what the plan said, and what is known of it since."""

    planned: PlannedUnit
    due: tuple[str, ...] | None = None
    rows: list[Row] = field(default_factory=list)

    def missing(self) -> set[str]:
        """Cells that must have a row and have none."""
        due = [c.cell.cell_id for c in self.planned.todo] if self.due is None else self.due
        return set(due) - {r.cell_id for r in self.rows}

    def scored(self) -> list[Row]:
        """Rows of the cells that were due."""
        return [r for r in self.rows if r.cell_id in (self.due or ())]


class _Coordinator:
    """Gives tasks to the executor, and passes the events that come back to the store and the observer."""

    def __init__(
        self, plan: Plan, store: Store, options: Options, watch: Observer, outcome: Outcome, stop: threading.Event
    ) -> None:
        self.plan = plan
        self.store = store
        self.limit = options.max_failures
        self.watch = watch
        self.outcome = outcome
        self.stop = stop
        self.history = History.of(store)
        self.revived: set[tuple[str, str]] = set()
        self.open: dict[int, _OpenUnit] = {}
        self.specs: dict[str, AnyProblemSpec] = {}
        self.left: Counter[str] = Counter()
        self.facts: dict[str, Facts] = {}
        self.given_out = self.cut_short = self.told = False
        self.over = 0

    def __call__(self, executor: Executor) -> None:
        try:
            executor.run(self._tasks(), self.handle, self.ending)
            self._close()
        except KeyboardInterrupt:
            self.outcome.end = "interrupted"
            for unit in self.open.values():
                self.outcome.count(unit.rows)
        finally:
            self.store.revive(self.revived, self.outcome.run)

    def ending(self) -> bool:
        """Whether no unit may be begun any more."""
        ending = self.stop.is_set() or self._too_many()
        if ending and not self.told:
            self.told = True
            self.watch.stopping()
        return ending

    def _too_many(self) -> bool:
        return self.limit is not None and self.outcome.n_failed > self.limit

    def _tasks(self) -> Iterator[Task]:
        """A task per problem that has something to do; what needs no work is settled on the way."""
        number = 0
        for spec, planned in self.plan.by_problem():
            idle = not any(u.todo for u in planned)
            jobs = []
            for unit in planned:
                settled = account_for_cached(unit, self.history, self.outcome.run)
                if idle or not (unit.todo or settled.rows):
                    self._settle(settled)
                    continue
                number += 1
                known = self.history.of_cells((c.cell.cell_id, c.cell.unversioned_id) for c in unit.cells)
                jobs.append(Job(number, unit.unit, known))
                self.open[number] = _OpenUnit(unit)
            if jobs:
                self.specs[spec.key] = spec
                self.left[spec.key] = len(jobs)
                yield Task(spec, tuple(jobs), self.outcome.run, self.plan.rerun)
        self.given_out = True

    def _settle(self, settled: AlreadyDone) -> None:
        self.outcome.cached += settled.cached
        self.revived.update(settled.revived)
        if settled.rows:
            self.store.write_part(settled.rows)
            self.outcome.count(settled.rows)

    def handle(self, event: Event) -> None:
        """Handle an event."""
        match event:
            case Preparing(problem):
                if problem not in self.facts:
                    self.watch.preparing(self.specs[problem])
            case Training(problem, done, total, text):
                if problem not in self.facts:
                    self.watch.training(self.specs[problem], done, total, text)
            case ProblemReady(problem, facts):
                if problem not in self.facts:
                    self.facts[problem] = facts
                    self.outcome.gates[self.specs[problem].name] = facts.gates
                    self.watch.prepared(self.specs[problem], facts)
            case Started(number, due):
                if number in self.open:
                    self.open[number].due = (*(self.open[number].due or ()), *due)
                    self.watch.unit_started(self.open[number].planned)
            case Scored(number, row):
                if number in self.open:
                    self.open[number].rows.append(row)
                    self.watch.cell_scored(self.open[number].planned, row)
            case WorkerGone(number):
                if number in self.open and self.open[number].rows:
                    self.store.write_part(self.open[number].rows)
            case CellCrashed(number, cell_id, failure):
                if number in self.open:
                    self._fail(self.open[number], cell_id, failure)
            case Finished(number, cached, revived):
                if number in self.open:
                    self._finish(number, cached, revived)
            case UnitsFailed(numbers, failure, problem):
                for number in numbers:
                    if number in self.open:
                        self._lose(number, failure, shown=problem is None)
                if problem is not None:
                    self.watch.not_prepared(self.specs[problem], reason(failure))

    def _fail(self, unit: _OpenUnit, cell_id: str, failure: dict[str, Any]) -> None:
        """Give a cell its failure, and write down what came so far."""
        facts = self.facts.get(unit.planned.unit.problem.key)
        unit.rows += [
            make_row(unit.planned.unit, c.cell, self.outcome.run, about=facts, **failure)
            for c in unit.planned.cells
            if c.cell.cell_id == cell_id
        ]
        self.store.write_part(unit.rows)

    def _finish(self, number: int, cached: int, revived: tuple[tuple[str, str], ...]) -> None:
        unit = self.open[number]
        self.outcome.cached += cached
        self.revived.update(revived)
        if unit.missing():  # stopped in the middle
            self.cut_short = True
        self._count(number)

    def _lose(self, number: int, failure: dict[str, Any], *, shown: bool) -> None:
        """Write the rows that a lost unit has so far, and why the rest of its cells failed."""
        unit = self.open[number]
        settled = account_for_cached(unit.planned, self.history, self.outcome.run)
        self.outcome.cached += settled.cached
        self.revived.update(settled.revived)
        key = unit.planned.unit.problem.key
        missing = unit.missing()
        known = {r.cell_id for r in unit.rows}
        unit.rows += [r for r in settled.rows if r.cell_id not in known]
        unit.rows += [
            make_row(unit.planned.unit, c.cell, self.outcome.run, about=self.facts.get(key), **failure)
            for c in unit.planned.cells
            if c.cell.cell_id in missing
        ]
        if unit.rows:
            self.store.write_part(unit.rows)
        if unit.due is None:
            unit.due = tuple(missing)
        self._count(number, shown=shown)

    def _count(self, number: int, *, shown: bool = True) -> None:
        unit = self.open.pop(number)
        self.outcome.count(unit.rows)
        if shown:
            self.watch.unit_finished(unit.planned, unit.scored())
        self.over += 1
        if self.over % TIDY == 0:
            self.store.compact(at_least=TIDY)
        key = unit.planned.unit.problem.key
        self.left[key] -= 1
        if self.left[key] == 0 and key in self.facts:
            self.watch.problem_finished(self.specs[key])

    def _close(self) -> None:
        """Say how the run has ended."""
        if self.ending():
            if self.open or self.cut_short or not self.given_out:
                self.outcome.end = "too many failures" if not self.stop.is_set() else "interrupted"
            for key in {u.planned.unit.problem.key for u in self.open.values()} & self.facts.keys():
                self.watch.problem_finished(self.specs[key])
        elif self.open:
            self.handle(UnitsFailed(tuple(self.open), UNANSWERED))


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Set an event on the first SIGINT or SIGTERM; let the second SIGINT interrupt at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
