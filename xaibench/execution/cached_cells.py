"""Cells of a unit that need no work: what is cached, and what is unavailable."""

from __future__ import annotations

from xaibench.execution.row_building import Facts, unsupported_row
from xaibench.plan import PlannedUnit
from xaibench.plan.history import History
from xaibench.store import Row


class AlreadyDone:
    """Cells of a unit that need no work.

    Attributes
    ----------
    rows : list of Row
        Of the cells that are unavailable, where that is not in the store.
    cached : int
    revived : tuple of (cell_id, score_key)
    """

    def __init__(self, rows: list[Row], cached: int, revived: tuple[tuple[str, str], ...]) -> None:
        self.rows = rows
        self.cached = cached
        self.revived = revived


def account_for_cached(planned: PlannedUnit, known: History, run: int, facts: Facts | None = None) -> AlreadyDone:
    """Count what is cached, and record what is unavailable."""
    rows, revived, cached = [], [], 0
    for cell in planned.cells:
        cell_id, key = cell.cell.cell_id, cell.score_key
        done = key is not None and known.status(cell_id, key) == "done"
        if cell.state == "cached" or (cell.state == "unsupported" and done):
            cached += 1
            if key is not None and done and known.newest(cell_id) != key:
                revived.append((cell_id, key))
        elif cell.state == "unsupported":
            rows.append(unsupported_row(planned.unit, cell.cell, run, cell.reason, facts))
    return AlreadyDone(rows, cached, tuple(revived))
