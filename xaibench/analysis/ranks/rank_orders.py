"""Tables of explainers against groups of overall ranks: which comparison fills a cell, and the order of the rows."""

from __future__ import annotations

import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY


def widest_comparisons(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per explainer and group: that of the widest comparison which the explainer is in.

    Parameters
    ----------
    frame : DataFrame
        ``explainer, explainer_params, group``, and ``comparison``, 0 for the widest one; from `overall_by`, or from
        `overall` with a group for every family.
    """
    return frame.sort_values("comparison", kind="stable").drop_duplicates(["group", *ENTRY])


def order_by_groups(widest: pd.DataFrame) -> list[tuple[str, str]]:
    """Explainers, those in most groups first, then by their mean relative rank over groups.

    Parameters
    ----------
    widest : DataFrame
        From `widest_comparisons`.
    """
    means = widest.groupby(ENTRY, sort=False)["relative_rank"].agg(["mean", "size"])
    return list(means.sort_values(["size", "mean"], ascending=[False, True], kind="stable").index)


def order_by_maskers(ranks: pd.DataFrame) -> list[tuple[str, str]]:
    """Explainers by their mean relative rank over maskers, the best first.

    Parameters
    ----------
    ranks : DataFrame
        From `masker_ranks`.
    """
    return list(ranks.groupby(ENTRY, sort=False)["relative_rank"].mean().sort_values(kind="stable").index)
