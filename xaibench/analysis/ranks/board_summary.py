"""A leaderboard condensed to one row per explainer and one column per metric: tests won, and mean relative ranks."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from xaibench.analysis.flags import is_false
from xaibench.analysis.leaderboard.columns import METRIC_FAMILIES, PROBLEM
from xaibench.analysis.leaderboard.placebo_outcomes import placebo_outcomes
from xaibench.analysis.ranks.placebo_coverage import PlaceboCoverage, placebo_coverage
from xaibench.analysis.ranks.placebo_wins import record
from xaibench.analysis.ranks.relative_ranks import MEASURE, counted, mean_ranks
from xaibench.analysis.ranks.standings import CommonGround, Standings, standings

GAPS = ("failed", "missing", "undefined", "unsupported")
"""Why there is no rank, the gravest reason first."""
ALONE = "alone"
"""No other explainer has a score, so that there is no rank."""


@dataclass(frozen=True)
class BoardSummary:
    """The numbers of an overview.

    Attributes
    ----------
    explainers : DataFrame
        From `standings`, in the order in which they are shown.
    ground : CommonGround or None
        What the overall ranks among them are of.
    measures : DataFrame
        `MEASURE` of every metric: families in their usual order, then by name.
    ranks : DataFrame
        From `measured_ranks`.
    rows : DataFrame
        The rows of the leaderboard that count (see `counted`), with ``outcome`` (see `placebo_outcomes`).
    n_problems, n_failed_gates : int
        Problems that count, and problems that do not because a gate failed.
    coverage : PlaceboCoverage
    estimands : tuple of str
        What intervals and tests are over, sorted.
    """

    explainers: pd.DataFrame
    ground: CommonGround | None
    measures: pd.DataFrame
    ranks: pd.DataFrame
    rows: pd.DataFrame
    n_problems: int
    n_failed_gates: int
    coverage: PlaceboCoverage
    estimands: tuple[str, ...]


def board_summary(board: pd.DataFrame, known: Standings | None = None) -> BoardSummary:
    """Condense the leaderboard of one suite; problems with a failed gate do not count.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.
    known : Standings, optional
        `standings` of the board, where they are known.
    """
    rows = counted(board)
    ranks = measured_ranks(board)
    order = {family: i for i, family in enumerate(METRIC_FAMILIES)}
    measures = ranks[MEASURE].drop_duplicates()
    measures = measures.sort_values(
        MEASURE, key=lambda s: s.map(order) if s.name == "family" else s, kind="stable", ignore_index=True
    )
    failed = board[is_false(board["gate_passed"])]
    found = standings(board) if known is None else known
    return BoardSummary(
        found.explainers,
        found.ground,
        measures,
        ranks,
        rows.assign(outcome=placebo_outcomes(rows)),
        len(rows[PROBLEM].drop_duplicates()),
        len(failed[PROBLEM].drop_duplicates()),
        placebo_coverage(board, rows),
        tuple(sorted(board["estimand"].dropna().unique().tolist())),
    )


def measured_ranks(board: pd.DataFrame) -> pd.DataFrame:
    """`mean_ranks`, and in words what is behind them.

    Returns
    -------
    DataFrame
        The columns of `mean_ranks`, and ``gap``: why there is no rank, the first of `GAPS` that happened on any
        problem, or `ALONE`; None where there is a rank. ``partly``: ranked on fewer problems than the metric was
        measured on. ``record``: of the placebo tests, see `record`.
    """
    ranks = mean_ranks(board)
    gaps = [
        None if row["n_ranked"] else next((gap for gap in GAPS if row[f"n_{gap}"]), ALONE)
        for row in ranks.to_dict("records")
    ]
    return ranks.assign(
        gap=pd.Series(gaps, ranks.index, dtype=object),
        partly=(ranks["n_ranked"] > 0) & (ranks["n_ranked"] < ranks["n_expected"]),
        record=[record(int(won), int(n)) for won, n in zip(ranks["n_beats"], ranks["n_tested"], strict=True)],
    )
