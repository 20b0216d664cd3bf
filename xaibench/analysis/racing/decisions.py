"""Races: which explainers of one comparison are decided at each look, by paired tests that allow for looking early."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from xaibench.analysis.leaderboard.paired_tests import paired_tests
from xaibench.analysis.leaderboard.score_matrix import paired
from xaibench.analysis.racing.modes import RaceMode
from xaibench.analysis.racing.spending import looks_at, nominal_levels
from xaibench.analysis.statistics.intervals import last_digit, median
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.analysis.statistics.mean_tests import two_sided
from xaibench.core.types import Array


@dataclass(frozen=True)
class RaceStop:
    """An explainer that needs no more samples.

    Attributes
    ----------
    explainer : int
    outcome : {"beaten", "worse than placebo", "better than placebos"}
    rival : int or None
        Who is shown to be better: another explainer, or a placebo.
    n : int
        Samples that it took.
    """

    explainer: int
    outcome: Literal["beaten", "worse than placebo", "better than placebos"]
    rival: int | None
    n: int


@dataclass
class MetricRace:
    """A race of E explainers by one metric on one problem.

    With ``best``, an explainer leaves when another one that is still there is shown to be better; with ``placebo``,
    when it is shown to be worse than a placebo, or better than every one. Both look at sample sizes that are fixed in
    advance, with Pocock spending, and Bonferroni over the pairs that they may test: no false decision in the whole
    race, with 95 % probability. ``anytime`` is ``best`` by an e-process of signs (Jeffreys mixture over the
    probability to win a sample), which may be stopped whenever one likes. Means are compared by `paired_tests`, other
    aggregates by signs.

    Attributes
    ----------
    mode : {"best", "placebo", "anytime"}
    n_samples : int
        All samples there are.
    candidates, placebos : array of bool (E,)
        Who races, and who stands beside as a placebo; controls never leave.
    higher_is_better, median : bool
    running : set of int
    stops : list of RaceStop
        In the order in which they were decided.
    """

    mode: RaceMode
    n_samples: int
    candidates: Array
    placebos: Array
    higher_is_better: bool
    median: bool = False
    running: set[int] = field(default_factory=set)
    stops: list[RaceStop] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = set(np.flatnonzero(self.candidates).tolist())
        n, m = len(self.running), int(self.placebos.sum())
        self._n_pairs = max(n * m if self.mode == "placebo" else n * (n - 1) // 2, 1)
        self.looks = looks_at(self.n_samples)

    def look(self, scores: Array) -> list[RaceStop]:
        """Look at the scores (E, n) of the first n samples, NaN where there is none; returns who leaves."""
        n = scores.shape[1]
        if n >= self.n_samples or not self.running:
            return []
        left, right = self._pairs()
        if not len(left):
            return []
        better, worse = self._decided(scores, left, right)
        found = self._stops(left, right, better, worse, n)
        self.running -= {stop.explainer for stop in found}
        self.stops += found
        return found

    def withdraw(self, explainer: int) -> None:
        """Take out an explainer without a decision, as one whose scores are undefined or failed."""
        self.running.discard(explainer)

    def _pairs(self) -> tuple[Array, Array]:
        here = np.array(sorted(self.running), dtype=np.int64)
        others = np.flatnonzero(self.placebos)
        if self.mode == "placebo":
            left, right = (side.ravel() for side in np.meshgrid(here, others, indexing="ij"))
            return left, right
        first, second = np.triu_indices(len(here), 1)
        return here[first], here[second]

    def _decided(self, scores: Array, left: Array, right: Array) -> tuple[Array, Array]:
        """Pairs in which the left one, and in which the right one, is shown to be better."""
        rounding = _rounding(scores, self.median)
        differences = (1.0 if self.higher_is_better else -1.0) * paired(scores, rounding, left, right)
        won, lost = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
        if self.mode == "anytime":
            shown = _e_values(won, lost) >= np.log(self._n_pairs / ALPHA)
            return shown & (won > lost), shown & (lost > won)
        level = dict(zip(self.looks, nominal_levels(self.looks, ALPHA / self._n_pairs), strict=True)).get(
            scores.shape[1]
        )
        if level is None:
            return np.zeros(len(left), dtype=bool), np.zeros(len(left), dtype=bool)
        if self.median:
            p, ahead = _sign_test(won, lost), np.sign(won - lost)
        else:
            test = paired_tests(scores, rounding, left, right, higher_is_better=self.higher_is_better, median=False)
            p, ahead = two_sided(test.above, test.below), np.sign(test.below - test.above)
        shown = np.nan_to_num(p, nan=1.0) < level
        return shown & (ahead > 0), shown & (ahead < 0)

    def _stops(self, left: Array, right: Array, better: Array, worse: Array, n: int) -> list[RaceStop]:
        found: list[RaceStop] = []
        if self.mode == "placebo":
            for explainer in sorted(self.running):
                own = left == explainer
                if worse[own].any():
                    found.append(RaceStop(explainer, "worse than placebo", int(right[own][worse[own]][0]), n))
                elif better[own].all():
                    found.append(RaceStop(explainer, "better than placebos", None, n))
            return found
        beaten = {int(b): int(a) for a, b in zip(left[better], right[better], strict=True)}
        beaten |= {int(a): int(b) for a, b in zip(left[worse], right[worse], strict=True)}
        return [RaceStop(explainer, "beaten", beaten[explainer], n) for explainer in sorted(beaten)]


def _rounding(scores: Array, is_median: bool) -> Array:
    """Differences below this are rounding errors (E, n); see `ScoreMatrix.rounding`."""
    size = np.abs(scores)
    typical = median(size)
    typical = np.maximum(typical, 1.0) if is_median else typical
    return last_digit(np.fmax(size, typical[:, None])) / 2


def _e_values(won: Array, lost: Array) -> Array:
    """Logarithm of the e-value of "wins and losses are equally likely": mixture over Beta(1/2, 1/2)."""
    from scipy.special import betaln

    found: Array = betaln(won + 0.5, lost + 0.5) - betaln(0.5, 0.5) + (won + lost) * np.log(2.0)
    return found


def _sign_test(won: Array, lost: Array) -> Array:
    """Two-sided p-values of the exact sign test; ties are left out."""
    from scipy.stats import binom

    found: Array = np.minimum(2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5), 1.0)
    return found
