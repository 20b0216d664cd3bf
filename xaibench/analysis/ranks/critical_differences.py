"""Friedman's test and the critical difference of mean ranks, over independent problems only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM
from xaibench.analysis.ranks.overall import OVERALL_GROUP, VOTE
from xaibench.analysis.ranks.relative_ranks import MEASURE, counted
from xaibench.analysis.statistics.friedman import critical_difference
from xaibench.analysis.statistics.intervals import significant
from xaibench.core.errors import NothingToDoError

_COLUMNS = [
    *MEASURE, "about", *ENTRY, "mean_rank", "critical_difference", "tie_group", "p_friedman", "n_explainers",
    "n_datasets", "reason",
]  # fmt: skip


def critical_differences(board: pd.DataFrame) -> pd.DataFrame:
    """Critical differences of every metric, and of the votes of every family, over data sets.

    Only explainers that are ranked by every metric on every problem in question take part, and are
    ranked among themselves. Of a family, ranks are averaged over votes first: one per construct and
    masker, as in `overall`. Ranks on several models of one data set are averaged, and ranked again.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`.

    Returns
    -------
    DataFrame
        One row per metric (``family, truth_kind, metric, params, asked_output, about``; of a family
        ``metric`` is empty) and explainer: ``mean_rank``, ``critical_difference``, ``tie_group``,
        ``p_friedman``, ``n_explainers``, ``n_datasets``. Where the test is refused ``reason`` says why, and
        only ``n_datasets`` and ``mean_rank`` are there beside it.
    """
    rows = counted(board)
    rows = rows[~rows["control"].astype(bool) & (rows["status"] != "unsupported")]
    sign = np.where(rows["higher_is_better"], -1.0, 1.0)
    rows = rows.assign(_cost=np.where(rows["rank"].notna(), sign * significant(rows["value"].to_numpy()), np.nan))
    frames = [_frame(head, costs) for head, costs in _tables(rows)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)


def tied_sets(rows: pd.DataFrame) -> list[list[int]]:
    """Sets of explainers that the critical difference does not separate.

    Parameters
    ----------
    rows : DataFrame
        The rows of one metric or family from `critical_differences`, with their ``tie_group``.

    Returns
    -------
    list of list of int
        Positions in ``rows`` of the explainers of every group of two and more, by the letter of the group.
    """
    letters = sorted(set("".join(rows["tie_group"])))
    groups = [[i for i, group in enumerate(rows["tie_group"]) if letter in group] for letter in letters]
    return [group for group in groups if len(group) > 1]


def _tables(rows: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Costs (data sets x explainers) of every family's votes and of every metric."""
    for names, group in rows.groupby(OVERALL_GROUP, sort=False):
        head = dict(zip(OVERALL_GROUP, map(str, names), strict=True))
        yield head | {"metric": "", "params": "", "asked_output": ""}, _costs(group)
        for measure, part in group.groupby(MEASURE, sort=False):
            yield dict(zip(MEASURE, map(str, measure), strict=True)) | {"about": head["about"]}, _costs(part)


def _costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean places (data sets x explainers) of the explainers that are ranked everywhere."""
    from scipy.stats import rankdata

    votes = [*PROBLEM, *VOTE]
    table = rows.pivot_table(index=[*votes, *MEASURE[2:]], columns=ENTRY, values="_cost", sort=False)
    table = table.dropna(axis=1, how="any")
    places = pd.DataFrame(rankdata(table.to_numpy(), axis=1), table.index, table.columns) if table.size else table
    for levels in (votes, PROBLEM, PROBLEM[:1]):
        places = places.groupby(level=levels, sort=False).mean()
    return places


def _frame(head: dict[str, str], costs: pd.DataFrame) -> pd.DataFrame:
    from scipy.stats import rankdata

    entries = pd.DataFrame(list(costs.columns), columns=ENTRY)
    frame = entries.assign(**head, n_explainers=len(entries), n_datasets=len(costs), reason=None)
    ranks = rankdata(costs.to_numpy(), axis=1) if costs.size else np.empty((1, 0))
    frame["mean_rank"] = ranks.mean(axis=0)
    frame["critical_difference"] = frame["p_friedman"] = np.nan
    frame["tie_group"] = None
    try:
        found = critical_difference(costs.to_numpy())
    except NothingToDoError as refusal:
        frame["reason"] = str(refusal)
    else:
        frame["critical_difference"], frame["p_friedman"], frame["tie_group"] = found.difference, found.p, found.groups
    return frame[_COLUMNS].sort_values("mean_rank", kind="stable", ignore_index=True)
