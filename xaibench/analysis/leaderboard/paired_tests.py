"""Paired tests between every two explainers with one metric on one problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix, paired
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.analysis.statistics.mean_tests import mean_tests, two_sided
from xaibench.analysis.statistics.median_tests import median_tests
from xaibench.analysis.statistics.rank_biserial import rank_biserial
from xaibench.core.types import Array


@dataclass(frozen=True)
class PairTests:
    """Tests of P pairs of explainers on one trained model; arrays are (P,).

    Attributes
    ----------
    above, below : array
        One-sided p-values of "left is no better than right", and of "no worse": of the aggregate that a board
        ranks by. NaN where they have no sample in common.
    effect : array
        Rank-biserial correlation of the paired differences, positive where the left one is better.
    won : array
        Samples on which the left one is better, ties by half.
    n : array of int
        Samples in common.
    """

    above: Array
    below: Array
    effect: Array
    won: Array
    n: Array


def paired_tests(
    scores: Array, rounding: Array, left: Array, right: Array, *, higher_is_better: bool, median: bool
) -> PairTests:
    """Test pairs of explainers on the samples that both have a defined score on.

    What is tested is what ranks: the difference of the means, which is the mean of the paired differences
    (`mean_tests`), or the difference of the medians, which is not the median of the differences (`median_tests`).

    Parameters
    ----------
    scores, rounding : array (E, n)
        Of one trained model; see `ScoreMatrix`.
    left, right : array (P,) of int
    higher_is_better, median : bool
    """
    sign = 1.0 if higher_is_better else -1.0
    differences = sign * paired(scores, rounding, left, right)
    if median:
        first = sign * scores[left]
        # Equal but for rounding is equal.
        second = np.where(differences == 0, first, sign * scores[right])
        above, below = median_tests(first, second, np.fmax(rounding[left], rounding[right]))
    else:
        above, below = mean_tests(differences)
    n = np.count_nonzero(np.isfinite(differences), axis=1)
    won = (np.count_nonzero(differences > 0, axis=1) + n - np.count_nonzero(differences < 0, axis=1)) / 2
    return PairTests(above, below, rank_biserial(differences), won, n)


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
        1 where the left one is better, -1 where the right one is, 0 where neither is. Where explainers have
        gaps or different numbers of draws the samples of the test are not all of those of the value; the order
        is 0, too, where the two disagree.
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

    With one problem seed a two-sided test of the aggregate (`paired_tests`). With several, a difference must
    show on *every* trained model: in each direction the largest of their p-values (Berger 1982), twice the
    smaller of the two directions. Draws are averaged, unless their numbers differ between the explainers: the
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
    draws = samples.draws[rows]
    scores = samples.scores if (draws == draws[:1]).all() else samples.first
    rounding = samples.rounding
    above, below, n = np.zeros(len(left)), np.zeros(len(left)), np.zeros(len(left), dtype=np.int64)
    effects, won = [], np.zeros(len(left))
    for columns in samples.seeds:
        here = scores[:, columns]
        if not np.isfinite(here).any():
            continue
        test = paired_tests(
            here, rounding[:, columns], left, right, higher_is_better=higher_is_better, median=samples.median
        )
        above, below = np.maximum(above, test.above), np.maximum(below, test.below)
        n += test.n
        effects.append(test.effect)
        won += test.won
    if not effects:
        above[:] = below[:] = np.nan
        effects.append(above)
    merit = (1.0 if higher_is_better else -1.0) * intervals.significant(value)
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
