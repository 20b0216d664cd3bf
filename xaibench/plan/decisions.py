"""State of each cell: cached, new, stale, failed or unsupported, and whether it is to be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from xaibench.plan.cells import Cell, Unit, unsupported_key
from xaibench.plan.history import History

State = Literal["run", "cached", "stale", "open", "retry", "unsupported", "left"]
STATES: tuple[State, ...] = get_args(State)
"""``stale``: there is a result of other content or version; ``open``: there is a result, and only building the
model tells whether it is of the same content; ``left``: due, but not asked for by ``rerun``."""
Rerun = Literal["failed", "stale", "all"]
_LEFT: dict[str, tuple[State, ...]] = {"failed": ("run", "stale"), "stale": ("run", "retry")}
_TODO = ("run", "stale", "open", "retry")


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what is to be done with it; the score key names the result that a cached one has."""

    cell: Cell
    state: State
    reason: str = ""
    seconds: float | None = None
    score_key: str | None = None


@dataclass(frozen=True)
class PlannedUnit:
    """A unit and what is to be done with its cells."""

    unit: Unit
    cells: tuple[PlannedCell, ...]
    explain_seconds: float | None = None

    @property
    def todo(self) -> tuple[PlannedCell, ...]:
        return tuple(c for c in self.cells if c.state in _TODO)


def decide(
    unit: Unit,
    *,
    history: History,
    fingerprint: str | None,
    capabilities: frozenset[str] | None,
    lacking: Mapping[str, str] | None = None,
    rerun: Rerun | None = None,
) -> PlannedUnit:
    """Say what is to be done with every cell of a unit.

    ``fingerprint`` is None when the model is not there yet; then nothing can be reused for sure. ``lacking`` says
    why the problem does not meet some needs.
    With ``rerun``, only failed (or stale) cells are run, or all of them.
    """
    planned, problem, explainer = [], unit.problem.name, unit.spec.name
    for cell in unit.cells:
        key = None if fingerprint is None else unit.score_key(fingerprint, cell)
        state, reason = _state(unit, cell, history, key, unit.unsupported(cell, capabilities, lacking))
        if rerun == "all" and state == "cached":
            state, reason = "run", "asked for"
        elif rerun in ("failed", "stale") and state in _LEFT[rerun]:
            state, reason = "left", f"not {rerun}"
        seconds = history.score_seconds(problem, explainer, cell.spec.name)
        planned.append(PlannedCell(cell, state, reason, seconds, _content(state, reason, key)))
    return PlannedUnit(unit, tuple(planned), history.explain_seconds(problem, explainer))


def _content(state: State, reason: str, key: str | None) -> str | None:
    """Score key of the stored result, None if there is none or it is not looked at."""
    if state == "unsupported":
        return unsupported_key(reason)
    return key if state == "cached" else None


def _state(unit: Unit, cell: Cell, history: History, key: str | None, unsupported: str | None) -> tuple[State, str]:
    if unsupported is not None:
        return "unsupported", unsupported
    if key is None:
        if history.failed_last(cell.cell_id):
            return "retry", "failed before"
        return ("open", "known when the model is built") if history.knows(cell.cell_id) else ("run", "")
    status = history.status(cell.cell_id, key)
    if status == "done":
        return "cached", ""
    if status == "failed":
        return "retry", "failed before"
    if history.knows(cell.cell_id):
        return "stale", "the content of the problem or the code of a component changed"
    if history.knows_unversioned(cell.unversioned_id):
        return "stale", "a component's version changed"
    return "run", ""
