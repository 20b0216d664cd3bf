"""Dependence of a metric on the masker, on the model's confidence, and its agreement with other metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from xaibench.analysis.audit.reliability import jackknife
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.estimate import NOTHING, Estimate
from xaibench.analysis.statistics.kendall import kendall
from xaibench.analysis.statistics.resampling import Resampled
from xaibench.core.types import Array

MIN_ORDERED_EXPLAINERS = 3
"""Fewer explainers have no order to speak of."""


def mean_over_seeds(merit: Array) -> Array:
    """Scores (..., S, U) averaged over the seeds in which they are defined: (..., U)."""
    averaged: Array = intervals.nanmean(np.moveaxis(merit, -2, -1))
    return averaged


@dataclass(frozen=True)
class MetricAgreement:
    """Do metrics put explainers in the same order? Kendall's tau-b between all of them.

    Attributes
    ----------
    found : Resampled
    tau, low, high : array (M, M)
        These explainers, new samples.
    resampled : array (M, M, B)
    """

    found: Resampled
    tau: Array
    low: Array
    high: Array
    resampled: Array

    def mean_with(self, i: int, others: list[int]) -> Estimate:
        """Mean tau of a metric with some others."""
        if not others:
            return NOTHING
        value, drawn = intervals.nanmean(self.tau[i, others]), intervals.nanmean(self.resampled[i, others].T)
        return self.found.estimates(value[None], drawn[None])[0]

    def n_explainers(self, i: int, j: int) -> int:
        """Explainers that both metrics have scored."""
        return int(np.isfinite(self.found.means[[i, j]]).all(axis=0).sum())


def resampled_agreement(merits: Array, seed: int) -> MetricAgreement:
    """Agreement between metrics.

    Parameters
    ----------
    merits : array (M, E, U)
        Merits of E explainers under M metrics, averaged over seeds.
    seed : int
        Of the resamples.
    """
    found = Resampled.of(merits, seed)
    resampled = kendall(found.resampled, found.resampled, min_common=MIN_ORDERED_EXPLAINERS)
    return MetricAgreement(
        found, kendall(found.means, found.means, min_common=MIN_ORDERED_EXPLAINERS), *found.ends(resampled), resampled
    )


@dataclass(frozen=True)
class MaskerDependence:
    """How much a ranking is the masker's.

    Attributes
    ----------
    tau : list of Estimate
        For each masker, Kendall's tau with the others, averaged over them.
    main, interaction : Estimate
        Shares of the variance of the table of means (maskers x explainers) between maskers, and left
        over: what maskers do to explainers differently. Only the second changes ranks.
    """

    tau: list[Estimate]
    main: Estimate
    interaction: Estimate


def masker_dependence(scores: Array, seed: int) -> MaskerDependence:
    """Compare the variants of one metric that differ in the masker only.

    Parameters
    ----------
    scores : array (V, E, U)
        Merits under V maskers, averaged over seeds.
    seed : int
        Of the resamples.
    """
    found = Resampled.of(scores, seed)
    size = len(scores)
    others = ~np.eye(size, dtype=bool)

    def mean_tau(means: Array) -> Array:
        tau = np.moveaxis(kendall(means, means, min_common=MIN_ORDERED_EXPLAINERS), 1, -1)
        return intervals.nanmean(np.where(others[:, None] if tau.ndim == 3 else others, tau, np.nan))

    shares, drawn = _shares(found.means[..., None]), _shares(found.resampled)
    main, interaction = (found.estimates(shares[i], drawn[i][None])[0] for i in (0, 1))
    return MaskerDependence(found.estimates(mean_tau(found.means), mean_tau(found.resampled)), main, interaction)


def _shares(means: Array) -> Array:
    """Shares of the variance of tables (V, E, B) between rows, and of the interaction: (2, B)."""
    if means.shape[1] < MIN_ORDERED_EXPLAINERS:
        return np.full((2, means.shape[2]), np.nan)
    centre = means.mean(axis=(0, 1))
    rows, columns = means.mean(axis=1), means.mean(axis=0)
    rest = means - rows[:, None] - columns[None] + centre
    total = ((means - centre) ** 2).sum(axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.stack([means.shape[1] * ((rows - centre) ** 2).sum(axis=0), (rest**2).sum(axis=(0, 1))])
        return found / np.where(total > 0, total, np.nan)


def confidence_dependence(scores: Array, confidence: Array) -> Estimate:
    """Spearman's correlation over samples of the score with the model's confidence, averaged over explainers.

    Parameters
    ----------
    scores : array (E, U)
        Scores as the metric gives them, averaged over seeds.
    confidence : array (U,)
        Probability of the explained class.
    """
    known = np.isfinite(confidence) & np.isfinite(scores).any(axis=0)
    stacked = np.concatenate([scores[:, known], confidence[None, known]])
    return jackknife(_mean_spearman, stacked, least=-1.0, most=1.0) if len(scores) else NOTHING


def _mean_spearman(stacked: Array) -> float:
    rows = stacked[:-1][np.isfinite(stacked[:-1]).all(axis=1)]
    if len(rows) == 0:
        return np.nan
    ranks = rankdata(np.concatenate([rows, stacked[-1:]]), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    varying = norms[:-1] > 0
    if not varying.any() or norms[-1] == 0:
        return np.nan
    return float(((ranks[:-1] @ ranks[-1])[varying] / (norms[:-1][varying] * norms[-1])).mean())
