"""Which cells of two runs belong together, and what has become of those that cannot be compared."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY
from xaibench.core.gates import gate_of
from xaibench.store import FAILURES

KEY = [*COMPARISON_GROUP, *ENTRY]
"""What makes an entry: one explainer on one problem with one metric; its cells differ in seeds and draws."""
MATCHED_FACTS = ["family", "higher_is_better", "aggregate", "control", "output"]
BAD = ("failed", "undefined", "lost", "gate")
"""What can become of a cell that had a result, and counts as a regression."""
SEEDS = ["problem_seed", "seed", "repeat"]
_SCORED = ("ok", "undefined")
_NEEDED = [
    *KEY,
    *MATCHED_FACTS,
    *SEEDS,
    "cell_id",
    "lineage",
    "status",
    "fingerprint",
    "message",
    "error_kind",
    "versions",
]


def pair_cells(baseline: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Say of every cell what has become of it.

    Parameters
    ----------
    baseline, candidate : DataFrame
        One row per planned cell, columns as in `xaibench.store.Row`; status ``missing`` where there
        is no result, ``replaced`` where a later run of the same store has put its own in place.

    Returns
    -------
    DataFrame
        One row per cell of either side: `KEY`, `MATCHED_FACTS`, `SEEDS`, ``cell_id`` (of the baseline, if it
        has the cell), ``state``, ``message``, and the positions ``b`` and ``c`` of its rows, -1 for none.
        States: ``pair`` (both have scores, of equal weights), ``retrained`` (of different weights);
        ``failed``, ``undefined``, ``lost``: it had a result; ``fixed``, ``new``: it had none;
        ``unscored`` on both sides; ``incomparable``, and the message says why.
    """
    left, right = _prepared(baseline, "b"), _prepared(candidate, "c")
    b, c = _matched(left, right)
    unplanned = np.setdiff1d(np.arange(len(left)), b)
    fresh = np.setdiff1d(np.arange(len(right)), c)
    rows = pd.concat([left.iloc[b], left.iloc[unplanned], right.iloc[fresh]], ignore_index=True)
    rows["b"] = np.concatenate([b, unplanned, np.full(len(fresh), -1)]).astype(np.int64)
    rows["c"] = np.concatenate([c, np.full(len(unplanned), -1), fresh]).astype(np.int64)
    states = _states(left, right, rows["b"], rows["c"])
    rows["state"] = [state for state, _ in states]
    rows["message"] = [message for _, message in states]
    return pd.DataFrame(rows[[*KEY, *MATCHED_FACTS, *SEEDS, "cell_id", "b", "c", "state", "message"]])


def _prepared(cells: pd.DataFrame, side: str) -> pd.DataFrame:
    twice = cells["cell_id"].duplicated()
    if twice.any():
        raise ValueError(f"two rows for one cell: {cells.loc[twice, 'cell_id'].iloc[0]} ({side})")
    cells = cells[_NEEDED].reset_index(drop=True)
    asked = cells["asked_output"]
    named: pd.DataFrame = cells.assign(asked_output=asked.where(asked.notna(), "").astype(str))
    return named


def _matched(left: pd.DataFrame, right: pd.DataFrame) -> tuple[Any, Any]:
    """Positions of the rows that are the same cell, or the same but for versions."""
    where = pd.Series(np.arange(len(right)), right["cell_id"].to_numpy())
    found = left["cell_id"].map(where)
    b = np.flatnonzero(found.notna())
    c = found.to_numpy()[b].astype(np.int64)
    old, new = np.setdiff1d(np.arange(len(left)), b), np.setdiff1d(np.arange(len(right)), c)
    by_lineage = pd.Series(new, right["lineage"].to_numpy()[new])
    by_lineage = by_lineage[~by_lineage.index.duplicated()]
    again = left["lineage"].iloc[old].map(by_lineage)
    again = again[again.notna() & ~again.duplicated()]
    return (
        np.concatenate([b, again.index.to_numpy(dtype=np.int64)]),
        np.concatenate([c, again.to_numpy(dtype=np.int64)]),
    )


def _states(left: pd.DataFrame, right: pd.DataFrame, b: Any, c: Any) -> list[tuple[str, str | None]]:
    """What has become of every cell, and why."""
    old, new = ({k: side[k].to_numpy() for k in _NEEDED} for side in (left, right))
    found: list[tuple[str, str | None]] = []
    for i, j in zip(b, c, strict=True):
        if i < 0:
            found.append(("new", None))
            continue
        if j < 0:
            had = old["status"][i] in _SCORED
            found.append(("lost", "not planned") if had else ("unscored", "not planned any more"))
            continue
        state, why = _state(old["status"][i], new["status"][j], old["cell_id"][i] == new["cell_id"][j])
        if why == _VERSIONS:
            why = f"{why}: {_changes(old['versions'][i], new['versions'][j])}"
        elif state == "failed" or (state == "lost" and why == "unsupported"):
            why = _reason(new["status"][j], new["error_kind"][j], new["message"][j])
        other = [f for f in MATCHED_FACTS if not _same(old[f][i], new[f][j])]
        if state in ("pair", "undefined") and other:
            state, why = "lost", "declared otherwise: " + ", ".join(f"{f} {old[f][i]} to {new[f][j]}" for f in other)
        if state == "pair" and old["fingerprint"][i] != new["fingerprint"][j]:
            state = "retrained"
        found.append((state, why))
    return found


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (pd.isna(a) and pd.isna(b))


_VERSIONS = "version changed"


def _state(old: str, new: str, same_version: bool) -> tuple[str, str | None]:
    """State of a cell that both sides have planned, from its two statuses."""
    had = old in _SCORED
    if "replaced" in (old, new):
        return "incomparable", "replaced by a later run of the store"
    if new in FAILURES and (had or old == "unsupported"):
        return "failed", None
    if new == "missing" and had:
        return "lost", "planned, without a result"
    if new not in _SCORED and (not same_version or not had):
        return ("incomparable", _VERSIONS) if had else ("unscored", f"{old}, then {new}")
    if new == "unsupported":
        return "lost", new
    if not same_version:
        return "incomparable", _VERSIONS
    if old != "ok":
        return ("fixed", None) if new == "ok" else ("unscored", f"{old}, then {new}")
    return ("pair" if new == "ok" else "undefined"), None


def _changes(old: str, new: str) -> str:
    """Which versions changed, in words."""
    before, after = json.loads(old), json.loads(new)
    names = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return ", ".join(f"{name} {before.get(name, '-')} to {after.get(name, '-')}" for name in names) or "of this cell"


def _reason(status: str, kind: Any, message: Any) -> str:
    said = ": ".join(text for text in (kind, message) if isinstance(text, str) and text)
    return f"{status}: {said}" if said else status


def lost_gates(pairs: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Cells of problems whose gates had passed and fail now: state ``gate``, and which gate in the message."""
    both = pairs[(pairs["b"] >= 0) & (pairs["c"] >= 0)]
    # A column of booleans with gaps holds objects.
    passed = [side["gate_passed"].to_numpy(dtype=object) for side in (baseline, candidate)]
    fell = [passed[0][b] is not None and bool(passed[0][b] == True) and bool(passed[1][c] == False)  # noqa: E712
            for b, c in zip(both["b"], both["c"], strict=True)]  # fmt: skip
    found = both[fell].assign(state="gate")
    gates = candidate["gates"].to_numpy(dtype=object)
    found["message"] = [_failed_gates(gates[c]) for c in found["c"]]
    return found


def _failed_gates(text: str) -> str:
    known = [gate_of(g) for g in json.loads(text)]
    return "; ".join(str(gate) for gate in known if not gate.passed)
