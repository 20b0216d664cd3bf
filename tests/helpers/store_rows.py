"""Rows and files that the tests of stores share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from xaibench.store import Row, Store

ROW = Row(
    cell_id="c", lineage="l", unit_id="u", dataset="d", model="m", problem_seed=0, selection="s", explainer="e",
    explainer_params="{}", seed=0, repeat=0, metric="k", params="{}", family="faithfulness", higher_is_better=True,
    aggregate="mean", skill_valid=False, control=False, versions="{}", status="ok", run=1,
    created=datetime(2026, 1, 1, tzinfo=UTC), score_key="key", scores=[0.25, float("nan")], sample_ids=["a", "b"], n=2,
)  # fmt: skip


COSTS = ["explain_seconds", "score_seconds", "explain_memory", "score_memory"]
"""Columns of rows and boards that no two runs share."""


def row(**changes: Any) -> Row:
    """The row with other values."""
    return replace(ROW, **changes)


def scored(name: str, run: int = 1, value: float = 0.5, **changes: Any) -> Row:
    """A result of a cell of this name, of a unit of its own."""
    facts = {"cell_id": name, "unit_id": f"unit-{name}", "score_key": f"key-{name}", "explain_key": f"explain-{name}"}
    return row(**{**facts, "run": run, "scores": [value], "sample_ids": ["a"], "n": 1, **changes})


def values(store: Store) -> dict[str, tuple[str, list[float]]]:
    """Status and scores of every cell."""
    return {r["cell_id"]: (r["status"], r["scores"]) for r in store.read().to_pylist()}


def contents(store: Store) -> dict[str, bytes]:
    """Every file of a store."""
    return {name: store.files.read(name) for name in store.files.find("")}
