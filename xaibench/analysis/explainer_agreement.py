"""How much explainers agree with each other, and how much they would by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.statistics import intervals
from xaibench.core.types import Array

AGREEMENT_MEASURES = ("feature", "rank", "sign", "signed_rank")
"""The agreements of Krishna et al. (2022): the same features in the top k, with the same rank, sign, or both."""
_SIGNS = (-1, 0, 1)
SIGNED_MEASURES = frozenset({"sign", "signed_rank"})
AGREEMENT_COLUMNS = [
    "suite", "dataset", "model", "selection", "measure", "explainer_a", "params_a", "explainer_b", "params_b",
    "k", "features", "value", "ci_low", "ci_high", "expected", "n", "n_undefined",
]  # fmt: skip


@dataclass(frozen=True)
class Explanations:
    """Maps of several explainers on the same samples of one problem.

    Attributes
    ----------
    names : tuple of str
        Data set, model, selection.
    entries : list of (str, str)
        Explainers and their parameters, as JSON.
    maps : array (E, N, F)
        A sample without a map is NaN.
    signed : array (E,) of bool
        False where a map says how much, and not in which direction.
    samples : list of str
        Names of the samples.
    sizes : array (N,) of int or None
        Features of each sample where they differ, as words of texts do: what lies behind them in a map is none.
    """

    names: tuple[str, str, str]
    entries: list[tuple[str, str]]
    maps: Array
    signed: Array
    samples: list[str]
    sizes: Array | None = None


def explainer_agreement(problems: Sequence[Explanations], *, suite: str, k: int | float = 0.25) -> pd.DataFrame:
    """Agreement of every two explainers at the k largest features, by magnitude.

    Of the k features of largest magnitude of one map, the share that is among the k of the other
    (``feature``), there with the same rank (``rank``), with the same sign (``sign``), or both
    (``signed_rank``). Features of equal magnitude are in a random order, of each map by itself, and the agreement is
    the mean over all of these orders: two maps that are 0 at the same features do not agree about what they leave
    open, and a constant map agrees with any map as much as independent rankings do.

    Parameters
    ----------
    problems : sequence of Explanations
    suite : str
        Name that goes into the first column.
    k : int or float
        Number of features, or a share of those of a sample, rounded up; at most all there are.

    Returns
    -------
    DataFrame
        One row per problem, measure and pair: ``value`` is a mean over the ``n`` samples on which
        both have a map, with Student's interval (these weights, new samples); ``expected`` the mean of the value
        that independent rankings have; ``k`` and ``features`` are those of the largest sample. Measures of signs leave
        out pairs with an unsigned map.

    Source
    ------
    Krishna et al. 2022, The disagreement problem in explainable machine learning, section 4.
    """
    rows = [row for problem in problems for row in _of_problem(problem, k)]
    return pd.DataFrame([{"suite": suite, **row} for row in rows], columns=AGREEMENT_COLUMNS)


def size_of_top(k: int | float, n_features: int) -> int:
    """How many features ``k`` stands for: a share is rounded up, and there are never more than all."""
    size = k if isinstance(k, int) else int(np.ceil(k * n_features - 1e-9))
    return max(1, min(size, n_features))


def _of_problem(problem: Explanations, k: int | float) -> list[dict[str, Any]]:
    n_features = problem.maps.shape[2]
    size = size_of_top(k, n_features)
    head = dict(zip(("dataset", "model", "selection"), problem.names, strict=True))
    parts = _of_equal_size(problem)
    orders = [[tied_order(maps[at, :d]) for at, d in parts] for maps in problem.maps]
    rows = []
    for a, b in combinations(range(len(problem.entries)), 2):
        for measure in AGREEMENT_MEASURES:
            if measure in SIGNED_MEASURES and not (problem.signed[a] and problem.signed[b]):
                continue
            value, chance = (np.full(problem.maps.shape[1], np.nan) for _ in range(2))
            for (at, d), one, other in zip(parts, orders[a], orders[b], strict=True):
                value[at], chance[at] = agreement_at(one, other, size_of_top(k, d), measure)
            low, high = intervals.t_interval(value[None])
            known = np.isfinite(value)
            rows.append(
                {
                    **head,
                    "measure": measure,
                    "explainer_a": problem.entries[a][0],
                    "params_a": problem.entries[a][1],
                    "explainer_b": problem.entries[b][0],
                    "params_b": problem.entries[b][1],
                    "k": size,
                    "features": n_features,
                    "value": float(intervals.nanmean(value)),
                    "ci_low": float(low[0]),
                    "ci_high": float(high[0]),
                    "expected": float(intervals.nanmean(np.where(known, chance, np.nan))),
                    "n": int(known.sum()),
                    "n_undefined": int((~known).sum()),
                }
            )
    return rows


def _of_equal_size(problem: Explanations) -> list[tuple[Array, int]]:
    """Rows of the samples that have equally many features, and how many."""
    if problem.sizes is None:
        return [(np.arange(problem.maps.shape[1]), problem.maps.shape[2])]
    return [(np.flatnonzero(problem.sizes == d), int(d)) for d in np.unique(problem.sizes) if d > 0]


@dataclass(frozen=True)
class TiedOrder:
    """Places of the d features of N maps, the largest magnitude first; arrays are (N, d), ``known`` is (N,).

    Attributes
    ----------
    first, last : array of int
        Features of one magnitude share the places ``first`` to before ``last``, in any order.
    signs : array
    known : array of bool
        Maps that are finite.
    """

    first: Array
    last: Array
    signs: Array
    known: Array

    def in_top(self, size: int) -> Array:
        """Probability of every feature to be among the first ``size``."""
        found: Array = np.clip(size - self.first, 0, self.last - self.first) / (self.last - self.first)
        return found

    def sign_at(self, size: int, sign: int) -> Array:
        """Probability (N, size) that the feature at a place has a sign."""
        by_place = np.argsort(self.first, axis=1, kind="stable")
        first, last, of_sign = (np.take_along_axis(x, by_place, axis=1) for x in (self.first, self.last, self.signs))
        total = np.cumsum(np.pad(of_sign == sign, ((0, 0), (1, 0))), axis=1)
        share = (np.take_along_axis(total, last, axis=1) - np.take_along_axis(total, first, axis=1)) / (last - first)
        found: Array = share[:, :size]
        return found


def tied_order(maps: Array) -> TiedOrder:
    """Places of the features of maps (N, d) by magnitude.

    Examples
    --------
    >>> found = tied_order(np.array([[0.0, -3.0, 0.0, 1.0]]))
    >>> found.first.tolist(), found.last.tolist()
    ([[2, 0, 2, 1]], [[4, 1, 4, 2]])
    """
    size = np.abs(maps)
    order = np.argsort(-size, axis=1, kind="stable")
    ordered = np.take_along_axis(size, order, axis=1)
    n, d = maps.shape
    place = np.arange(d)
    starts = np.ones((n, d), dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones((n, d), dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    first, last = np.empty((n, d), dtype=np.int64), np.empty((n, d), dtype=np.int64)
    np.put_along_axis(first, order, np.maximum.accumulate(np.where(starts, place, 0), axis=1), axis=1)
    closing = np.minimum.accumulate(np.where(ends, place + 1, d)[:, ::-1], axis=1)[:, ::-1]
    np.put_along_axis(last, order, closing, axis=1)
    return TiedOrder(first, last, np.sign(maps), np.asarray(np.isfinite(maps).all(axis=1)))


def agreement_at(a: TiedOrder, b: TiedOrder, size: int, measure: str) -> tuple[Array, Array]:
    """Agreement of two explanations sample by sample, and what it is on average for independent rankings.

    Both are means over all orders of tied features, of each map by itself. Chance gives each feature of the second
    map a random place, its sign with it. A given feature of its top k is then on a given feature of the first top k
    with probability 1 / d of d features. So of the k features a share of k / d agrees, and 1 / d with the same rank;
    with signs, only the k^2 pairs (or, of the same rank, the k pairs) that have the same sign count.

    Parameters
    ----------
    a, b : TiedOrder
    size : int
        k.
    measure : {"feature", "rank", "sign", "signed_rank"}

    Returns
    -------
    value, expected : array (N,)
        NaN where one of the maps is not finite.
    """
    signed, n_features = measure in SIGNED_MEASURES, a.first.shape[1]
    if measure in ("rank", "signed_rank"):
        shared = np.clip(np.minimum(np.minimum(a.last, b.last), size) - np.maximum(a.first, b.first), 0, None)
        meet = shared / ((a.last - a.first) * (b.last - b.first))
        of_sign = [(a.sign_at(size, s) * b.sign_at(size, s)).sum(axis=1) for s in _SIGNS if signed]
        pairs = np.sum(of_sign, axis=0) if signed else np.full(len(meet), float(size))
    else:
        first, second = a.in_top(size), b.in_top(size)
        meet = first * second
        of_sign = [(first * (a.signs == s)).sum(axis=1) * (second * (b.signs == s)).sum(axis=1) for s in _SIGNS]
        pairs = np.sum(of_sign, axis=0) if signed else np.full(len(meet), float(size * size))
    agreed = (meet * (a.signs == b.signs) if signed else meet).sum(axis=1)
    known = a.known & b.known
    return np.where(known, agreed / size, np.nan), np.where(known, pairs / (size * n_features), np.nan)
