"""Reliability of a metric: intraclass correlation and repeatability across seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import stdtrit

from xaibench.analysis.statistics.estimate import MIN_SAMPLES, NOTHING, Estimate
from xaibench.analysis.statistics.levels import CONFIDENCE
from xaibench.core.types import Array

MOST_GROUPS = 200
"""More parts of the samples are not left out one by one: the interval would hardly change."""


def mean_squares(table: Array) -> tuple[float, float, float]:
    """Mean squares of a two-way table (n, k) without replication: between rows, between columns, rest."""
    n, k = table.shape
    centre = table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns + centre
    between_rows = k * ((rows - centre) ** 2).sum() / (n - 1)
    between_columns = n * ((columns - centre) ** 2).sum() / (k - 1)
    return float(between_rows), float(between_columns), float((rest**2).sum() / ((n - 1) * (k - 1)))


def icc(table: Array) -> float:
    """ICC(2,1): agreement of single scores, subjects and raters both random (Shrout & Fleiss 1979).

    The share of the variance of a score that is the subject's, not the rater's or chance. Here
    raters are draw seeds.

    Parameters
    ----------
    table : array (n, k)
        Scores of n subjects by k raters.

    Returns
    -------
    float
        NaN where all scores are equal: without variance there is nothing to be reliable about.
    """
    n, k = table.shape
    if n < 2 or k < 2 or _flat(table):
        return np.nan
    rows, columns, rest = mean_squares(table)
    return float((rows - rest) / (rows + (k - 1) * rest + k * (columns - rest) / n))


def _flat(table: Array) -> bool:
    """Whether all numbers are equal as far as float32 can tell."""
    return bool(np.ptp(table) <= 1e-6 * np.abs(table).max())


def repeatability(table: Array) -> float:
    """Repeatability coefficient: 95 % of the differences between two scores of one subject are smaller.

    ``1.96 sqrt(2)`` within-subject standard deviations (Bland & Altman 1999), in units of the score.

    Parameters
    ----------
    table : array (n, k)
        Scores of n subjects, repeated k times.
    """
    return float(1.959964 * np.sqrt(2 * table.var(axis=1, ddof=1).mean()))


def jackknife(
    statistic: Callable[[Array], float], scores: Array, *, least: float = -np.inf, most: float = np.inf
) -> Estimate:
    """A statistic of some samples with an interval that leaves each of them out once.

    Scores of all explainers on one sample are drawn together: they go together. Student's t with
    the standard error of the jackknife (Efron & Tibshirani 1993, section 11). Many samples leave in
    200 groups.

    Parameters
    ----------
    statistic : callable
        Takes scores (..., U).
    scores : array (..., U)
        The last axis is samples.
    least, most : float
        Ends of the statistic's scale; the interval stays within them.
    """
    n = scores.shape[-1]
    value = statistic(scores) if n else np.nan
    if n < MIN_SAMPLES or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan, n)
    groups = min(n, MOST_GROUPS)
    of_group = np.arange(n) % groups
    without = np.array([statistic(scores[..., of_group != i]) for i in range(groups)])
    if not np.isfinite(without).all():
        return Estimate(value, np.nan, np.nan, n)
    error = np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum())
    half = float(stdtrit(groups - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(value, max(value - half, least), min(value + half, most), n)


def reliability(scores: Array) -> tuple[Estimate, Estimate]:
    """ICC(2,1) and repeatability coefficient across seeds.

    Parameters
    ----------
    scores : array (E, S, U)
        Scores of explainers whose maps are the same with every seed: what changes is the metric's
        own doing. Subjects are pairs of explainer and sample.

    Returns
    -------
    icc, coefficient : Estimate
        By jackknife over samples. NaN with one seed; the ICC also where the scores do not vary.
    """
    if scores.shape[0] == 0 or scores.shape[1] < 2:
        return NOTHING, NOTHING
    complete = scores[:, :, np.isfinite(scores).all(axis=1).any(axis=0)]
    if complete.shape[2] == 0:
        return NOTHING, NOTHING

    def table(part: Array) -> Array:
        flat = part.transpose(0, 2, 1).reshape(-1, part.shape[1])
        return flat[np.isfinite(flat).all(axis=1)]

    return (
        jackknife(lambda part: icc(table(part)), complete, least=-1.0, most=1.0),
        jackknife(lambda part: repeatability(table(part)), complete, least=0.0),
    )
