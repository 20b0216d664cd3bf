"""The observer protocol: what a run reports while it goes on."""

from __future__ import annotations

from xaibench.execution.row_building import Facts
from xaibench.plan import Plan, PlannedUnit
from xaibench.problems.specs import AnyProblemSpec
from xaibench.store import Row


class Observer:
    """Watches a run; every method may be overridden, none must be. Nothing here prints."""

    def started(self, plan: Plan, run: int) -> None:
        """The run has claimed its number."""

    def preparing(self, problem: AnyProblemSpec) -> None:
        """Data are loaded and the model is found or trained."""

    def training(self, problem: AnyProblemSpec, done: int, total: int, text: str) -> None:
        """A training recipe has finished ``done`` of ``total`` steps."""

    def prepared(self, problem: AnyProblemSpec, facts: Facts) -> None:
        """The problem is there, its gates are measured."""

    def not_prepared(self, problem: AnyProblemSpec, why: str) -> None:
        """The problem could not be built; its cells have failed."""

    def problem_finished(self, problem: AnyProblemSpec) -> None:
        """All units of a prepared problem are done, or the run has ended."""

    def stopping(self) -> None:
        """No unit is begun any more; those that are running are finished."""

    def unit_started(self, planned: PlannedUnit) -> None:
        """A unit is being explained and scored."""

    def cell_scored(self, planned: PlannedUnit, row: Row) -> None:
        """A cell of a running unit has its row."""

    def unit_finished(self, planned: PlannedUnit, rows: list[Row]) -> None:
        """A unit's rows are in the store; fewer than planned if some turned out to be cached."""
