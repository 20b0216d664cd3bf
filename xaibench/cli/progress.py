"""Progress: bars with ETA on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xaibench.cli.output import duration
from xaibench.execution import Observer
from xaibench.execution.rows import Facts
from xaibench.plan import Plan, PlannedUnit
from xaibench.problems import AnyProblemSpec
from xaibench.store import FAILURES, Row


@contextmanager
def observer_for(console: Console, *, quiet: bool) -> Iterator[Observer]:
    """The observer that fits the console."""
    if quiet:
        yield Observer()
    elif console.is_terminal:
        with Bars(console) as bars:
            yield bars
    else:
        yield Lines(console)


class Lines(Observer):
    """A line per problem, and one for whatever fails."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._total = self._number = self._scores = self._units = 0
        self._since = time.perf_counter()

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)

    def started(self, plan: Plan, run: int) -> None:
        groups = [units for _, units in plan.by_problem() if any(u.todo for u in units)]
        self._total = len(groups)
        self._print(
            f"run {run} of {plan.suite.name}: {plan.todo} cells to run, {plan.states['cached']} cached, "
            f"{plan.states['unsupported']} unsupported"
        )

    def preparing(self, problem: AnyProblemSpec) -> None:
        self._number += 1
        self._since = time.perf_counter()

    def prepared(self, problem: AnyProblemSpec, facts: Facts) -> None:
        gates = "; ".join(str(g) for g in facts.gates)
        if facts.n_functions is not None:
            gates = f"{facts.n_functions} functions"
        seed = f" seed {problem.seed}" if problem.seed else ""
        took = duration(time.perf_counter() - self._since)
        self._print(f"[{self._number}/{self._total}] {problem.name}{seed}: ready in {took}; {gates}")
        self._since = time.perf_counter()
        self._scores = self._units = 0

    def not_prepared(self, problem: AnyProblemSpec, why: str) -> None:
        self._print(f"[{self._number}/{self._total}] {problem.name}: failed: {why}")

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        self._units += bool(rows)
        self._scores += len(rows)
        for text in failures(planned, rows):
            self._print(f"  {text}")

    def problem_finished(self, problem: AnyProblemSpec) -> None:
        took = duration(time.perf_counter() - self._since)
        self._print(f"  {self._units} explanations scored in {self._scores} cells, {took}")


def failures(planned: PlannedUnit, rows: list[Row]) -> list[str]:
    """One line per reason for which cells of a unit failed."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.status in FAILURES:
            reasons.setdefault(f"{row.status}: {row.error_kind}: {row.message}", []).append(row.metric)
    where = f"{planned.unit.problem.name} {planned.unit.spec.name}"
    return [f"{where}, {len(names)} cells ({names[0]}...) {why}" for why, names in reasons.items()]


class Bars(Observer):
    """A bar for each stage: training, problems, explanations, scores."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.fields[stage]:<13}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            expand=True,
        )
        self._training: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def started(self, plan: Plan, run: int) -> None:
        groups = [units for _, units in plan.by_problem() if any(u.todo for u in units)]
        units = sum(bool(u.todo) for u in plan.units)
        for stage, total in (("problems", len(groups)), ("explanations", units), ("scores", plan.todo)):
            self._tasks[stage] = self.progress.add_task("", total=total, stage=stage)

    def preparing(self, problem: AnyProblemSpec) -> None:
        self.progress.update(self._tasks["problems"], description=problem.name)

    def training(self, done: int, total: int, text: str) -> None:
        if self._training is None:
            self._training = self.progress.add_task("", total=total, stage="training")
        self.progress.update(self._training, completed=done, total=total, description=text)

    def prepared(self, problem: AnyProblemSpec, facts: Facts) -> None:
        self._trained()
        for gate in facts.gates:
            if not gate.passed:
                self.progress.console.print(f"{problem.name}: {gate}", markup=False)

    def not_prepared(self, problem: AnyProblemSpec, why: str) -> None:
        self._trained()
        self.progress.console.print(f"{problem.name}: failed: {why}", markup=False)
        self.progress.advance(self._tasks["problems"])

    def _trained(self) -> None:
        if self._training is not None:
            self.progress.remove_task(self._training)
            self._training = None

    def unit_started(self, planned: PlannedUnit) -> None:
        if planned.todo:
            self.progress.update(self._tasks["explanations"], description=planned.unit.spec.name)

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        for text in failures(planned, rows):
            self.progress.console.print(text, markup=False)
        if planned.todo:
            self.progress.advance(self._tasks["explanations"])
            self.progress.advance(self._tasks["scores"], len(planned.todo))

    def problem_finished(self, problem: AnyProblemSpec) -> None:
        self.progress.advance(self._tasks["problems"])
