"""Stores as they were after one of their runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from xaibench.api.runs import _cells, shown_runs
from xaibench.core.errors import UsageError
from xaibench.store import Store
from xaibench.store.select import best_rows


def parse_reference(text: str) -> tuple[str, int | None]:
    """Store and run number of ``STORE`` or ``STORE@3``."""
    found = re.fullmatch(r"(.+)@(\d+)", text)
    if found is None or Path(text).exists():
        return text, None
    return found[1], int(found[2])


def cells_of(store: Store, manifest: dict[str, Any], *, as_of: bool) -> pd.DataFrame:
    """Cells that a run planned, with their results.

    Parameters
    ----------
    store : Store
    manifest : dict
        Of the run.
    as_of : bool
        As they were after that run: a cell whose only results are from later runs has status ``replaced``.
    """
    planned = store.planned(manifest["run"]).to_pandas()
    if not as_of:
        return _cells(planned, store.read().to_pandas())
    table = store.read(every=True)
    then = best_rows(table.filter(pc.less_equal(table["run"], manifest["run"])))
    cells = _cells(planned, then.to_pandas())
    later = cells["cell_id"].isin(set(table["cell_id"].to_pylist())) & (cells["status"] == "missing")
    cells.loc[later, "status"] = "replaced"
    return cells


def runs_of(store: Store, suite: str | None, run: int | None) -> list[dict[str, Any]]:
    """Manifests of the latest whole run of each suite, or of one run.

    Raises
    ------
    UsageError
        If the store has no such suite or run.
    """
    found = shown_runs(store, suite, run)
    if run is not None and suite is not None and not found:
        raise UsageError(f"run {run} of {store.path} is not of suite {suite!r}")
    return found
