"""Progress: bars, running units and an ETA on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from xaibench.cli.eta import Eta
from xaibench.cli.output import duration
from xaibench.core.user_errors import shortened
from xaibench.execution import Observer
from xaibench.execution.row_building import Facts
from xaibench.plan import Plan, PlannedUnit
from xaibench.problems.specs import MODEL_OF_FUNCTIONS, AnyProblemSpec
from xaibench.report.labels import spec_label
from xaibench.store import FAILURES, Row

MAX_LISTED_UNITS = 8
"""Running units that are listed; of more, the longest ones."""

STOPPING = "stopping: running units are finished first; press Ctrl-C again to stop at once"


@contextmanager
def observer_for(console: Console, *, quiet: bool, workers: int = 1) -> Iterator[Observer]:
    """The observer that fits the console."""
    if quiet:
        yield Observer()
    elif console.is_terminal:
        with Bars(console, workers) as bars:
            yield bars
    else:
        yield Lines(console, workers)


class Lines(Observer):
    """A line per problem when it is ready and when it is done, and one for whatever fails."""

    def __init__(self, console: Console, workers: int = 1) -> None:
        self.console = console
        self.workers = workers
        self._began = time.perf_counter()
        self._total = 0
        self._number: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._units: Counter[str] = Counter()
        self._cells: Counter[str] = Counter()

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)

    def _name(self, problem: AnyProblemSpec) -> str:
        number = self._number.setdefault(problem.key, len(self._number) + 1)
        seed = f" seed {problem.seed}" if problem.seed else ""
        # Races visit problems that have nothing to do, too.
        return f"[{number}/{max(self._total, number)}] {spec_label(problem)}{seed}"

    def started(self, plan: Plan, run: int) -> None:
        self._total = sum(any(u.todo for u in units) for _, units in plan.by_problem())
        self._eta = Eta(plan, self.workers)
        self._print(
            f"run {run} of {plan.suite.name}: {plan.todo} cells to run, {plan.states['cached']} cached, "
            f"{plan.states['unsupported']} unsupported"
        )

    def preparing(self, problem: AnyProblemSpec) -> None:
        self._since[problem.key] = time.perf_counter()

    def prepared(self, problem: AnyProblemSpec, facts: Facts) -> None:
        gates = "; ".join(str(g) for g in facts.gates)
        if facts.n_functions is not None:
            noun = "functions" if problem.labels[1] == MODEL_OF_FUNCTIONS else "cases"
            gates = "; ".join([f"{facts.n_functions} {noun}", *(str(g) for g in facts.gates if not g.passed)])
        now = time.perf_counter()
        ready = f"{self._name(problem)}: ready in {duration(now - self._since[problem.key])}"
        self._print(f"{ready}; {gates}" if gates else ready)
        self._since[problem.key] = now

    def not_prepared(self, problem: AnyProblemSpec, why: str) -> None:
        self._print(f"{self._name(problem)}: failed: {why}")

    def stopping(self) -> None:
        self._print(STOPPING)

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        key = planned.unit.problem.key
        self._units[key] += bool(rows)
        self._cells[key] += len(rows)
        self._eta.done += self._eta.of_unit(planned)
        for text in failures(planned, rows):
            self._print(f"  {text}")

    def problem_finished(self, problem: AnyProblemSpec) -> None:
        key, now = problem.key, time.perf_counter()
        left = self._eta.left(now - self._began)
        rest = f", about {duration(left)} left" if left is not None and len(self._number) < self._total else ""
        took = duration(now - self._since[key])
        self._print(
            f"  {self._name(problem)}: {self._units[key]} explanations scored in {self._cells[key]} cells, {took}{rest}"
        )


def failures(planned: PlannedUnit, rows: list[Row]) -> list[str]:
    """One line per reason for which cells of a unit failed."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.status in FAILURES:
            why = shortened(f"{row.status}: {row.error_kind}: {row.message}")
            reasons.setdefault(why, []).append(row.metric)
    where = f"{planned.unit.problem.name} {planned.unit.spec.name}"
    return [f"{where}, {len(names)} cells ({names[0]}...) {why}" for why, names in reasons.items()]


class _Running:
    """What is being done: one line each, with the time that it takes already."""

    def __init__(self) -> None:
        self._since: dict[object, float] = {}
        self._text: dict[object, str] = {}

    def show(self, key: object, text: str) -> None:
        self._since.setdefault(key, time.perf_counter())
        self._text[key] = text

    def drop(self, key: object) -> None:
        self._since.pop(key, None)
        self._text.pop(key, None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.perf_counter()
        longest = sorted(self._since, key=self._since.__getitem__)
        for key in longest[:MAX_LISTED_UNITS]:
            yield Text(f"{duration(now - self._since[key]):>13}  {self._text[key]}", no_wrap=True, overflow="ellipsis")
        if len(longest) > MAX_LISTED_UNITS:
            yield Text(f"{'':>13}  and {len(longest) - MAX_LISTED_UNITS} more")


class Bars(Observer):
    """A bar for each stage, the units that are running, and when all will be done."""

    def __init__(self, console: Console, workers: int = 1) -> None:
        self.console = console
        self.workers = workers
        self.progress = Progress(
            TextColumn("{task.fields[stage]:<13}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            expand=True,
        )
        self.running = _Running()
        self._live = Live(
            Group(self.progress, self.running), console=console, refresh_per_second=4, redirect_stderr=False
        )
        self._tasks: dict[str, TaskID] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._scored: Counter[int] = Counter()
        self._began = time.perf_counter()

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, plan: Plan, run: int) -> None:
        for spec, units in plan.by_problem():
            if any(u.todo for u in units):
                self._sizes[spec.key] = sum(bool(u.todo) for u in units), sum(len(u.todo) for u in units)
        totals = len(self._sizes), *(sum(column) for column in zip((0, 0), *self._sizes.values(), strict=True))
        for stage, total in zip(("problems", "explanations", "scores"), totals, strict=True):
            self._tasks[stage] = self.progress.add_task("", total=total, stage=stage)
        self._eta = Eta(plan, self.workers)
        self._began = time.perf_counter()
        self.running.show("start", "starting workers")

    def _advance(self, stage: str, n: int = 1) -> None:
        self.progress.advance(self._tasks[stage], n)

    def _tell(self) -> None:
        """Say when it will be done."""
        elapsed = time.perf_counter() - self._began
        left = self._eta.left(elapsed)
        text = duration(elapsed) + ("" if left is None else f", ETA {duration(left)}")
        self.progress.update(self._tasks["scores"], description=text)

    def preparing(self, problem: AnyProblemSpec) -> None:
        self.running.drop("start")
        self.running.show(problem.key, f"{problem.name}: preparing")

    def training(self, problem: AnyProblemSpec, done: int, total: int, text: str) -> None:
        self.running.show(problem.key, f"{problem.name}: training {done}/{total} {text}")

    def prepared(self, problem: AnyProblemSpec, facts: Facts) -> None:
        self.running.drop(problem.key)
        for gate in facts.gates:
            if not gate.passed:
                self._live.console.print(f"{problem.name}: {gate}", markup=False)

    def not_prepared(self, problem: AnyProblemSpec, why: str) -> None:
        self.running.drop(problem.key)
        self._live.console.print(f"{problem.name}: failed: {why}", markup=False)
        units, cells = self._sizes[problem.key]
        self._advance("problems")
        self._advance("explanations", units)
        self._advance("scores", cells)

    def stopping(self) -> None:
        self._live.console.print(STOPPING)

    def unit_started(self, planned: PlannedUnit) -> None:
        if planned.todo:
            self._show(planned)

    def cell_scored(self, planned: PlannedUnit, row: Row) -> None:
        self._scored[id(planned)] += 1
        if planned.todo:
            self._show(planned)
            self._tell()

    def _show(self, planned: PlannedUnit) -> None:
        unit = planned.unit
        done = f"{self._scored[id(planned)]}/{len(planned.todo)}"
        self.running.show(id(planned), f"{unit.problem.name} {unit.explainer.label} {done}")

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        for text in failures(planned, rows):
            self._live.console.print(text, markup=False)
        self.running.drop(id(planned))
        self._scored.pop(id(planned), None)
        if planned.todo:
            self._advance("explanations")
            self._advance("scores", len(planned.todo))
            self._eta.done += self._eta.of_unit(planned)
        self._tell()

    def problem_finished(self, problem: AnyProblemSpec) -> None:
        self._advance("problems")
