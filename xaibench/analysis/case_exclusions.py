"""Cases that are left out of rankings, claims and comparisons because a gate of their own failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

MAX_NAMED = 3
"""Cases that a note names at most."""


def without_excluded(results: pd.DataFrame) -> pd.DataFrame:
    """Results without the scores of cases whose own gate failed.

    Parameters
    ----------
    results : DataFrame
        One row per cell, columns as in `xaibench.store.Row`. Frames of older schemas lack ``exclusions``.

    Returns
    -------
    DataFrame
        The same frame where nothing is left out. Else a copy, with fewer ``scores`` and ``sample_ids`` in
        rows in which some cases are left out, and ``n`` and ``n_undefined`` counted again. Rows in which
        every case is, keep their scores: ``gate_passed`` is False there.
    """
    if "exclusions" not in results:
        return results
    reasons = [_as_list(row) for row in results["exclusions"]]
    partly = [i for i, row in enumerate(reasons) if any(row) and not all(row)]
    if not partly:
        return results
    columns: dict[str, list[Any]] = {name: results[name].tolist() for name in ("scores", "sample_ids")}
    counts = {name: results[name].tolist() for name in ("n", "n_undefined") if name in results}
    for i in partly:
        kept = np.array([not why for why in reasons[i]])
        scores = np.asarray(columns["scores"][i])
        if len(scores) != len(kept):
            continue
        names = np.asarray(_as_list(columns["sample_ids"][i]), dtype=object)
        columns["scores"][i], columns["sample_ids"][i] = scores[kept], names[kept]
        found = {"n": int(kept.sum()), "n_undefined": int(np.isnan(scores[kept].astype(np.float64)).sum())}
        for name, values in counts.items():
            values[i] = found[name]
    return results.assign(**columns, **counts)


def exclusion_notes(cells: pd.DataFrame, entry_of: Any, size: int) -> list[str]:
    """For each of ``size`` rows of a leaderboard, which cases are left out of it and why; empty text where none is.

    Parameters
    ----------
    cells : DataFrame
        ``exclusions`` and ``sample_ids`` as stored, before `without_excluded`.
    entry_of : array (cells,) of int
        Number of the board's row.
    size : int
    """
    found: dict[int, dict[str, str]] = {}
    totals: dict[int, set[str]] = {}
    if "exclusions" not in cells:
        return [""] * size
    for entry, reasons, names in zip(entry_of, cells["exclusions"], cells["sample_ids"], strict=True):
        row = _as_list(reasons)
        if any(row) and not all(row):
            pairs = list(zip(_as_list(names), row, strict=True))
            found.setdefault(int(entry), {}).update({str(name): str(why) for name, why in pairs if why})
            totals.setdefault(int(entry), set()).update(str(name) for name, _ in pairs)
    return [_note(found[i], len(totals[i])) if i in found else "" for i in range(size)]


def _note(reasons: dict[str, str], total: int) -> str:
    named = "; ".join(f"{name} ({why})" for name, why in list(reasons.items())[:MAX_NAMED])
    more = f"; and {len(reasons) - MAX_NAMED} more" if len(reasons) > MAX_NAMED else ""
    return f"{len(reasons)} of {total} cases left out, a gate failed: {named}{more}"


def _as_list(value: Any) -> list[Any]:
    return [] if value is None or isinstance(value, float) else list(value)
