"""Ranks over problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.flags import is_false, is_true
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY, NO_RANKS, PROBLEM
from xaibench.analysis.statistics.intervals import significant

MEASURE = ["family", "truth_kind", "metric", "params", "asked_output"]
"""What is averaged over problems. Scores against truths of different kinds never are."""


def relative_ranks(board: pd.DataFrame) -> pd.Series[float]:
    """Place of every row of a leaderboard among the ranked explainers: 0 is best, 1 is last.

    For a ranked explainer (rank - 1) / (n_ranked - 1), so that comparison groups of
    different size are comparable; NaN where it is alone. For a control, which is not ranked, the share of ranked
    explainers that are better, ties by half.
    """
    relative = (board["rank"] - 1) / (board["n_ranked"] - 1).where(board["n_ranked"] > 1)
    sign = np.where(board["higher_is_better"], 1.0, -1.0)
    merit = sign * significant(board["value"].to_numpy())
    ranked, control = board["rank"].notna().to_numpy(), board["control"].to_numpy(dtype=bool)
    result = relative.to_numpy(dtype=np.float64, copy=True)
    for rows in board.groupby(COMPARISON_GROUP, sort=False).indices.values():
        group = merit[rows[ranked[rows]]]
        placed = rows[control[rows] & np.isfinite(merit[rows])]
        if len(group):
            own = merit[placed][:, None]
            result[placed] = ((group > own) + 0.5 * (group == own)).mean(axis=1)
    return pd.Series(result, board.index, name="relative_rank")


def describes(board: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a leaderboard are of metrics that describe explanations and do not rank them."""
    if "message" not in board:
        return pd.Series(False, board.index)
    return board["message"].fillna("").astype(str).str.startswith(NO_RANKS)


def counted(board: pd.DataFrame) -> pd.DataFrame:
    """Rows of a leaderboard that averages may use, with ``relative_rank``.

    Left out are problems with a failed gate, metrics that do not rank, and metrics on problems that support none
    of them.
    ``truth_kind`` is given for the ground-truth family only; elsewhere no truth is involved.
    Boards of older versions do not say what metrics measure: there every metric is a construct of its own.
    """
    older: dict[str, Any] = {"construct": board["metric"], "about": "", "masker": ""}
    board = board.assign(**{name: values for name, values in older.items() if name not in board})
    passed = board[~is_false(board["gate_passed"]) & ~describes(board)]
    passed = passed.assign(
        relative_rank=relative_ranks(passed),
        truth_kind=passed["truth_kind"].where(passed["family"] == "ground_truth").fillna(""),
    )
    any_supported = (
        (passed["status"] != "unsupported").groupby([passed[c] for c in COMPARISON_GROUP], sort=False).transform("any")
    )
    return passed[any_supported]


def mean_ranks(board: pd.DataFrame) -> pd.DataFrame:
    """Ranks of every explainer with every metric, over problems.

    Returns
    -------
    DataFrame
        One row per (explainer, explainer_params, family, truth_kind, metric, params, asked_output),
        controls included. ``mean_rank`` and ``relative_rank`` (0 best, 1 last; see `relative_ranks`) are
        means over the ``n_ranked`` problems on which there is a rank, of ``n_expected`` problems
        that the metric was measured on. Means over different problems are not comparable: compare
        rows with equal ``n_ranked == n_expected``, or use `overall`. The placebo is beaten on
        ``n_beats`` of the ``n_tested`` problems where it could be tested.
    """
    rows = counted(board)
    n_expected = rows[[*MEASURE, *PROBLEM]].drop_duplicates().groupby(MEASURE, sort=False).size()
    rows = rows.assign(
        ranked=rows["relative_rank"].notna(),
        beats=is_true(rows["beats_placebo"]).astype(np.int64),
        tested=rows["beats_placebo"].notna(),
        **{s: rows["status"] == s for s in ("unsupported", "failed", "undefined", "missing")},
    )
    table = rows.groupby([*ENTRY, "control", *MEASURE], sort=False, as_index=False).agg(
        mean_rank=("rank", "mean"),
        relative_rank=("relative_rank", "mean"),
        n_ranked=("ranked", "sum"),
        n_beats=("beats", "sum"),
        n_tested=("tested", "sum"),
        n_unsupported=("unsupported", "sum"),
        n_failed=("failed", "sum"),
        n_undefined=("undefined", "sum"),
        n_missing=("missing", "sum"),
    )
    return table.merge(n_expected.rename("n_expected").reset_index(), on=MEASURE, how="left", sort=False)
