"""Means of explainers over resampled samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.estimate import MIN_SAMPLES, Estimate
from xaibench.core.types import Array

N_RESAMPLES = 400


@dataclass(frozen=True)
class Resampled:
    """Means of explainers over all samples, and over resamples of them.

    Attributes
    ----------
    means : array (M, E)
        By metric and explainer.
    resampled : array (M, E, B)
    n : int
        Samples.
    """

    means: Array
    resampled: Array
    n: int

    @classmethod
    def of(cls, scores: Array, seed: int) -> Resampled:
        """Means of scores (M, E, U), each over the samples where it is defined."""
        n = scores.shape[-1]
        weights = intervals.bootstrap_weights(n, N_RESAMPLES, seed) if n else np.empty((N_RESAMPLES, 0))
        known = np.isfinite(scores)
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = (np.where(known, scores, 0.0) @ weights.T) / (known.astype(np.float64) @ weights.T)
        return cls(intervals.nanmean(scores), resampled, n)

    def ends(self, resampled: Array) -> tuple[Array, Array]:
        """Percentile intervals of statistics (..., B): low and high (...).

        NaN with fewer than 6 samples, and where the statistic is defined in less than half of the resamples.
        """
        if self.n < MIN_SAMPLES:
            missing = np.full(resampled.shape[:-1], np.nan)
            return missing, missing
        ordered = np.sort(resampled, axis=-1)
        known = np.isfinite(ordered).sum(axis=-1)
        found = []
        for tail in (0.025, 0.975):
            place = np.maximum(tail * (known - 1), 0.0)
            below = np.floor(place).astype(np.int64)
            above = np.minimum(below + 1, np.maximum(known - 1, 0))
            low, high = (np.take_along_axis(ordered, k[..., None], -1)[..., 0] for k in (below, above))
            value = low + (place - below) * (high - low)
            found.append(np.where(known > ordered.shape[-1] / 2, value, np.nan))
        return found[0], found[1]

    def estimates(self, value: Array, resampled: Array) -> list[Estimate]:
        """Statistics (K,) with the intervals of their resamples (K, B)."""
        low, high = self.ends(resampled)
        return [Estimate(float(v), float(a), float(b), self.n) for v, a, b in zip(value, low, high, strict=True)]
