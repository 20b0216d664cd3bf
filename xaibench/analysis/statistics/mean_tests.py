"""Tests of means that allow for skewed values, for many rows at once. NaN is a missing value everywhere."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from xaibench.analysis.statistics.intervals import MAX_STRETCH
from xaibench.core.types import Array


def mean_tests(values: Array) -> tuple[Array, Array]:
    """One-sided tests of the mean of every row: the larger p of Student's t, before and after Hall's transformation.

    With T Student's statistic, g the sample skewness and b = g / (6 sqrt(n)), the statistic
    T + 2 b T^2 + (4/3) b^2 T^3 + b, which takes skewness out (Hall 1992, On the removal of skewness by
    transformation, equation 2.6), is compared with Student's distribution where it is nearer to 0 than T, by
    half at most, as in `intervals.mean_interval`. Where it is further away T itself is: in heavy tails a few
    large values look like skewness, and make differences of which they are a part. Symmetric values get
    Student's test.

    No p-value is below 2^-m, where m values differ from 0: a sign-flip test of so many could not reach a
    smaller one, and few values that happen to agree say little about their spread. Where all values are
    equal it is just that.

    Parameters
    ----------
    values : array (R, n)
        Independent values, minus the mean that is tested; NaN is left out.

    Returns
    -------
    above, below : array (R,)
        p of "the mean is 0 or less", and of "0 or more": 1 where all values are 0, NaN where there is none.
    """
    rows, width = values.shape
    if width == 0:
        return np.full(rows, np.nan), np.full(rows, np.nan)
    known = np.isfinite(values)
    complete = bool(known.all())
    size = np.abs(values) if complete else np.abs(np.where(known, values, 0.0))
    largest = size.max(axis=1)
    n_differ = np.count_nonzero(size, axis=1)
    n = np.full(rows, width) if complete else np.count_nonzero(known, axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        # Powers of tiny and huge values would leave the range of floats.
        scaled = values / np.where(largest > 0, largest, 1.0)[:, None]
        scaled = scaled if complete else np.where(known, scaled, 0.0)
        centre = scaled.sum(axis=1) / n
        scaled -= centre[:, None]
        if not complete:
            scaled *= known
        squares = np.einsum("ij,ij->i", scaled, scaled)
        statistic = centre * np.sqrt(n * (n - 1) / squares)
        bend = np.einsum("ij,ij,ij->i", scaled, scaled, scaled) / squares**1.5 / 6
        distance = np.abs(statistic)
        bent = statistic + 2 * bend * statistic**2 + 4 / 3 * bend**2 * statistic**3 + bend
        bent = np.clip(np.sign(centre) * bent, distance / MAX_STRETCH, distance)
        above = stdtr(np.maximum(n - 1, 1), -np.sign(centre) * bent)
    # All values are equal but for rounding, or there is but one.
    flat = ~(squares > n * np.square(1e-12 * centre))
    above[flat] = np.where(centre[flat] > 0, 0.0, 1.0)
    least = 0.5**n_differ
    below = np.maximum(1 - above, least)
    above = np.maximum(above, least)
    for tail in (above, below):
        tail[n == 0] = np.nan
    return above, below


def two_sided(above: Array, below: Array) -> Array:
    """Two-sided p-value: twice the smaller one."""
    p: Array = np.minimum(2 * np.minimum(above, below), 1.0)
    return p
