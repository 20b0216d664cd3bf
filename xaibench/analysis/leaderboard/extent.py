"""Size of a leaderboard: numbers of problems, explainers, metrics, cells and samples."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM


@dataclass(frozen=True)
class Extent:
    """Numbers of what a leaderboard is made of.

    Attributes
    ----------
    problems, explainers, metrics, cells : int
        Explainers without the controls; a metric with other parameters, or of another output, counts again.
    least_samples, most_samples : int
        Over the rows that have scores; 0 where there is none.
    """

    problems: int
    explainers: int
    metrics: int
    cells: int
    least_samples: int
    most_samples: int


def extent(board: pd.DataFrame) -> Extent:
    """Count what the leaderboard of one suite is made of."""
    sizes = board.loc[board["n"] > 0, "n"]
    return Extent(
        len(board[PROBLEM].drop_duplicates()),
        len(board.loc[~board["control"].astype(bool), ENTRY].drop_duplicates()),
        len(board[["metric", "params", "asked_output"]].drop_duplicates()),
        int(board["n_cells"].sum()),
        int(sizes.min()) if len(sizes) else 0,
        int(sizes.max()) if len(sizes) else 0,
    )
