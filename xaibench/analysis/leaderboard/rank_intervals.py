"""Rank intervals and tie groups: which explainers the tests of one metric separate on one problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.analysis.leaderboard.paired_tests import ExplainerPairs, all_pairs, significantly_better
from xaibench.analysis.leaderboard.score_matrix import ScoreMatrix
from xaibench.analysis.statistics.letter_display import letters
from xaibench.core.types import Array


@dataclass(frozen=True)
class RankIntervals:
    """What tests cannot separate among E explainers; every array is (E,).

    Attributes
    ----------
    low, high : array
        1 + number of explainers that are significantly better, and number of explainers less those that
        are significantly worse: with at least 95 % probability all true ranks lie between them.
    group : array of object
        Letters: tests separate two explainers exactly if they share none.
    win_rate : array
        Share of (sample, other explainer) pairs won, ties by half.
    """

    low: Array
    high: Array
    group: Array
    win_rate: Array


def rank_intervals(samples: ScoreMatrix, value: Array, ranked: Array, *, higher_is_better: bool) -> RankIntervals:
    """Rank intervals and tie groups of the ranked explainers (E,) of bool; NaN and None for the others.

    All pairs are tested, and corrected together by Holm's method, so that with 95 % probability no
    two explainers of the comparison group are separated wrongly (rank intervals as in Al Mohamad et al. 2022,
    letters as in Piepho 2004). What is tested is the mean, or the median, that ranks (`paired_tests`).
    """
    size = len(value)
    low, high, win = np.full(size, np.nan), np.full(size, np.nan), np.full(size, np.nan)
    group = np.full(size, None, dtype=object)
    rows = np.flatnonzero(ranked)
    if len(rows):
        pairs = all_pairs(samples, value, rows, higher_is_better=higher_is_better)
        better = significantly_better(pairs, size)[rows[:, None], rows]
        low[rows] = 1 + better.sum(axis=0)
        high[rows] = len(rows) - better.sum(axis=1)
        merit = (1.0 if higher_is_better else -1.0) * value[rows]
        group[rows] = letters(better | better.T, np.argsort(-merit, kind="stable"))
        win[rows] = _win_rates(pairs, size)[rows]
    return RankIntervals(low, high, group, win)


def _win_rates(pairs: ExplainerPairs, size: int) -> Array:
    won = np.where(pairs.n > 0, pairs.won, 0.0) * pairs.n
    wins = np.bincount(pairs.left, won, size) + np.bincount(pairs.right, pairs.n - won, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates: Array = wins / (np.bincount(pairs.left, pairs.n, size) + np.bincount(pairs.right, pairs.n, size))
    return rates
