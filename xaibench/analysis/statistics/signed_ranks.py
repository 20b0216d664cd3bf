"""Wilcoxon's signed-rank test for many rows at once. NaN is a missing pair everywhere.

`scipy.stats.wilcoxon` chooses its method from the whole batch, so that the p-value of one row would
depend on the other rows, and takes seconds for the pairs of one large leaderboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from xaibench.core.types import Array

EXACT_UP_TO = 25
"""Tests of at most this many pairs use the exact distribution."""
_INFINITY = np.array(np.inf).view(np.int64)


@dataclass(frozen=True)
class SignedRanks:
    """Signed-rank tests of R rows of paired differences; every array is (R,).

    Attributes
    ----------
    above, below : array
        One-sided p-values of "symmetric around 0 or less" and "around 0 or more": 1 where all
        differences are 0, NaN where there is none.
    effect : array
        Matched-pairs rank-biserial correlation (Kerby 2014): the share of the rank sum that is
        positive less the share that is negative; 0 where all differences are 0.
    n, n_differ : array of int
        Pairs, and those whose difference is not 0.
    """

    above: Array
    below: Array
    effect: Array
    n: Array
    n_differ: Array


def signed_ranks(differences: Array) -> SignedRanks:
    """Test rows of paired differences (R, n); NaN is left out.

    Zero differences are dropped (Wilcoxon 1945), ties get average ranks. Up to 25 pairs p-values are
    exact, ties included; beyond that they are normal with the variance of the ranks at hand and a
    continuity correction.
    """
    rows, width = differences.shape
    if width == 0:
        nothing, none = np.full(rows, np.nan), np.zeros(rows, dtype=np.int64)
        return SignedRanks(nothing, nothing, nothing, none, none)
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
    places = np.arange(1.0, width + 1)
    positive = (keys & (1 if complete else known)).astype(np.float64)
    won = positive @ places - zeros * positive.sum(axis=1)
    total = m * (m + 1) / 2
    squares = total * (2 * m + 1) / 3
    keys >>= 1
    equal = (keys[:, 1:] == keys[:, :-1]) & (nonzero & known)[:, 1:]
    tied = np.flatnonzero(equal.any(axis=1))
    averages = np.empty((0, width))
    if len(tied):
        averages = _average_ranks(equal[tied], zeros[tied], n[tied])
        won[tied] = np.einsum("ij,ij->i", averages, positive[tied])
        squares[tied] = np.einsum("ij,ij->i", averages, averages)
    above, below = _normal_tails(won, total, squares)
    small = (m > 0) & (m <= EXACT_UP_TO)
    plain = small.copy()
    plain[tied] = False
    if plain.any():
        above[plain], below[plain] = _plain_tails(won[plain], m[plain], total[plain])
    for row, ranks in zip(tied, averages, strict=True):
        if small[row]:
            doubled = np.rint(2 * ranks[ranks > 0]).astype(np.int64)
            tail = _exact_tail(tuple(doubled.tolist()))
            above[row], below[row] = tail[round(2 * won[row])], tail[round(2 * (total[row] - won[row]))]
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.where(m > 0, 2 * won / total - 1, 0.0)
    for values, same in ((above, 1.0), (below, 1.0), (effect, 0.0)):
        values[m == 0] = same
        values[n == 0] = np.nan
    return SignedRanks(above, below, effect, n, m)


def signed_rank(differences: Array) -> Array:
    """One-sided p-value of "symmetric around 0 or less", (R,); see `signed_ranks`."""
    return signed_ranks(differences).above


def two_sided(above: Array, below: Array) -> Array:
    """Two-sided p-value: twice the smaller one."""
    p: Array = np.minimum(2 * np.minimum(above, below), 1.0)
    return p


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


def _normal_tails(won: Array, total: Array, squares: Array) -> tuple[Array, Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(squares / 4)
        shift = won - total / 2
        return ndtr(-(shift - 0.5) / error), ndtr((shift + 0.5) / error)


def _plain_tails(won: Array, n: Array, total: Array) -> tuple[Array, Array]:
    """Exact tails of rows without ties, whose distribution depends on n only."""
    tails = _tails_without_ties()
    return tails[n, np.rint(won).astype(np.int64)], tails[n, np.rint(total - won).astype(np.int64)]


@lru_cache(maxsize=1)
def _tails_without_ties() -> Array:
    """P(W >= w) of n pairs, at [n, w]."""
    tails = np.zeros((EXACT_UP_TO + 1, EXACT_UP_TO * (EXACT_UP_TO + 1) // 2 + 1))
    for n in range(EXACT_UP_TO + 1):
        tail = _exact_tail(tuple(range(1, n + 1)))
        tails[n, : len(tail)] = tail
    return tails


@lru_cache(maxsize=4096)
def _exact_tail(ranks: tuple[int, ...]) -> Array:
    """P(W >= w) for w = 0, 1, ... when each of some whole ranks is in the sum W with probability 1/2."""
    mass = np.zeros(sum(ranks) + 1)
    mass[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(mass)
        shifted[rank:] = mass[: len(mass) - rank]
        mass = (mass + shifted) / 2
    tail: Array = np.cumsum(mass[::-1])[::-1]
    return tail
