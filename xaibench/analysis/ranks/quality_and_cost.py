"""Quality against cost: overall ranks beside what an explanation takes, and who is on the Pareto front."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM
from xaibench.analysis.ranks.standings import standings
from xaibench.core.types import Array

COST_COLUMNS: dict[str, str] = {
    "explainer": "str", "explainer_params": "str", "control": "bool", "place": "float64", "relative_rank": "float64",
    "ci_low": "float64", "ci_high": "float64", "seconds": "float64", "memory": "float64", "pareto": "bool",
}  # fmt: skip

COST_COLUMN_DESCRIPTIONS: dict[str, str] = {
    "explainer": "Name of the explainer or interpreter.",
    "explainer_params": "All parameters of the explainer, defaults included, as canonical JSON.",
    "control": "Whether this is a control.",
    "place": "Overall place on common ground, 1 is best; null without one.",
    "relative_rank": "Overall mean relative rank, 0 for the best of all and 1 for the worst.",
    "ci_low": "Lower end of the 95 % interval of the relative rank.",
    "ci_high": "Upper end of the 95 % interval of the relative rank.",
    "seconds": "Mean wall time of one explanation of one sample in seconds.",
    "memory": "Largest peak memory of an explanation in bytes, beyond what the process held when it began.",
    "pareto": "Whether no other explainer is as good and as fast, and better or faster; false for controls.",
}
"""A sentence by column of `COST_COLUMNS`, in its order."""


def quality_and_cost(board: pd.DataFrame) -> pd.DataFrame:
    """Explainers of one suite in their order, with what they cost.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`; of one suite.

    Returns
    -------
    DataFrame
        A row per explainer, as `standings` orders them.

        - ``place``, ``relative_rank``, ``ci_low``, ``ci_high``: overall rank on common ground, as in `standings`.
        - ``seconds``: wall time of one explanation of one sample, the mean over problems; NaN if unknown.
        - ``memory``: the largest peak memory of an explanation in bytes; NaN if unknown.
        - ``pareto``: whether no other explainer is as good and as fast, and better or faster. Controls, and
          explainers without rank or time, are not on the front and do not keep others off it.
    """
    order = standings(board).explainers
    seconds = seconds_per_sample(board)
    memory = (
        board.groupby(ENTRY, sort=False)["explain_memory"].max()
        if "explain_memory" in board
        else pd.Series(dtype="float64")
    )
    keys = list(order[ENTRY].itertuples(index=False, name=None))
    found = order.assign(
        seconds=[float(seconds.get(key, np.nan)) for key in keys],
        memory=[float(memory.get(key, np.nan)) for key in keys],
    )
    compared = ~found["control"].astype(bool).to_numpy()
    rank = np.where(compared, found["relative_rank"], np.nan)
    found["pareto"] = pareto_front(rank, found["seconds"].to_numpy(dtype=np.float64))
    return found[list(COST_COLUMNS)].astype(COST_COLUMNS)


def seconds_per_sample(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Mean seconds of one explanation of one sample, over the problems of each explainer, by name and parameters.

    Parameters
    ----------
    rows : DataFrame
        Rows of a leaderboard.
    """
    timed = rows[rows["explain_seconds"].notna() & (rows["n"] > 0) & (rows["scope"] != "dataset")]
    each = (timed["explain_seconds"] / timed["n"]).groupby([timed[c] for c in (*ENTRY, *PROBLEM)], sort=False).mean()
    means = each.groupby(level=[0, 1], sort=False).mean()
    return {(str(key[0]), str(key[1])): float(v) for key, v in zip(means.index.tolist(), means, strict=True)}


def pareto_front(*costs: Array) -> Array:
    """Which points no other point beats: at most as large in every coordinate, and smaller in one; (N,) of bool.

    Points with a NaN are not on the front, and beat no other.

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.analysis.ranks.quality_and_cost import pareto_front
    >>> pareto_front(np.array([1, 2, 2, 3, 1]), np.array([9.0, 5.0, 6.0, np.nan, 9.0])).tolist()
    [True, True, False, False, True]
    """
    points = np.column_stack([np.asarray(c, dtype=np.float64) for c in costs])
    known: Array = np.asarray(np.isfinite(points).all(axis=1))
    others = points[known][None]
    no_larger: Array = np.all(others <= points[:, None], axis=2)
    smaller: Array = np.any(others < points[:, None], axis=2)
    beaten: Array = np.any(no_larger & smaller, axis=1)
    return known & ~beaten
