"""Stores as they were after one of their runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from xaibench.analysis.claims.verdicts import claims_table
from xaibench.api.reading import _cells, _claims_of, shown_runs
from xaibench.core.errors import UsageError
from xaibench.core.storage.paths import local_path
from xaibench.store import Store
from xaibench.store.select import best_rows


def parse_reference(text: str) -> tuple[str, int | None]:
    """Store and run number of ``STORE`` or ``STORE@3``."""
    found = re.fullmatch(r"(.+)@(\d+)", text)
    if found is None or local_path(text).exists():
        return text, None
    return found[1], int(found[2])


def cells_of(store: Store, runs: list[dict[str, Any]], *, as_of: int | None = None) -> pd.DataFrame:
    """Cells that runs planned, with their results; a cell that several have planned is there once.

    Parameters
    ----------
    store : Store
    runs : list of dict
        Their manifests.
    as_of : int, optional
        Only what there was after this run: a cell whose results are all from later ones has status ``replaced``.
    """
    parts = [store.planned(manifest["run"]).to_pandas() for manifest in runs]
    planned = pd.concat(parts, ignore_index=True).drop_duplicates("cell_id", ignore_index=True)
    if as_of is None:
        return _cells(planned, store.read().to_pandas())
    then, later = _parted(store.read(every=True), as_of)
    cells = _cells(planned, then)
    replaced = cells["cell_id"].isin(later["cell_id"]) & (cells["status"] == "missing")
    cells.loc[replaced, "status"] = "replaced"
    return cells


def _parted(rows: pa.Table, run: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The best rows of what there was after a run, and of what came later."""
    early = pc.less_equal(rows["run"], run)
    return best_rows(rows.filter(early)).to_pandas(), best_rows(rows.filter(pc.invert(early))).to_pandas()


def claims_history(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Verdicts on claims after every run of a store.

    Where a later run has put its rows in place of those of a run that had finished, the later rows stand
    in for them: they are of the same content.

    Parameters
    ----------
    store : path
    suite : str, optional
        Only this suite; by default all.

    Returns
    -------
    DataFrame
        Columns of `xaibench.analysis.claims.verdicts.claims_table` and ``run``, ``started``, ``whole``, ``flipped``
        (another verdict than the run of this suite before); oldest run first within a claim.
    """
    opened = Store(store)
    runs_of(opened, suite, None)
    rows = opened.read(every=True)
    tables = []
    for manifest in opened.manifests():
        if suite not in (None, manifest["suite"]):
            continue
        then, later = _parted(rows, manifest["run"])
        ended = opened.outcome(manifest["run"]) or {}
        if ended.get("end") == "finished":
            then = pd.concat([part for part in (then, later[~later["cell_id"].isin(then["cell_id"])]) if len(part)])
        cells = _cells(opened.planned(manifest["run"]).to_pandas(), then)
        facts = {"run": manifest["run"], "started": manifest.get("started"), "whole": manifest.get("whole", True)}
        for part, made in _claims_of(manifest.get("resolved_suite", {}), cells):
            tables.append(claims_table(part, made, suite=manifest["suite"]).assign(**facts))
    return flips(pd.concat(tables, ignore_index=True))


def flips(history: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by claim and run, with ``flipped`` where one differs from that of the run before."""
    ordered = history.sort_values(["suite", "id", "run"], key=_in_order, kind="stable", ignore_index=True)
    before = ordered.groupby(["suite", "id"], sort=False)["verdict"].shift()
    return ordered.assign(flipped=before.notna() & (before != ordered["verdict"]))


def _in_order(names: pd.Series[Any]) -> pd.Series[Any]:
    """Keys that sort claims in the order of the suite file."""
    return names if names.name == "run" else pd.Series(pd.factorize(names)[0], names.index)


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
