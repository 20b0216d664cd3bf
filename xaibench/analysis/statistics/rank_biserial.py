"""Rank-biserial correlations of many rows of paired differences at once. NaN is a missing pair everywhere."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array

_INFINITY = np.array(np.inf).view(np.int64)


def rank_biserial(differences: Array) -> Array:
    """Matched-pairs rank-biserial correlation of rows of paired differences (Kerby 2014).

    Parameters
    ----------
    differences : array (R, n)
        NaN is left out. Zero differences are dropped, ties get average ranks.

    Returns
    -------
    array (R,)
        Share of the sum of ranks of absolute differences that is positive, minus the share that is negative:
        from -1 to 1; 0 where all differences are 0, NaN where there is none.
    """
    rows, width = differences.shape
    if width == 0:
        return np.full(rows, np.nan)
    # Non-negative floats sort as their bits do. The lowest bit is given to the sign, so that one sort
    # of plain integers orders magnitudes and carries signs along; numpy sorts these several times faster
    # than it finds an order.
    keys = np.abs(np.ascontiguousarray(differences, dtype=np.float64)).view(np.int64)
    keys &= ~1
    keys |= differences > 0
    keys.sort(axis=1)
    nonzero = keys > 1
    complete = bool((keys[:, -1] <= _INFINITY + 1).all())
    known = np.ones(keys.shape, dtype=bool) if complete else keys <= _INFINITY + 1
    n = np.count_nonzero(known, axis=1)
    zeros = width - np.count_nonzero(nonzero, axis=1)
    m = n - zeros
    positive = (keys & (1 if complete else known)).astype(np.float64)
    won = positive @ np.arange(1.0, width + 1) - zeros * positive.sum(axis=1)
    keys >>= 1
    equal = (keys[:, 1:] == keys[:, :-1]) & (nonzero & known)[:, 1:]
    tied = np.flatnonzero(equal.any(axis=1))
    if len(tied):
        won[tied] = np.einsum("ij,ij->i", _average_ranks(equal[tied], zeros[tied], n[tied]), positive[tied])
    with np.errstate(invalid="ignore", divide="ignore"):
        effect: Array = np.where(m > 0, 4 * won / (m * (m + 1)) - 1, 0.0)
    effect[n == 0] = np.nan
    return effect


def _average_ranks(equal: Array, zeros: Array, n: Array) -> Array:
    """Ranks (T, n) of sorted rows, ties averaged; 0 for zero differences and missing pairs.

    ``equal`` (T, n - 1) says where a value equals the one before it.
    """
    rows = len(equal)
    edge = np.ones((rows, 1), dtype=bool)
    place = np.arange(equal.shape[1] + 1)
    first = np.maximum.accumulate(np.where(np.hstack([edge, ~equal]), place, 0), axis=1)
    last = np.minimum.accumulate(np.where(np.hstack([~equal, edge]), place, len(place))[:, ::-1], axis=1)[:, ::-1]
    ranks = (first + last) / 2 + 1 - zeros[:, None]
    result: Array = np.where((place >= zeros[:, None]) & (place < n[:, None]), ranks, 0.0)
    return result
