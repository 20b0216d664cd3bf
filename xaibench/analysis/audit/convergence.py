"""Convergence of Monte Carlo metrics, and dependence of a score on the other samples in its batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.analysis.audit.dependence import mean_over_seeds
from xaibench.analysis.audit.reliability import jackknife
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.estimate import NOTHING, Estimate
from xaibench.core.types import Array

BUDGETS = ("n_samples", "n_subsets")
"""Parameters that say how many random draws a metric takes."""
SETTLED_RTOL, OF_TYPICAL = 1e-4, 1e-5
"""Scores that differ by less than this share of their size, or of the typical size, are the same."""


def distance_to_largest(scores: Array, largest: Array) -> Estimate:
    """How far scores of a small budget are from those of the largest one.

    Root mean square difference between single scores at this budget and the mean over seeds at the
    largest, relative to the standard deviation of the latter over explainers and samples: 1 is as far
    as scores of different explanations lie apart.

    Parameters
    ----------
    scores, largest : array (E, S, U)
        Of explainers whose maps are the same with every seed.
    """
    if scores.shape[0] == 0:
        return NOTHING
    reference = mean_over_seeds(largest)
    scored = np.isfinite(reference).any(axis=0) & np.isfinite(scores).any(axis=(0, 1))
    stacked = np.concatenate([scores, reference[:, None]], axis=1)[:, :, scored]

    def relative(part: Array) -> float:
        truth = part[:, -1:]
        spread = float(np.nanstd(truth)) if np.isfinite(truth).any() else np.nan
        gap = part[:, :-1] - truth
        known = np.isfinite(gap)
        if not known.any() or not spread:
            return np.nan
        return float(np.sqrt((gap[known] ** 2).mean())) / spread

    return jackknife(relative, stacked, least=0.0)


@dataclass(frozen=True)
class Coupling:
    """Whether scores of a sample depend on the other samples.

    Attributes
    ----------
    share : Estimate
        Share of the scores that change with the number of samples beside them, mean over samples.
    n_maps : int
        Explanations that are the same in both selections, and could be compared.
    """

    share: Estimate
    n_maps: int


def coupling(few: Array, many: Array, alike: Array) -> Coupling:
    """Compare scores of the same samples in a small and in a large selection.

    Parameters
    ----------
    few, many : array (E, S, U)
        Scores of the samples that both selections have.
    alike : array (E, S) of bool
        Whether the maps of these samples are the same in both: the metric is tested, not the explainer.
    """
    a, b = few[alike], many[alike]
    if a.size == 0:
        return Coupling(NOTHING, 0)
    size = np.maximum(np.abs(a), np.abs(b))
    typical = float(np.nanmedian(size)) if np.isfinite(size).any() else 0.0
    with np.errstate(invalid="ignore"):
        changed = np.abs(a - b) > SETTLED_RTOL * size + OF_TYPICAL * typical
    one_missing = np.isfinite(a) != np.isfinite(b)
    known = np.isfinite(a) | np.isfinite(b)
    changed = np.where(known, changed | one_missing, np.nan)
    per_sample = intervals.nanmean(changed.T)
    per_sample = per_sample[np.isfinite(per_sample)]
    if len(per_sample) == 0:
        return Coupling(NOTHING, len(a))
    value = float(per_sample.mean())
    low, high = (float(x[0]) for x in intervals.t_interval(per_sample[None]))
    if not np.isfinite(low):
        low = high = value
    return Coupling(Estimate(value, max(low, 0.0), min(high, 1.0), len(per_sample)), len(a))
