"""Paired tests between every two explainers with one metric on one problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix, paired
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.analysis.statistics.signed_ranks import signed_ranks, two_sided
from xaibench.core.types import Array


@dataclass(frozen=True)
class ExplainerPairs:
    """Every pair of E explainers with one metric on one problem; arrays are (P,).

    Attributes
    ----------
    left, right : array of int
        The two explainers, ``left < right``.
    p : array
        Two-sided p-value before any correction; NaN where they have no sample in common.
    favour : array of int
        1 where the left one is better by test and by value, -1 where the right one is, 0 where test and
        value disagree or neither is ahead.
    effect : array
        Rank-biserial correlation of the paired differences, positive where the left one is better; mean
        over the problem seeds.
    won : array
        Share of the common samples on which the left one is better, ties by half.
    n : array of int
        Samples in common.
    """

    left: Array
    right: Array
    p: Array
    favour: Array
    effect: Array
    won: Array
    n: Array


def all_pairs(samples: ScoreMatrix, value: Array, rows: Array, *, higher_is_better: bool) -> ExplainerPairs:
    """Compare every two of some explainers on the samples that both have a defined score on.

    With one problem seed a two-sided signed-rank test. With several, a difference must show on *every*
    trained model: in each direction the largest of their p-values (Berger 1982), twice the smaller of
    the two directions. Draws are averaged, unless their numbers differ between the explainers: the
    mean of ten draws has another distribution than one draw.

    Parameters
    ----------
    samples : ScoreMatrix
    value : array (E,)
        The aggregates that the board shows.
    rows : array of int
        The explainers that are compared.
    higher_is_better : bool
    """
    left, right = (rows[side] for side in _pairs_of(len(rows)))
    sign = 1.0 if higher_is_better else -1.0
    draws = samples.draws[rows]
    scores = samples.scores if (draws == draws[:1]).all() else samples.first
    rounding = samples.rounding
    above, below, n = np.zeros(len(left)), np.zeros(len(left)), np.zeros(len(left), dtype=np.int64)
    effects, won = [], np.zeros(len(left))
    for columns in samples.seeds:
        here = scores[:, columns]
        if not np.isfinite(here).any():
            continue
        differences = sign * paired(here, rounding[:, columns], left, right)
        test = signed_ranks(differences)
        above, below = np.maximum(above, test.above), np.maximum(below, test.below)
        n += test.n
        effects.append(test.effect)
        won += (differences > 0).sum(axis=1) + (test.n - test.n_differ) / 2
    if not effects:
        above[:] = below[:] = np.nan
        effects.append(above)
    merit = sign * intervals.significant(value)
    ahead = np.sign(merit[left] - merit[right])
    tested = np.sign(below - above)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = won / n
    favour = np.where(tested == ahead, ahead, 0.0)
    return ExplainerPairs(
        left,
        right,
        two_sided(above, below),
        np.where(np.isfinite(favour), favour, 0).astype(np.int64),
        np.mean(effects, axis=0),
        share,
        n,
    )


@lru_cache(maxsize=64)
def _pairs_of(n: int) -> tuple[Array, Array]:
    left, right = np.triu_indices(n, 1)
    return left, right


def significantly_better(pairs: ExplainerPairs, size: int) -> Array:
    """Whether explainer i is significantly better than j, at [i, j], after Holm over all pairs."""
    better = np.zeros((size, size), dtype=bool)
    found = (intervals.holm(pairs.p) < ALPHA) & (pairs.favour != 0)
    best = np.where(pairs.favour > 0, pairs.left, pairs.right)
    worst = np.where(pairs.favour > 0, pairs.right, pairs.left)
    better[best[found], worst[found]] = True
    return better
