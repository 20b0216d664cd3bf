"""Running a task, unit by unit: the one function that every executor calls, in any process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from xaibench.core.errors import StoreError
from xaibench.core.problem import Problem
from xaibench.core.programs.evaluation import FunctionProblem
from xaibench.execution.cached_cells import account_for_cached
from xaibench.execution.interpreting import PortionsToDo, interpret_portion, interpret_unit
from xaibench.execution.row_building import Facts, failure
from xaibench.execution.stored_examples import examples_of
from xaibench.execution.task import (
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
    Training,
    UnitsFailed,
)
from xaibench.execution.unit import ProblemCaches, score_unit
from xaibench.plan import Cell, PlannedUnit, decide
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import AnyProblemSpec, FunctionProblemSpec, ProblemSpec
from xaibench.store import Row, Store

CELL_SAVE_INTERVAL = 10.0
"""Seconds after which the finished cells of a unit are written down, whatever is still to come."""


class UnitRunner:
    """Runs units, and holds the problem that the next task is likely to be about.

    Parameters
    ----------
    store : Store
        Where results, attributions and answers go.
    options : Options
    share : PortionsToDo, optional
        Asked for the portions of a set of functions that are to be done here, where others help.
    """

    def __init__(self, store: Store, options: Options, share: PortionsToDo | None = None) -> None:
        self.store = store
        self.options = options
        self.share = share
        self.problems = Problems(options.cache, device=options.device, batch_size=options.batch_size)
        self._bench: ProblemCaches | None = None
        self._problem: Problem | FunctionProblem | None = None
        self._facts: Facts | None = None
        self._key: str | None = None

    def work(self, task: Task, emit: Emit, stop: Stop) -> None:
        """Prepare the problem, decide each unit with its content known, run what is due, tell what happens.

        What goes wrong with a component becomes rows.

        Raises
        ------
        StoreError
            If results can no longer be written.
        """
        try:
            problem, facts = self._prepare(task.problem, emit)
        except StoreError:
            raise
        except (Exception, SystemExit) as error:
            emit(UnitsFailed(tuple(j.number for j in task.jobs), failure(error), task.problem.key))
            return
        for job in task.jobs:
            if stop():
                return
            self._run(job, task, problem, facts, emit, stop)

    def _prepare(self, spec: AnyProblemSpec, emit: Emit) -> tuple[Problem | FunctionProblem, Facts]:
        if self._key != spec.key or self._problem is None or self._facts is None:
            emit(Preparing(spec.key))
            self._key = self._bench = self._problem = None
            if isinstance(spec, FunctionProblemSpec):
                self._problem = self.problems.functions(spec)
            else:
                self._problem = self.problems.prepare(
                    spec, lambda done, total, text: emit(Training(spec.key, done, total, text))
                )
                self._bench = ProblemCaches(self._problem, self.options.cache)
            self._facts = Facts.of(self._problem)
            self._key = spec.key
            self._save_examples(spec, self._problem)
            emit(ProblemReady(spec.key, self._facts))
        return self._problem, self._facts

    def _save_examples(self, spec: AnyProblemSpec, problem: Problem | FunctionProblem) -> None:
        """Store a few samples of a problem for reports, unless they are there or not wanted."""
        if not self.options.examples or not isinstance(spec, ProblemSpec) or not isinstance(problem, Problem):
            return
        if not self.store.has_examples(problem.fingerprint):
            found = examples_of(problem, self.problems.data(spec))
            if found is not None:
                self.store.save_examples(problem.fingerprint, found)

    def help(self, task: Task, portion: int, emit: Emit, stop: Stop) -> None:
        """Answer a portion of the task's unit for the one that works on it. What goes wrong is its business."""
        try:
            problem, _ = self._prepare(task.problem, emit)
            due = [c.cell for c in _decided(task.jobs[0], task, problem).todo]
            if isinstance(problem, FunctionProblem):
                interpret_portion(task.jobs[0].unit, due, problem, self.store, portion, stop)
        except StoreError:
            raise
        except (Exception, SystemExit):
            return

    def _run(
        self, job: Job, task: Task, problem: Problem | FunctionProblem, facts: Facts, emit: Emit, stop: Stop
    ) -> None:
        planned = _decided(job, task, problem)
        due = [c.cell for c in planned.todo]
        emit(Started(job.number, tuple(c.cell_id for c in due)))
        settled = account_for_cached(planned, job.known, task.run, facts)
        with _PartWriter(self.store, job.number, emit) as add:
            for row in settled.rows:
                add(row)
            for row in self._rows(job, due, task, problem, facts, emit, stop) if due else ():
                add(row)
        emit(Finished(job.number, settled.cached, settled.revived))

    def _rows(
        self,
        job: Job,
        due: list[Cell],
        task: Task,
        problem: Problem | FunctionProblem,
        facts: Facts,
        emit: Emit,
        stop: Stop,
    ) -> Iterable[Row]:
        fresh = task.rerun == "all"
        if isinstance(problem, FunctionProblem):
            return interpret_unit(
                job.unit, due, problem, facts, self.store, task.run, share=self.share, stop=stop, fresh=fresh
            )
        assert self._bench is not None
        return score_unit(
            job.unit,
            due,
            self._bench,
            facts,
            self.store,
            task.run,
            fresh=fresh,
            explained=lambda: emit(Explained(job.number)),
        )


def _decided(job: Job, task: Task, problem: Problem | FunctionProblem) -> PlannedUnit:
    """What is to be done with the cells, now that the problem's content is known."""
    return decide(
        job.unit,
        history=job.known,
        fingerprint=problem.fingerprint,
        capabilities=problem.capabilities,
        lacking=problem.lacking if isinstance(problem, Problem) else None,
        rerun=task.rerun,
    )


class _PartWriter:
    """Writes the rows of a unit as a part when it is over, however that is, and every few seconds before."""

    def __init__(self, store: Store, number: int, emit: Emit) -> None:
        self.store = store
        self.number = number
        self.emit = emit
        self._rows: list[Row] = []
        self._since = time.monotonic()

    def __enter__(self) -> _PartWriter:
        return self

    def __call__(self, row: Row) -> None:
        self._rows.append(row)
        self.emit(Scored(self.number, row))
        if time.monotonic() - self._since > CELL_SAVE_INTERVAL:
            self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self.store.write_part(rows)
        self._since = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._write()
