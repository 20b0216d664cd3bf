"""How much explainers agree with each other, and how much they would by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.statistics import intervals
from xaibench.core.keys import seed
from xaibench.core.types import Array

AGREEMENT_MEASURES = ("feature", "rank", "sign", "signed_rank")
"""The agreements of Krishna et al. (2022): the same features in the top k, with the same rank, sign, or both."""
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
        Names of the samples; ties are broken by draws that they key, the same for all explainers.
    """

    names: tuple[str, str, str]
    entries: list[tuple[str, str]]
    maps: Array
    signed: Array
    samples: list[str]


def explainer_agreement(problems: Sequence[Explanations], *, suite: str, k: int | float = 0.25) -> pd.DataFrame:
    """Agreement of every two explainers at the k largest features, by magnitude.

    Of the k features of largest magnitude of one map, the share that is among the k of the other
    (``feature``), there with the same rank (``rank``), with the same sign (``sign``), or both
    (``signed_rank``). See `expected` for what chance alone gives.

    Parameters
    ----------
    problems : sequence of Explanations
    suite : str
        Name that goes into the first column.
    k : int or float
        Number of features, or a share of them, rounded up; at most all there are.

    Returns
    -------
    DataFrame
        One row per problem, measure and pair: ``value`` is a mean over the ``n`` samples on which
        both have a map, with Student's interval (these weights, new samples); ``expected`` the mean of the value
        that independent rankings have. Measures of signs leave out pairs with an unsigned map.

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
    ties = np.stack([np.random.default_rng(seed("agreement", s)).permutation(n_features) for s in problem.samples])
    tops = [_top(maps, ties, size) for maps in problem.maps]
    rows = []
    for a, b in combinations(range(len(problem.entries)), 2):
        for measure in AGREEMENT_MEASURES:
            if measure in SIGNED_MEASURES and not (problem.signed[a] and problem.signed[b]):
                continue
            value, chance = agreement_at(tops[a], tops[b], n_features, measure)
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


@dataclass(frozen=True)
class Top:
    """The k features of largest magnitude of N maps, the largest first: places and signs (N, k)."""

    features: Array
    signs: Array
    known: Array


def _top(maps: Array, ties: Array, size: int) -> Top:
    order = np.lexsort((ties, -np.abs(maps)), axis=-1)[:, :size]
    known: Array = np.asarray(np.isfinite(maps).all(axis=1))
    return Top(order, np.sign(np.take_along_axis(maps, order, axis=1)), known)


def agreement_at(a: Top, b: Top, n_features: int, measure: str) -> tuple[Array, Array]:
    """Agreement of two explanations sample by sample, and what it is on average for independent rankings.

    Chance gives each feature of the second map a random place, its sign with it. A given feature of
    its top k is then on a given feature of the first top k with probability 1 / d of d features. So of
    the k features a share of k / d agrees, and 1 / d with the same rank; with signs, only the k^2 pairs
    (or, of the same rank, the k pairs) that have the same sign count.

    Parameters
    ----------
    a, b : Top
    n_features : int
    measure : {"feature", "rank", "sign", "signed_rank"}

    Returns
    -------
    value, expected : array (N,)
        NaN where one of the maps is not finite.
    """
    n, size = a.features.shape
    if measure in ("rank", "signed_rank"):
        meet = a.features == b.features
        same_sign = a.signs == b.signs
        pairs = same_sign.sum(axis=1) if measure in SIGNED_MEASURES else np.full(n, size)
    else:
        sign_there = np.full((n, n_features), np.inf)
        np.put_along_axis(sign_there, b.features, b.signs, axis=1)
        there = np.take_along_axis(sign_there, a.features, axis=1)
        meet, same_sign = np.isfinite(there), there == a.signs
        of_sign = [(a.signs == s).sum(axis=1) * (b.signs == s).sum(axis=1) for s in (-1, 0, 1)]
        pairs = np.sum(of_sign, axis=0) if measure in SIGNED_MEASURES else np.full(n, size * size)
    agreed = (meet & same_sign if measure in SIGNED_MEASURES else meet).sum(axis=1)
    known = a.known & b.known
    return np.where(known, agreed / size, np.nan), np.where(known, pairs / (size * n_features), np.nan)
