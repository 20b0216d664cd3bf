"""Tests of the difference of two medians of paired values, for many rows at once. NaN is missing everywhere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import bdtr, bdtrc, ndtri, stdtr

from xaibench.core.types import Array


def median_tests(left: Array, right: Array, rounding: Array) -> tuple[Array, Array]:
    """One-sided tests of the difference of the medians of paired values, which is not the median of differences.

    The p-value is the larger one of two tests:

    - the difference over its standard error, by Student's distribution. The standard errors of both medians come
      from order statistics (McKean and Schrader 1984; Price and Bonett 2001), their correlation from the signs
      of the distances to the medians (Bonett and Price 2020, linear functions of medians in within-subjects
      designs);
    - the exact sign test of who lies above the midpoint between both medians (Mood's median test of pairs,
      McNemar 1947). It does not ask how values are spread around the medians, and finds nothing where few
      pairs lie on different sides: a few values in a gap, or copies with a little noise.

    Each alone fails: the first on ties and on near copies, the second where one side is spread more widely.

    Parameters
    ----------
    left, right : array (R, n)
        Pairs with a NaN are left out.
    rounding : array (R, n)
        Distances from the midpoint below this are none.

    Returns
    -------
    above, below : array (R,)
        p of "the median of ``left`` is that of ``right`` or less", and of "or more": 1 where they are equal,
        NaN without any pair.
    """
    rows, width = left.shape
    if width == 0:
        return np.full(rows, np.nan), np.full(rows, np.nan)
    known = np.isfinite(left) & np.isfinite(right)
    n = np.count_nonzero(known, axis=1)
    (a, error_a), (b, error_b) = (_median_and_error(np.where(known, side, np.nan), n) for side in (left, right))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        signs = np.sign(left - a[:, None]) * np.sign(right - b[:, None])
        correlation = np.where(known, signs, 0.0).sum(axis=1) / n
        error = np.sqrt(np.maximum(error_a**2 + error_b**2 - 2 * correlation * error_a * error_b, 0.0))
        difference = a - b
        distance = np.where(difference == 0, 0.0, np.abs(difference) / error)
        middle = ((a + b) / 2)[:, None]
        sides = [np.where(known & (np.abs(x - middle) >= rounding), np.sign(x - middle), 0.0) for x in (left, right)]
    turned = np.sign(difference)[:, None] * (sides[0] - sides[1])
    ahead, behind = np.count_nonzero(turned > 0, axis=1), np.count_nonzero(turned < 0, axis=1)
    tail = np.maximum(stdtr(np.maximum(n - 1, 1), -distance), _sign_tail(ahead, ahead + behind))
    above = np.where(difference > 0, tail, 1.0)
    below = np.where(difference < 0, tail, 1.0)
    for side in (above, below):
        side[n == 0] = np.nan
    return above, below


def _sign_tail(hits: Array, n: Array) -> Array:
    """Probability of so many hits of n or more, each with probability 1/2."""
    tail: Array = np.where(hits > 0, bdtrc(np.maximum(hits - 1, 0), n, 0.5), 1.0)
    return tail


def _median_and_error(values: Array, n: Array) -> tuple[Array, Array]:
    """Medians (R,) of values (R, n) without NaN, and their standard errors from order statistics."""
    ordered = np.sort(values, axis=1)
    last = values.shape[1] - 1
    row = np.arange(len(values))

    def at(place: Array) -> Array:
        """The values at a place, counted from 0."""
        picked: Array = ordered[row, np.clip(place, 0, last)]
        return picked

    depth, width = (column[n] for column in _depths(last + 1))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = (at(n - depth) - at(depth - 1)) / width
        return (at((n - 1) // 2) + at(n // 2)) / 2, np.where(n > 1, error, 0.0)


@lru_cache(maxsize=256)
def _depths(largest: int) -> tuple[Array, Array]:
    """By number of values: how deep two order statistics lie around the median, and their distance in errors."""
    n = np.arange(largest + 1)
    depth = np.maximum(np.rint((n + 1) / 2 - np.sqrt(n)), 1).astype(np.int64)
    tail = bdtr(depth - 1, np.maximum(n, 1), 0.5)
    return depth, -2 * ndtri(np.minimum(tail, 0.5))
