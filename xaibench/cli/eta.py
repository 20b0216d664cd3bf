"""Estimate of the remaining time of a run: past times of its units, corrected by the speed of this run."""

from __future__ import annotations

from xaibench.plan import Plan, PlannedUnit

TRUSTED_AFTER = 10.0
"""Seconds of a run after which its own speed counts as much as the expected one."""


class Eta:
    """Expected seconds of the units of a plan, and how much of them is done.

    Cells that history knows nothing about count as the average of those that it knows. Training is
    not counted: it is not known beforehand.

    Parameters
    ----------
    plan : Plan
    workers : int
        Units that are worked on at once.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        known, unknown = plan.seconds()
        scores = max(plan.todo - unknown, 0)
        self._cell = known / scores if scores else 1.0
        self._speed = float(max(workers, 1)) if scores else None
        self.total = known + self._cell * unknown
        self.done = 0.0

    def of_cell(self, seconds: float | None) -> float:
        """Expected seconds of a cell."""
        return self._cell if seconds is None else seconds

    def of_unit(self, planned: PlannedUnit) -> float:
        """Expected seconds of a unit."""
        return (planned.explain_seconds or 0.0) + sum(self.of_cell(c.seconds) for c in planned.todo)

    def left(self, elapsed: float) -> float | None:
        """Seconds that are left after ``elapsed`` seconds of work; None while nothing tells."""
        rest = max(self.total - self.done, 0.0)
        if self._speed is None:
            return rest * elapsed / self.done if self.done else None
        speed = (self.done + self._speed * TRUSTED_AFTER) / (elapsed + TRUSTED_AFTER)
        return rest / speed
