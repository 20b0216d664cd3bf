"""Intervals and tests, vectorised over rows. NaN is a missing value everywhere.

Of SciPy only the special functions are used: `scipy.stats.wilcoxon` chooses its method from the
whole batch, so that the p-value of one row would depend on the other rows, and has no Holm.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import bdtr, ndtr, stdtrit
from scipy.stats import rankdata

Array = np.ndarray[Any, Any]
EXACT_UP_TO = 25
"""Signed-rank tests of at most this many pairs use the exact distribution."""
MIN_BOOTSTRAP = 6
"""With fewer values all of them lie on one side of the median more than 5 % of the time, so that
no interval between resampled values can reach 95 %."""


def mean(values: Array) -> Array:
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
    centre = mean(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(known, values - centre[..., None], 0.0)
        error = np.sqrt((deviation**2).sum(axis=-1) / (n - 1) / n)
        half = stdtrit(np.maximum(n - 1, 1), (1 + level) / 2) * error
    ordered, _ = _ordered(values)
    spread = (n > 1) & (_pick(ordered, n - 1) > ordered[..., 0])
    half = np.where(spread, half, np.nan)
    return centre - half, centre + half


def median_interval(values: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Interval of the median between two order statistics (sign test inverted).

    Its coverage is at least ``level`` for every distribution, which no bootstrap of a median can
    promise.

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
    below = np.array([_median_rank(k, level) for k in range(values.shape[-1] + 1)])[n]
    return _pick(ordered, below), _pick(ordered, np.where(below < 0, -1, n - 1 - below))


@lru_cache(maxsize=4096)
def _median_rank(n: int, level: float) -> int:
    """Largest k such that the (k+1)-th smallest and largest of n values enclose the median; -1 if none does."""
    tail = bdtr(np.arange(n), n, 0.5) if n else np.empty(0)
    return int((tail <= (1 - level) / 2).sum()) - 1


def last_digit(values: Array, digits: int = 6) -> Array:
    """Size of one unit in the last of some significant digits; 0 for 0."""
    with np.errstate(divide="ignore"):
        unit: Array = 10.0 ** (np.floor(np.log10(np.abs(values))) - (digits - 1))
    return unit


def significant(values: Array, digits: int = 6) -> Array:
    """Values rounded to significant digits, so that rounding errors of a machine make no rank."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        rounded = np.round(values * scale) / scale
    return np.where(values == 0, 0.0, rounded)


def holm(p: Array) -> Array:
    """Holm's step-down adjustment of p-values (Holm 1979); NaN stays NaN and is not counted."""
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def signed_rank(differences: Array) -> Array:
    """One-sided Wilcoxon signed-rank test (Wilcoxon 1945): p of "symmetric around 0 or less".

    Zero differences are dropped (Wilcoxon's rule), ties get average ranks. Up to 25 pairs the
    p-value is exact, ties included; beyond that it is normal with the variance of the ranks at hand
    and a continuity correction.

    Parameters
    ----------
    differences : array (R, n)
        Paired differences, positive where the hypothesis is wrong; NaN is left out.

    Returns
    -------
    array (R,)
        1 where all differences are 0, NaN where there is none.
    """
    if differences.shape[-1] == 0:
        return np.full(len(differences), np.nan)
    known = np.isfinite(differences)
    used = known & (differences != 0)
    ranks = np.asarray(rankdata(np.where(used, np.abs(differences), np.inf), axis=-1), dtype=np.float64)
    ranks = np.where(used, ranks, 0.0)
    n = used.sum(axis=-1)
    won = np.where(differences > 0, ranks, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (won - ranks.sum(axis=-1) / 2 - 0.5) / np.sqrt((ranks**2).sum(axis=-1) / 4)
    p: Array = ndtr(-z)
    p[n == 0] = 1.0
    p[~known.any(axis=-1)] = np.nan
    for row in np.flatnonzero((n > 0) & (n <= EXACT_UP_TO)):
        doubled = np.sort(np.rint(2 * ranks[row][used[row]]).astype(np.int64))
        p[row] = _exact_tail(tuple(doubled.tolist()))[round(2 * won[row])]
    return p


@lru_cache(maxsize=4096)
def _exact_tail(doubled_ranks: tuple[int, ...]) -> Array:
    """P(W >= w) for w = 0, 1, ... when each doubled rank is in the sum W with probability 1/2."""
    mass = np.zeros(sum(doubled_ranks) + 1)
    mass[0] = 1.0
    for rank in doubled_ranks:
        shifted = np.zeros_like(mass)
        shifted[rank:] = mass[: len(mass) - rank]
        mass = (mass + shifted) / 2
    tail: Array = np.cumsum(mass[::-1])[::-1]
    return tail


def bootstrap_weights(n: int, draws: int, seed: int) -> Array:
    """How often each of n values is in each resample, (draws, n)."""
    picked = np.random.Generator(np.random.Philox(seed)).integers(n, size=(draws, n))
    flat = picked + n * np.arange(draws)[:, None]
    return np.bincount(flat.ravel(), minlength=n * draws).reshape(draws, n).astype(np.float64)


def ratio_interval(above: Array, below: Array, weights: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Percentile bootstrap interval of sum(above) / sum(below), both resampled together.

    Parameters
    ----------
    above, below : array (R, n)
        Paired values; a pair with a NaN is left out.
    weights : array (B, n)
        From `bootstrap_weights`.

    Returns
    -------
    low, high : array (R,)
        NaN with fewer than 6 pairs.
    """
    known = np.isfinite(above) & np.isfinite(below)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (np.where(known, above, 0.0) @ weights.T) / (np.where(known, below, 0.0) @ weights.T)
    enough = (known.sum(axis=-1) >= MIN_BOOTSTRAP) & np.isfinite(ratios).any(axis=-1)
    low, high = np.full(len(above), np.nan), np.full(len(above), np.nan)
    if enough.any():
        tails = [(1 - level) / 2, (1 + level) / 2]
        quantile = np.quantile if np.isfinite(ratios[enough]).all() else np.nanquantile
        low[enough], high[enough] = quantile(ratios[enough], tails, axis=-1)
    return low, high


def ratio_t_interval(above: Array, below: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Ratio of means with a t interval from linearised residuals (Cochran 1977, section 6.3).

    Parameters
    ----------
    above, below : array (R, K)
        Paired values of K clusters; a pair with a NaN is left out.

    Returns
    -------
    ratio, low, high : array (R,)
    """
    known = np.isfinite(above) & np.isfinite(below)
    above, below = np.where(known, above, np.nan), np.where(known, below, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = mean(above) / mean(below)
        residual = (above - ratio[:, None] * below) / mean(below)[:, None]
    low, high = t_interval(residual, level)
    return ratio, ratio + low, ratio + high
