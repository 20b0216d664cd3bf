"""Cases that are left out of rankings, claims and comparisons because a gate of their own failed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.gates import gate_of

MAX_NAMED = 3
"""Cases that a note names at most."""


def without_excluded(results: pd.DataFrame) -> pd.DataFrame:
    """Results without the scores of cases whose own gate failed.

    Parameters
    ----------
    results : DataFrame
        One row per cell, columns as in `xaibench.store.Row`; of these ``gates``, ``scores`` and ``sample_ids``.

    Returns
    -------
    DataFrame
        The same frame where nothing is left out. Else a copy, with fewer ``scores`` and ``sample_ids`` in
        rows in which some cases are left out, and ``n`` and ``n_undefined`` counted again. Rows in which
        every case is, keep their scores: ``gate_passed`` is False there.
    """
    reasons = _reasons(results)
    columns: dict[str, list[Any]] = {}
    for i, why in enumerate(reasons):
        names = _as_list(results["sample_ids"].iloc[i]) if why else []
        ranked = np.array([name not in why for name in names], dtype=bool)
        if not ranked.any() or ranked.all():
            continue
        if not columns:
            known = ("scores", "sample_ids", "n", "n_undefined")
            columns = {name: results[name].tolist() for name in known if name in results}
        scores = np.asarray(columns["scores"][i])[ranked]
        found: dict[str, Any] = {
            "scores": scores,
            "sample_ids": np.asarray(names, dtype=object)[ranked],
            "n": len(scores),
            "n_undefined": int(np.isnan(scores.astype(np.float64)).sum()),
        }
        for name, values in columns.items():
            values[i] = found[name]
    return results.assign(**columns) if columns else results


def exclusion_notes(cells: pd.DataFrame, entry_of: Any, size: int) -> list[str]:
    """For each of ``size`` rows of a leaderboard, which cases are left out of it and why; empty text where none is.

    Parameters
    ----------
    cells : DataFrame
        ``gates`` and ``sample_ids`` as stored, before `without_excluded`.
    entry_of : array (cells,) of int
        Number of the board's row.
    size : int
    """
    found: dict[int, dict[str, str]] = {}
    totals: dict[int, set[str]] = {}
    for i, why in enumerate(_reasons(cells)):
        names = _as_list(cells["sample_ids"].iloc[i]) if why else []
        left_out = {name: why[name] for name in names if name in why}
        if left_out and len(left_out) < len(names):
            found.setdefault(int(entry_of[i]), {}).update(left_out)
            totals.setdefault(int(entry_of[i]), set()).update(names)
    return [_note(found[i], len(totals[i])) if i in found else "" for i in range(size)]


def _reasons(cells: pd.DataFrame) -> list[dict[str, str]]:
    """By row, the cases with a failed gate of their own, and what failed."""
    if "gates" not in cells or "sample_ids" not in cells:
        return [{}] * len(cells)
    known: dict[Any, dict[str, str]] = {}
    for text in cells["gates"].unique():
        failed: dict[str, str] = {}
        for document in json.loads(text) if isinstance(text, str) and '"case"' in text else ():
            gate = replace(gate_of(document), case="")
            if document.get("case") and not gate.passed:
                failed[document["case"]] = ", ".join(filter(None, [failed.get(document["case"]), str(gate)]))
        known[text] = failed
    return [known[text] for text in cells["gates"]]


def _note(reasons: dict[str, str], total: int) -> str:
    named = "; ".join(f"{name} ({why})" for name, why in list(reasons.items())[:MAX_NAMED])
    more = f"; and {len(reasons) - MAX_NAMED} more" if len(reasons) > MAX_NAMED else ""
    return f"{len(reasons)} of {total} cases left out, a gate failed: {named}{more}"


def _as_list(value: Any) -> list[Any]:
    return [] if value is None or isinstance(value, float) else list(value)
