"""Friedman's test and the critical difference of mean ranks, over independent problems only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import fdtrc
from scipy.stats import rankdata, studentized_range

from xaibench.analysis.leaderboard.columns import ENTRY, PROBLEM
from xaibench.analysis.ranks.overall import GROUP, VOTE
from xaibench.analysis.ranks.relative_ranks import MEASURE, counted
from xaibench.analysis.statistics.intervals import significant
from xaibench.analysis.statistics.letter_display import letters
from xaibench.core.errors import NothingToDoError

Array = np.ndarray[Any, Any]
LEVEL = 0.05
MIN_DATASETS = 10
"""Independent problems that the tests need at least (Demsar 2006 asks for more than 10 and 5 explainers)."""
_COLUMNS = [
    *MEASURE, "about", *ENTRY, "mean_rank", "critical_difference", "tie_group", "p_friedman", "n_explainers",
    "n_datasets", "reason",
]  # fmt: skip


@dataclass(frozen=True)
class CriticalDifference:
    """Mean ranks of k explainers over N independent problems, and what of them differs.

    Attributes
    ----------
    mean_rank : array (k,)
        1 is best.
    difference : float
        Two mean ranks further apart than this differ (Nemenyi's test, 5 %).
    p : float
        Of Friedman's test in Iman and Davenport's form: no explainer differs from another.
    groups : list of str
        Letters; two explainers share one if they are not told apart. All do where Friedman's test
        finds nothing, whatever their distance.
    n : int
    """

    mean_rank: Array
    difference: float
    p: float
    groups: list[str]
    n: int


def critical_difference(costs: Array) -> CriticalDifference:
    """Compare explainers over problems (Demsar 2006, equations 5 to 8).

    Parameters
    ----------
    costs : array (N, k)
        One row per *independent* problem, the smaller the better. Samples, seeds, metrics, and models of
        one data set are not independent problems.

    Raises
    ------
    NothingToDoError
        With fewer than 10 problems, or fewer than 3 explainers.
    """
    n, k = costs.shape
    if n < MIN_DATASETS:
        sets = f"{n} data set{'' if n == 1 else 's'}"
        raise NothingToDoError(f"no critical difference over {sets}: it takes {MIN_DATASETS} independent problems")
    if k < 3:
        raise NothingToDoError(f"no critical difference among {k} explainers: it takes three")
    ranks = rankdata(costs, axis=1)
    mean_rank = ranks.mean(axis=0)
    p = _friedman(ranks)
    difference = nemenyi(k, n)
    apart = np.abs(mean_rank[:, None] - mean_rank) > difference if p < LEVEL else np.zeros((k, k), dtype=bool)
    return CriticalDifference(mean_rank, difference, p, letters(apart, np.argsort(mean_rank, kind="stable")), n)


def nemenyi(k: int, n: int) -> float:
    """Critical difference of mean ranks of k explainers over n problems at 5 % (Demsar 2006, equation 8)."""
    return _quantile(k) * float(np.sqrt(k * (k + 1) / (6 * n)))


@lru_cache(maxsize=256)
def _quantile(k: int) -> float:
    return float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / float(np.sqrt(2))


def _friedman(ranks: Array) -> float:
    """p of Friedman's test, corrected for ties, in Iman and Davenport's form (1980); 1 where all ranks are equal."""
    n, k = ranks.shape
    between = n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    within = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))
    if within == 0:
        return 1.0
    chi = between / within
    if chi >= n * (k - 1) * (1 - 1e-12):
        return 0.0
    return float(fdtrc(k - 1, (k - 1) * (n - 1), (n - 1) * chi / (n * (k - 1) - chi)))


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


def _tables(rows: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Costs (data sets x explainers) of every family's votes and of every metric."""
    for names, group in rows.groupby(GROUP, sort=False):
        head = dict(zip(GROUP, map(str, names), strict=True))
        yield head | {"metric": "", "params": "", "asked_output": ""}, _costs(group)
        for measure, part in group.groupby(MEASURE, sort=False):
            yield dict(zip(MEASURE, map(str, measure), strict=True)) | {"about": head["about"]}, _costs(part)


def _costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean places (data sets x explainers) of the explainers that are ranked everywhere."""
    votes = [*PROBLEM, *VOTE]
    table = rows.pivot_table(index=[*votes, *MEASURE[2:]], columns=ENTRY, values="_cost", sort=False)
    table = table.dropna(axis=1, how="any")
    places = pd.DataFrame(rankdata(table.to_numpy(), axis=1), table.index, table.columns) if table.size else table
    for levels in (votes, PROBLEM, PROBLEM[:1]):
        places = places.groupby(level=levels, sort=False).mean()
    return places


def _frame(head: dict[str, str], costs: pd.DataFrame) -> pd.DataFrame:
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
