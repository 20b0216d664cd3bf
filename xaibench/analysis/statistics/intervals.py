"""Intervals and corrections, vectorised over rows. NaN is a missing value everywhere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import bdtr, stdtrit

from xaibench.core.types import Array

TINY = 1e-290
"""Values below this in size have no significant digits: their scale would overflow."""
MAX_STRETCH = 2.0
"""Distance of a limit from the mean, over Student's, at most, and 1 over it at least. The skewness that a few
values show can send the limit of Hall's interval anywhere: 2 hits of 10 to 1.45, where Student's is .50."""


def nanmean(values: Array) -> Array:
    """Mean over the last axis without NaN; NaN where nothing is left, and no warning."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)
    return result


def median(values: Array) -> Array:
    """Median over the last axis without NaN; NaN where nothing is left, and no warning."""
    ordered, n = _ordered(values)
    return (_pick(ordered, (n - 1) // 2) + _pick(ordered, n // 2)) / 2


def _ordered(values: Array) -> tuple[Array, Array]:
    """Values in order, missing ones last, with a column of NaN behind them; number of values."""
    padded = np.concatenate([values, np.full((*values.shape[:-1], 1), np.nan)], axis=-1)
    ordered = np.sort(padded, axis=-1)
    return ordered, np.isfinite(ordered).sum(axis=-1)


def _pick(ordered: Array, index: Array) -> Array:
    """The value at ``index`` (...) of the last axis; index -1 is the NaN behind all values."""
    picked: Array = np.take_along_axis(ordered, index[..., None], -1)[..., 0]
    return picked


def t_interval(values: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Student's t interval of the mean.

    Parameters
    ----------
    values : array (..., n)
        Independent values; NaN is left out.
    level : float

    Returns
    -------
    low, high : array (...)
        NaN with fewer than two values, and where all values are equal: no spread was seen, which
        says nothing about its size.
    """
    known = np.isfinite(values)
    n = known.sum(axis=-1)
    centre = nanmean(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(known, values - centre[..., None], 0.0)
        error = np.sqrt((deviation**2).sum(axis=-1) / (n - 1) / n)
        half = stdtrit(np.maximum(n - 1, 1), (1 + level) / 2) * error
    ordered, _ = _ordered(values)
    spread = (n > 1) & (_pick(ordered, n - 1) > ordered[..., 0])
    half = np.where(spread, half, np.nan)
    return centre - half, centre + half


def mean_interval(values: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Interval of the mean that allows for skewed values: Student's t after Hall's cubic transformation.

    The skewness of few values is estimated from themselves (Hall 1992, On the removal of skewness by
    transformation, equation 2.6; Johnson 1978 corrects the first order only). Symmetric values get
    Student's interval. Values without extremes on one side, such as exponential ones, are covered
    about 2 percentage points more often than by Student's t. Neither limit is more than `MAX_STRETCH`
    times as far from the mean as Student's, or less than 1 over that.

    Parameters
    ----------
    values : array (..., n)
        Independent values; NaN is left out.
    level : float

    Returns
    -------
    low, high : array (...)
        NaN as in `t_interval`.
    """
    known = np.isfinite(values)
    n = known.sum(axis=-1)
    centre = nanmean(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(known, values - centre[..., None], 0.0)
        squares = (deviation**2).sum(axis=-1)
        cubes = np.einsum("...i,...i,...i->...", deviation, deviation, deviation)  # numpy's power of 3 is slow
        error = np.sqrt(squares / (n - 1) / n)
        skewness = np.sqrt(n) * cubes / squares**1.5
        reach = stdtrit(np.maximum(n - 1, 1), (1 + level) / 2)
        slope, shift = skewness / (3 * np.sqrt(n)), skewness / (6 * np.sqrt(n))
    limits = []
    for side in (1, -1):
        with np.errstate(invalid="ignore", divide="ignore"):
            bent = side * (np.cbrt(1 + 3 * slope * (side * reach - shift)) - 1) / slope
        distance = np.where(np.abs(slope) > 1e-6, np.clip(bent, reach / MAX_STRETCH, reach * MAX_STRETCH), reach)
        limits.append(centre - side * error * distance)
    smallest, largest = np.fmin.reduce(values, axis=-1, initial=np.nan), np.fmax.reduce(values, axis=-1, initial=np.nan)
    spread = (n > 1) & (largest > smallest)
    return np.where(spread, limits[0], np.nan), np.where(spread, limits[1], np.nan)


def median_interval(values: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Interval of the median between order statistics (sign test inverted), interpolated to the level.

    Whole order statistics cover too often, 98 % of the time for ten values. Between two of them
    Hettmansperger and Sheather (1986) interpolate, which comes close to the level for symmetric and
    skewed distributions alike.

    Parameters
    ----------
    values : array (..., n)
        Independent values; NaN is left out.
    level : float

    Returns
    -------
    low, high : array (...)
        NaN where too few values are there (fewer than 6 for 95 %).
    """
    ordered, n = _ordered(values)
    places = [_median_place(k, level) for k in range(values.shape[-1] + 1)]
    outer = np.array([place for place, _ in places])[n]
    share = np.array([share for _, share in places])[n]
    inner = np.where(outer < 0, -1, outer + 1)
    low = (1 - share) * _pick(ordered, outer) + share * _pick(ordered, inner)
    top, below = np.where(outer < 0, -1, n - 1 - outer), np.where(outer < 0, -1, n - 2 - outer)
    return low, (1 - share) * _pick(ordered, top) + share * _pick(ordered, below)


@lru_cache(maxsize=4096)
def _median_place(n: int, level: float) -> tuple[int, float]:
    """Largest k such that the (k+1)-th smallest and largest of n values enclose the median often enough.

    Beside it how far towards the next value inside; k is -1 if none does.
    """
    tail = bdtr(np.arange(n), n, 0.5) if n else np.empty(0)
    k = int((tail <= (1 - level) / 2).sum()) - 1
    if k < 0:
        return -1, 0.0
    covered, next_ = 1 - 2 * tail[k], 1 - 2 * tail[k + 1]
    share = (covered - level) / (covered - next_)
    outside = k + 1
    return k, float((n - outside) * share / (outside + (n - 2 * outside) * share))


def last_digit(values: Array, digits: int = 6) -> Array:
    """Size of one unit in the last of some significant digits; 0 for 0."""
    with np.errstate(divide="ignore"):
        unit: Array = 10.0 ** (np.floor(np.log10(np.abs(values))) - (digits - 1))
    return unit


def significant(values: Array, digits: int = 6) -> Array:
    """Values rounded to significant digits, so that rounding errors of a machine make no rank; 0 below `TINY`."""
    none = np.abs(values) < TINY
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.where(none, 1.0, np.abs(values)))))
        rounded = np.round(values * scale) / scale
    return np.where(none, 0.0, rounded)


def holm(p: Array) -> Array:
    """Holm's step-down adjustment of p-values (Holm 1979); NaN stays NaN and is not counted."""
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def benjamini_hochberg(p: Array) -> Array:
    """Benjamini and Hochberg's adjustment (1995), for the false discovery rate; NaN stays NaN and is not counted."""
    from scipy.stats import false_discovery_control

    adjusted = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known])
    return adjusted


def bootstrap_weights(n: int, draws: int, seed: int) -> Array:
    """How often each of n values is in each resample, (draws, n)."""
    picked = np.random.Generator(np.random.Philox(seed)).integers(n, size=(draws, n))
    flat = picked + n * np.arange(draws)[:, None]
    return np.bincount(flat.ravel(), minlength=n * draws).reshape(draws, n).astype(np.float64)


def ratio_interval(above: Array, below: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Ratio of means with the interval of the mean of linearised residuals (Cochran 1977, section 6.3).

    Parameters
    ----------
    above, below : array (R, K)
        Paired values of K samples or clusters; a pair with a NaN is left out.

    Returns
    -------
    ratio, low, high : array (R,)
    """
    known = np.isfinite(above) & np.isfinite(below)
    above, below = np.where(known, above, np.nan), np.where(known, below, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = nanmean(above) / nanmean(below)
        residual = (above - ratio[:, None] * below) / nanmean(below)[:, None]
    low, high = mean_interval(residual, level)
    return ratio, ratio + low, ratio + high
