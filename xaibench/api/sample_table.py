"""Tables of scores with a row per sample, and back to the cells that a leaderboard is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

import pandas as pd

from xaibench.analysis.leaderboard.columns import CELL_SEEDS, COMPARISON_GROUP, ENTRY
from xaibench.core.errors import UsageError
from xaibench.store import Row

_LISTS = {"scores": "score", "sample_ids": "sample_id"}
_STORE_ONLY = {"lineage", "unit_id", "score_key", "explain_key", "versions", "run", "created", *_LISTS}
_STORE_ONLY |= {"explain_memory", "score_memory"}
_FIRST = ["dataset", "model", "explainer", "explainer_params", "metric", "params", "seed", "repeat"]
_DEFAULTS = {f.name: None if f.default is MISSING else f.default for f in fields(Row) if f.name not in _STORE_ONLY}
SAMPLE_COLUMNS = ("sample", "sample_id", "score")
"""What a table has in the place of a cell's lists: number of the sample, its digest, its score."""
TABLE_COLUMNS = (*_FIRST, *SAMPLE_COLUMNS, "status", *(c for c in _DEFAULTS if c not in (*_FIRST, "status")))


def to_samples(cells: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A row per sample of every cell; one row without a sample for a cell that has no scores."""
    rows = []
    for cell in cells:
        facts = {name: cell.get(name, default) for name, default in _DEFAULTS.items()}
        lists = zip(cell.get("sample_ids") or [None], cell.get("scores") or [None], strict=True)
        for number, (name, score) in enumerate(lists):
            rows.append({**facts, "sample": None if name is None else number, "sample_id": name, "score": score})
    table = pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
    whole = ["sample", "n_evaluations", "batch_size", "threads"]
    seconds = ["score", "explain_seconds", "score_seconds"]
    return table.astype(
        {**dict.fromkeys(whole, "Int64"), **dict.fromkeys(seconds, "float64"), "gate_passed": "boolean"}
    )


def to_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Cells of a table with a row per sample, with lists of scores as in a store.

    Raises
    ------
    UsageError
        If this is no such table, or a result is there twice.
    """
    missing = [c for c in TABLE_COLUMNS if c not in table.columns]
    if missing:
        raise UsageError(f"this table has no column {missing[0]!r}", "give what Problem.evaluate returned, or a store")
    if table.duplicated(["cell_id", "sample"]).any():
        raise UsageError("results are in this table twice", "leave one of the copies out")
    cells = table.drop_duplicates("cell_id", ignore_index=True).drop(columns=list(SAMPLE_COLUMNS))
    twice = cells[cells.duplicated([*COMPARISON_GROUP, *ENTRY, *CELL_SEEDS])]
    if len(twice):
        first = twice.iloc[0]
        raise UsageError(
            f"two problems of this table are called {first['dataset']}/{first['model']}",
            'give each a name of its own: xb.Problem(..., name="DATASET/MODEL")',
        )
    scored = table[table["sample_id"].notna()].sort_values("sample", kind="stable")
    lists = scored.groupby("cell_id", sort=False)[list(_LISTS.values())].agg(list)
    for many, one in _LISTS.items():
        of = lists[one].to_dict()
        cells[many] = [of.get(cell, []) for cell in cells["cell_id"]]
    return cells
