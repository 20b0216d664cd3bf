"""Friedman's test and Nemenyi's critical difference of mean ranks (Demsar 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import fdtrc

from xaibench.analysis.statistics.letter_display import letters
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.core.errors import NothingToDoError
from xaibench.core.types import Array

MIN_DATASETS = 10
"""Independent problems that the tests need at least (Demsar 2006 asks for more than 10 and 5 explainers)."""


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
        Letters; two explainers share one if the test does not separate them. All do where Friedman's test
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
    from scipy.stats import rankdata

    n, k = costs.shape
    if n < MIN_DATASETS:
        sets = f"{n} data set{'' if n == 1 else 's'}"
        raise NothingToDoError(f"no critical difference over {sets}: it takes {MIN_DATASETS} independent problems")
    if k < 3:
        raise NothingToDoError(f"no critical difference among {k} explainers: it takes three")
    mean_rank = rankdata(costs, axis=1).mean(axis=0)
    p = _friedman(costs)
    difference = nemenyi(k, n)
    apart = np.abs(mean_rank[:, None] - mean_rank) > difference if p < ALPHA else np.zeros((k, k), dtype=bool)
    return CriticalDifference(mean_rank, difference, p, letters(apart, np.argsort(mean_rank, kind="stable")), n)


def nemenyi(k: int, n: int) -> float:
    """Critical difference of mean ranks of k explainers over n problems at 5 % (Demsar 2006, equation 8)."""
    return _quantile(k) * float(np.sqrt(k * (k + 1) / (6 * n)))


@lru_cache(maxsize=256)
def _quantile(k: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - ALPHA, k, np.inf)) / float(np.sqrt(2))


def _friedman(costs: Array) -> float:
    """p of Friedman's test, corrected for ties, in Iman and Davenport's form (1980); 1 where all rows are tied."""
    from scipy.stats import friedmanchisquare

    n, k = costs.shape
    if not np.ptp(costs, axis=1).any():
        return 1.0
    chi = float(friedmanchisquare(*costs.T).statistic)
    if chi >= n * (k - 1) * (1 - 1e-12):
        return 0.0
    return float(fdtrc(k - 1, (k - 1) * (n - 1), (n - 1) * chi / (n * (k - 1) - chi)))
