"""Who is ranked on a leaderboard, and why others are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import (
    ABOUT_FUNCTIONS,
    CONDITIONAL,
    FIELD,
    REPEATED,
    RETRAINED,
    SCORED,
    SETS,
    SINGLE,
)
from xaibench.analysis.statistics import intervals
from xaibench.core.types import Array
from xaibench.store import FAILURES


def units(scope: Any) -> str:
    """What the scores of a metric are of; results of older schemas do not say and are of samples."""
    return "repeats" if scope == "dataset" else "samples"


def judge(board: pd.DataFrame, cells: pd.DataFrame, entry_of: Array) -> None:
    """Status, message, estimand and rank, from what has been measured."""
    has_value = board["value"].notna().to_numpy()
    counts = {s: board[f"n_{s}"].to_numpy() > 0 for s in ("failed", "missing", "unsupported")}
    board["status"] = np.select([has_value, *counts.values()], ["ok", *counts], "undefined")
    several = board.groupby(FIELD, sort=False)["n_seeds"].transform("max").to_numpy() > 1
    over_data = board["scope"].map(units).to_numpy() == "repeats"
    repeats = np.where(board["n"].to_numpy() > 1, REPEATED, SINGLE)
    estimand = np.where(several, RETRAINED, np.where(over_data, repeats, CONDITIONAL))
    programs = (board["truth_kind"] == "program").to_numpy(dtype=bool, na_value=False)
    estimand = np.where(programs, np.where(several, SETS, ABOUT_FUNCTIONS), estimand)
    board["estimand"] = pd.Series(estimand, board.index).where(has_value, None)
    gate_failed = (board["gate_passed"] == False).fillna(False).to_numpy(dtype=bool)  # noqa: E712
    control = board["control"].to_numpy(dtype=bool)
    complete, defined, mixed = (board[c].to_numpy() for c in ("_complete", "_defined", "_mixed"))
    ranked = has_value & ~control & ~gate_failed & complete & defined & ~mixed
    sign = np.where(board["higher_is_better"], -1.0, 1.0)
    merit = sign * intervals.significant(board["value"].to_numpy())
    fields = board.assign(_v=np.where(ranked, merit, np.nan)).groupby(FIELD, sort=False)
    board["rank"] = fields["_v"].rank(method="average")
    board["n_ranked"] = board.groupby(FIELD, sort=False)["rank"].transform("count").astype(np.int64)
    reason = _first_reason(cells, entry_of, len(board))
    unmeasured = np.where(board["status"] == "undefined", _undefined(board["scope"]), reason)
    undone = board["n_cells"] - board["n_cells"].where(complete, 0)
    partial = [
        f"not ranked: incomplete, {f} of {c} cells failed, {m} missing" + (f" ({r})" if r else "") if u else ""
        for u, f, c, m, r in zip(undone, board["n_failed"], board["n_cells"], board["n_missing"], reason, strict=True)
    ]
    choice = np.select(
        [~has_value, gate_failed & ~control, mixed, ~complete, ~defined & ~control],
        [
            unmeasured,
            "not ranked: a gate of the problem failed",
            "not ranked: explainers were run on different trainings of this model",
            np.asarray(partial, dtype=object),
            board["_few"].to_numpy(dtype=object),
        ],
        "",
    )
    board["message"] = pd.Series(choice, board.index, dtype=object).replace("", None)
    for name in ("beats_placebo", "loses_to_placebo"):
        board[name] = board[name].astype("boolean")


def _undefined(scope: pd.Series[Any]) -> list[str]:
    return [f"no {units(s).removesuffix('s')} has a defined score" for s in scope]


def _first_reason(cells: pd.DataFrame, entry_of: Array, size: int) -> Array:
    """Message of the worst cell of every row of the board: failures first, then missing, then unsupported."""
    worst = {**dict.fromkeys(FAILURES, 0), "missing": 1, "unsupported": 2}
    severity = cells["status"].map(worst).fillna(9).to_numpy()
    order = np.lexsort((np.arange(len(cells)), severity, entry_of))
    first = order[np.flatnonzero(np.diff(entry_of[order], prepend=-1))]
    text = cells["message"].to_numpy(dtype=object)[first]
    state = cells["status"].to_numpy(dtype=object)[first]
    found = [
        None if s in SCORED else f"{s}: {m}" if isinstance(m, str) and m else str(s)
        for s, m in zip(state, text, strict=True)
    ]
    result: Array = np.array(found, dtype=object).reshape(size)
    return result
