"""Separation of good from bad explanations by a metric (AUROC), and its trend over known order (Page's test)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtr, stdtrit
from scipy.stats import rankdata

from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.estimate import MIN_SAMPLES, NOTHING, Estimate
from xaibench.analysis.statistics.levels import CONFIDENCE
from xaibench.core.types import Array


def auroc(good: Array, bad: Array) -> Estimate:
    """Area under the ROC curve of scores of good explanations against scores of bad ones.

    The probability that a good explanation of one sample has a larger score than a bad one of
    another sample, ties by half: what a score says by itself, without the sample. Scores of the same
    sample are left out: they go together, and would add 1/U even where the area is .5.

    Parameters
    ----------
    good, bad : array (S, U)
        Merits, one row per draw seed, one column per sample. A sample counts where both are defined.

    Returns
    -------
    Estimate
        Mean over the seeds. The interval takes samples as units, good and bad scores of one sample
        together (DeLong et al. 1988; clustered as in Obuchowski 1997), on the logit scale. Where they
        do not vary it reaches as far as n samples without an exception may still come from
        (Clopper-Pearson), on both sides of an area inside of (0, 1).
        NaN with fewer than 6 samples.
    """
    areas, influence = [], np.full(good.shape, np.nan)
    for s, (g, b) in enumerate(zip(good, bad, strict=True)):
        both = np.isfinite(g) & np.isfinite(b)
        others = int(both.sum()) - 1
        if others < 1:
            continue
        wins = (g[both][:, None] > b[both]) + 0.5 * (g[both][:, None] == b[both])
        np.fill_diagonal(wins, 0.0)
        areas.append(wins.sum() / (len(wins) * others))
        influence[s, both] = (wins.sum(axis=1) + wins.sum(axis=0)) / others
    per_sample = intervals.nanmean(influence.T)
    per_sample = per_sample[np.isfinite(per_sample)]
    n = len(per_sample)
    if n < MIN_SAMPLES:
        return NOTHING
    area = float(np.mean(areas))
    error = float(per_sample.std(ddof=1) / np.sqrt(n))
    if error < 1e-12:
        slack = 1 - _none_of(n)
        return Estimate(area, max(area - slack, 0.0), min(area + slack, 1.0), n)
    inside = min(max(area, 1e-9), 1 - 1e-9)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error / (inside * (1 - inside))
    return Estimate(area, float(expit(logit(inside) - half)), float(expit(logit(inside) + half)), n)


def _none_of(n: int) -> float:
    """The least probability of success that n successes out of n leave possible."""
    return float(((1 - CONFIDENCE) / 2) ** (1 / n))


@dataclass(frozen=True)
class Trend:
    """How scores fall over explanations that get worse.

    Attributes
    ----------
    rho : Estimate
        Mean over samples of Spearman's correlation between quality and score: 1 where every step
        down costs, 0 without a trend, -1 where worse is scored better.
    p : float
        One-sided p of Page's test: small where there is a falling trend.
    """

    rho: Estimate
    p: float


def trend(ladder: Array) -> Trend:
    """Page's trend test, samples as blocks.

    Parameters
    ----------
    ladder : array (L, U)
        Merits of L explanations of every sample, the best explanation first.

    Returns
    -------
    Trend
        The correlation counts tied scores as no evidence: it is the standardised L of Page (1963),
        0 where all scores of a sample are equal. Student's t over samples; p is normal with the
        exact permutation variance of the ranks at hand, ties included. Samples with a gap are left
        out; NaN with fewer than 6, or with fewer than two explanations.
    """
    complete = ladder[:, np.isfinite(ladder).all(axis=0)]
    size, n = complete.shape
    if size < 2 or n < MIN_SAMPLES:
        return Trend(NOTHING, np.nan)
    quality = np.arange(size, 0, -1) - (size + 1) / 2
    ranks = rankdata(complete, axis=0) - (size + 1) / 2
    sums = quality @ ranks
    spread = float((quality**2).sum())
    each = sums / spread
    variance = spread * (ranks**2).sum(axis=0) / (size - 1)
    total = float(variance.sum())
    p = float(ndtr(-sums.sum() / np.sqrt(total))) if total else 1.0
    low, high = (float(b[0]) for b in intervals.t_interval(each[None]))
    value = float(each.mean())
    if not np.isfinite(low):
        slack = 2 * (1 - _none_of(n))
        low, high = value - slack, value + slack
    return Trend(Estimate(value, max(low, -1.0), min(high, 1.0), n), p)
