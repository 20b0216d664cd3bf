"""A run: problems one after the other, their units in order, every result on disk as soon as it is there."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch

from xaibench.core.errors import StoreError
from xaibench.core.gates import Gate
from xaibench.core.problem import Problem
from xaibench.core.program_evaluation import FunctionProblem
from xaibench.execution.crew import Crew
from xaibench.execution.interpreting import interpret_unit
from xaibench.execution.observer import Observer
from xaibench.execution.provenance import provenance
from xaibench.execution.unit import Workbench, failure, make_row, run_unit, unsupported_row
from xaibench.history import History
from xaibench.plan import Cell, Plan, PlannedUnit, Unit, decide
from xaibench.problems import AnyProblemSpec, FunctionProblemSpec, Problems
from xaibench.store import FAILURES, Row, Store

End = Literal["finished", "interrupted", "too many failures"]


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a key or, beyond rounding, a number.

    Attributes
    ----------
    cache : Path or None
        Folder for models and shared evaluations.
    device : str
    threads : int
        Threads that torch computes with on the CPU.
    batch_size : int or None
        Instead of the deterministic rule.
    max_failures : int or None
        Stop when more cells than this have failed.
    plugins : tuple of str
        Files that were loaded for their components, for the record.
    argv : list of str or None
        Command line, for the record.
    workers : int
        Processes that interpret functions at once, if that takes long.
    """

    cache: Path | None = None
    device: str = "cpu"
    threads: int = 1
    batch_size: int | None = None
    max_failures: int | None = None
    plugins: tuple[str, ...] = ()
    argv: list[str] | None = None
    workers: int = 1


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
        Cells that were there already.
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


def execute(plan: Plan, store: Store, options: Options, observer: Observer | None = None) -> Outcome:
    """Run a plan. Whatever is finished stays finished, however the run ends.

    The first Ctrl-C lets the running unit finish, the second stops at once; the next run resumes.

    Raises
    ------
    StoreError
        If results can no longer be written.
    """
    watch = observer or Observer()
    started = time.perf_counter()
    planned = [make_row(u.unit, c.cell, 0, status="missing") for u in plan.units for c in u.cells]
    with _threads(options.threads):
        run = store.claim_run(
            {
                "suite": plan.suite.name,
                "whole": plan.whole,
                "started": datetime.now(UTC).isoformat(),
                "resolved_suite": plan.suite.model_dump(mode="json"),
                "plugins": list(options.plugins),
                "device": options.device,
                "provenance": provenance(argv=options.argv),
            },
            planned,
        )
        outcome = Outcome(run)
        watch.started(plan, run)
        with _interruptible() as stop, Crew(options.workers, options.plugins) as crew:
            try:
                _Run(plan, store, options, watch, outcome, stop, crew)()
            except KeyboardInterrupt:
                outcome.end = "interrupted"
        outcome.seconds = time.perf_counter() - started
        store.compact()
        store.finish_run(run, outcome.as_dict())
    return outcome


class _Run:
    """The loop over problems and units, with what it needs at hand."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        options: Options,
        watch: Observer,
        outcome: Outcome,
        stop: threading.Event,
        crew: Crew,
    ) -> None:
        self.plan = plan
        self.store = store
        self.options = options
        self.watch = watch
        self.outcome = outcome
        self.stop = stop
        self.crew = crew
        self.history = History.of(store)
        self.problems = Problems(options.cache, device=options.device, batch_size=options.batch_size)
        self.revived: set[tuple[str, str]] = set()

    def __call__(self) -> None:
        try:
            self._walk()
        finally:
            self.store.revive(self.revived, self.outcome.run)

    def _walk(self) -> None:
        for spec, planned in self.plan.by_problem():
            if not any(u.todo for u in planned):
                for unit in planned:
                    self._settle(unit)
                continue
            if self._ended():
                return
            self.watch.preparing(spec)
            try:
                problem = self._prepare(spec)
            except StoreError:
                raise
            except Exception as error:
                self._fail(planned, error)
                self.watch.not_prepared(spec, error)
                continue
            self.outcome.gates[spec.name] = problem.gates
            self.watch.prepared(spec, problem)
            work = self._worker(problem)
            for unit in planned:
                if self._ended():
                    break
                self.watch.unit_started(unit)
                self.watch.unit_finished(unit, self._run(unit, problem, work))
            self.watch.problem_finished(spec)

    def _prepare(self, spec: AnyProblemSpec) -> Problem | FunctionProblem:
        if isinstance(spec, FunctionProblemSpec):
            return self.problems.functions(spec)
        return self.problems.prepare(spec, self.watch.training)

    def _worker(self, problem: Problem | FunctionProblem) -> Callable[[Unit, list[Cell]], list[Row]]:
        """What turns a unit of this problem and the cells that are due into rows."""
        run, fresh = self.outcome.run, self.plan.rerun == "all"
        if isinstance(problem, FunctionProblem):
            return partial(
                interpret_unit, problem=problem, store=self.store, run=run, crew=self.crew, stop=self.stop.is_set,
                fresh=fresh,
            )  # fmt: skip
        return partial(run_unit, bench=Workbench(problem, self.options.cache), store=self.store, run=run, fresh=fresh)

    def _ended(self) -> bool:
        limit = self.options.max_failures
        if self.stop.is_set():
            self.outcome.end = "interrupted"
        elif limit is not None and self.outcome.n_failed > limit:
            self.outcome.end = "too many failures"
        return self.outcome.end != "finished"

    def _run(
        self,
        planned: PlannedUnit,
        problem: Problem | FunctionProblem,
        work: Callable[[Unit, list[Cell]], list[Row]],
    ) -> list[Row]:
        """Decide again, now that the problem's content is known, and do what is due."""
        if planned.todo:
            planned = decide(
                planned.unit,
                history=self.history,
                fingerprint=problem.fingerprint,
                capabilities=problem.capabilities,
                rerun=self.plan.rerun,
            )
        self._settle(planned, problem)
        due = [c.cell for c in planned.todo]
        if not due:
            return []
        rows = work(planned.unit, due)
        if not rows:
            self._ended()
        self.outcome.count(rows)
        return rows

    def _settle(self, planned: PlannedUnit, problem: Problem | FunctionProblem | None = None) -> None:
        """Count what is there already, and record what cannot be had."""
        rows = []
        for cell in planned.cells:
            cell_id, key = cell.cell.cell_id, cell.score_key
            known = key is not None and self.history.status(cell_id, key) == "done"
            if cell.state == "cached" or (cell.state == "unsupported" and known):
                self.outcome.cached += 1
                if key is not None and known and self.history.newest(cell_id) != key:
                    self.revived.add((cell_id, key))
            elif cell.state == "unsupported":
                rows.append(unsupported_row(planned.unit, cell.cell, self.outcome.run, cell.reason, problem))
        if rows:
            self.store.write_part(rows)
            self.outcome.count(rows)

    def _fail(self, planned: list[PlannedUnit], error: Exception) -> None:
        """Record cells whose problem could not be built."""
        for unit in planned:
            self._settle(unit)
            rows = [make_row(unit.unit, c.cell, self.outcome.run, **failure(error)) for c in unit.todo]
            if rows:
                self.store.write_part(rows)
                self.outcome.count(rows)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with this many threads, then put back what was."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
