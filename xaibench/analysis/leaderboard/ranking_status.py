"""Which explainers are ranked on a leaderboard, and why others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.flags import is_false
from xaibench.analysis.leaderboard.columns import (
    ABOUT_CASES,
    ABOUT_FUNCTIONS,
    COMPARISON_GROUP,
    CONDITIONAL,
    NO_RANKS,
    REPEATED,
    RETRAINED,
    SCORED,
    SETS,
    SETS_OF_CASES,
    SINGLE,
)
from xaibench.analysis.statistics import intervals
from xaibench.core.cases.kinds import ANSWER_TYPES
from xaibench.core.types import Array
from xaibench.store import FAILURES


def units(scope: Any) -> str:
    """What the scores of a metric are of; results of older schemas do not say and are of samples."""
    return "repeats" if scope == "dataset" else "samples"


@dataclass(frozen=True)
class Eligibility:
    """What a rank takes, by row of a leaderboard; every array is (R,).

    Attributes
    ----------
    complete : array of bool
        Every cell of the row has a result, for every problem seed.
    defined : array of bool
        Scores are defined on enough samples of every problem seed.
    too_few : array of object
        Where they are not, the message that says so; None elsewhere.
    mixed : array of bool
        Explainers were run on different trainings of the problem's model.
    ranks : array of bool
        The metric may rank explainers.
    """

    complete: Array
    defined: Array
    too_few: Array
    mixed: Array
    ranks: Array


def ranking_status(board: pd.DataFrame, eligibility: Eligibility, cells: pd.DataFrame, entry_of: Array) -> pd.DataFrame:
    """Status, rank, estimand and message of every row of a leaderboard, from what has been measured.

    Parameters
    ----------
    board : DataFrame
        ``COMPARISON_GROUP``, ``value``, ``higher_is_better``, ``control``, ``gate_passed``, ``scope``, ``truth_kind``,
        ``n``, ``n_seeds``, ``n_cells``, ``n_failed``, ``n_missing`` and ``n_unsupported``, and ``stopped``: how it
        left a race early, None where it did not; it stays as it is.
    eligibility : Eligibility
    cells : DataFrame
        From `sorted_cells`.
    entry_of : array (cells,) of int
        Number of the board's row, rising.

    Returns
    -------
    DataFrame
        With the index of the board: ``status``; ``estimand``, missing without a value; ``rank``, NaN where there is
        none; ``n_ranked`` of the comparison group; ``message``, why there is no value or no rank, None where
        there is nothing to say.
    """
    has_value = board["value"].notna().to_numpy()
    counts = {s: board[f"n_{s}"].to_numpy() > 0 for s in ("failed", "missing", "unsupported")}
    status = np.select([has_value, *counts.values()], ["ok", *counts], "undefined")
    gate_failed = is_false(board["gate_passed"]).to_numpy()
    control = board["control"].to_numpy(dtype=bool)
    complete, defined, mixed = eligibility.complete, eligibility.defined, eligibility.mixed
    ranked = has_value & ~control & ~gate_failed & complete & defined & ~mixed & eligibility.ranks
    sign = np.where(board["higher_is_better"], -1.0, 1.0)
    cost = pd.Series(np.where(ranked, sign * intervals.significant(board["value"].to_numpy()), np.nan), board.index)
    groups = [board[c] for c in COMPARISON_GROUP]
    rank = cost.groupby(groups, sort=False).rank(method="average")
    reason = _first_reason(cells, entry_of, len(board))
    unmeasured = np.where(status == "undefined", _undefined(board["scope"]), reason)
    undone = board["n_cells"] - board["n_cells"].where(complete, 0)
    partial = [
        f"not ranked: incomplete, {f} of {c} cells failed, {m} missing" + (f" ({r})" if r else "") if u else ""
        for u, f, c, m, r in zip(undone, board["n_failed"], board["n_cells"], board["n_missing"], reason, strict=True)
    ]
    choice = np.select(
        [
            ~has_value,
            board["stopped"].notna().to_numpy(),
            gate_failed & ~control,
            mixed,
            ~complete,
            ~defined & ~control,
        ],
        [
            unmeasured,
            np.asarray([f"not ranked: {text}" for text in board["stopped"]], dtype=object),
            "not ranked: a gate of the problem failed",
            "not ranked: explainers were run on different trainings of this model",
            np.asarray(partial, dtype=object),
            eligibility.too_few,
        ],
        "",
    )
    choice = np.where(eligibility.ranks, choice, [f"{NO_RANKS}; {why}" if why else NO_RANKS for why in choice])
    return pd.DataFrame(
        {
            "status": status,
            "estimand": pd.Series(_estimands(board, _about_cases(cells, entry_of, len(board))), board.index).where(
                has_value, None
            ),
            "rank": rank,
            "n_ranked": rank.groupby(groups, sort=False).transform("count").astype(np.int64),
            "message": pd.Series(choice, board.index, dtype=object).replace("", None),
        },
        index=board.index,
    )


def _estimands(board: pd.DataFrame, about_cases: Array) -> Array:
    """What the interval and the tests of every row are over."""
    several = board.groupby(COMPARISON_GROUP, sort=False)["n_seeds"].transform("max").to_numpy() > 1
    over_data = board["scope"].map(units).to_numpy() == "repeats"
    repeats = np.where(board["n"].to_numpy() > 1, REPEATED, SINGLE)
    estimand = np.where(several, RETRAINED, np.where(over_data, repeats, CONDITIONAL))
    programs = (board["truth_kind"] == "program").to_numpy(dtype=bool, na_value=False)
    found: Array = np.where(programs, np.where(several, SETS, ABOUT_FUNCTIONS), estimand)
    return np.where(about_cases, np.where(several, SETS_OF_CASES, ABOUT_CASES), found)


def _about_cases(cells: pd.DataFrame, entry_of: Array, size: int) -> Array:
    """By row of the board: whether its scores are of cases, whose answers are scores or dictionaries."""
    kinds = cells["attribution_kind"] if "attribution_kind" in cells else pd.Series(None, cells.index, dtype=object)
    counts = np.bincount(entry_of, kinds.isin(ANSWER_TYPES).to_numpy(dtype=np.float64), minlength=size)
    return np.asarray(counts > 0)


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
