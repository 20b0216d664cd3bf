"""Races: which explainers of a comparison need no more samples at each look, by tests that allow for looking early."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from xaibench.analysis.leaderboard.paired_tests import paired_tests
from xaibench.analysis.leaderboard.score_matrix import paired
from xaibench.analysis.racing.closing import FROM_SHARE, FUTILE, Delta, final_chances, tied_within
from xaibench.analysis.racing.modes import RaceMode
from xaibench.analysis.racing.spending import looks_at, nominal_levels
from xaibench.analysis.statistics.intervals import last_digit, median, nanmean
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.analysis.statistics.mean_tests import two_sided
from xaibench.core.types import Array

RaceOutcome = Literal["beaten", "worse than placebo", "better than placebos", "tied", "not separable"]
DECISIONS: frozenset[RaceOutcome] = frozenset({"beaten", "worse than placebo", "better than placebos"})
"""Outcomes that say who is better; the others close a question without that."""
RACE_RULES = 2
"""Version of the rules by which explainers leave: part of the keys of rows that left early."""


@dataclass(frozen=True)
class RaceStop:
    """An explainer that needs no more samples.

    Attributes
    ----------
    explainer : int
    outcome : {"beaten", "worse than placebo", "better than placebos", "tied", "not separable"}
        Of the last two, ``tied``: the difference to the rival is shown to be below the practical delta; ``not
        separable``: by its trend so far all samples would hardly show a difference.
    rival : int or None
        Who is shown to be better, or who it is tied with or not separable from: another explainer, or a placebo.
    n : int
        Samples that it took.
    delta : float or None
        The practical delta, where it is tied.
    """

    explainer: int
    outcome: RaceOutcome
    rival: int | None
    n: int
    delta: float | None = None


@dataclass(frozen=True)
class _Look:
    """Tests of pairs at one look; arrays are (P,). ``level`` is the two-sided level of each pair, of this look."""

    left: Array
    right: Array
    differences: Array
    better: Array
    worse: Array
    p: Array
    ahead: Array
    level: float


@dataclass
class MetricRace:
    """A race of E explainers by one metric on one problem.

    With ``best``, an explainer leaves when another one that is still there is shown to be better, and the race ends
    when all that are left are tied with the leader within the practical delta, or not separable from it by all
    samples: the leader goes on alone, so that its score is one of all samples. With ``placebo``, an explainer leaves
    when it is shown to be worse than a placebo, or better than every one; and where neither can be expected any more,
    because it is tied with a placebo, or not separable from one. Both look at sample sizes that are fixed in advance,
    with Pocock spending, and Bonferroni over the pairs that they may test: no false decision and no false tie in the
    whole race, with 95 % probability (`tied_within`). That nothing can be expected is judged by the trend
    (`final_chances`) from a tenth of the samples on; it makes no decision, so it can make no false one. ``anytime`` is
    ``best`` by an e-process of signs (Jeffreys mixture over the probability to win a sample), which may be stopped
    whenever one likes, without ties and trends. Means are compared by `paired_tests`, other aggregates by signs.

    Attributes
    ----------
    mode : {"best", "placebo", "anytime"}
    n_samples : int
        All samples there are.
    candidates, placebos : array of bool (E,)
        Who races, and who stands beside as a placebo; controls never leave.
    higher_is_better, median : bool
    delta : callable, optional
        The practical delta, from the mean absolute score of the leader; without it nothing is tied.
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
    delta: Delta | None = None
    running: set[int] = field(default_factory=set)
    stops: list[RaceStop] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.running = set(np.flatnonzero(self.candidates).tolist())
        n, m = len(self.running), int(self.placebos.sum())
        self._n_pairs = max(n * m if self.mode == "placebo" else n * (n - 1) // 2, 1)
        self.looks = looks_at(self.n_samples)
        levels = nominal_levels(self.looks, ALPHA / self._n_pairs)
        self._levels = dict(zip(self.looks, levels, strict=True))

    def look(self, scores: Array) -> list[RaceStop]:
        """Look at the scores (E, n) of the first n samples, NaN where there is none; returns who leaves."""
        n = scores.shape[1]
        if n >= self.n_samples or not self.running:
            return []
        left, right = self._pairs()
        if not len(left):
            return []
        look = self._tested(scores, left, right)
        found = self._stops(look, n)
        self.running -= {stop.explainer for stop in found}
        if self.mode != "anytime" and n in self.looks:
            closed = self._closed_by_placebos(scores, look) if self.mode == "placebo" else self._ended(scores, look)
            self.running -= {stop.explainer for stop in closed}
            found += closed
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

    def _tested(self, scores: Array, left: Array, right: Array) -> _Look:
        """Tests of pairs: in which the left one, and in which the right one, is shown to be better."""
        rounding = _rounding(scores, self.median)
        differences = (1.0 if self.higher_is_better else -1.0) * paired(scores, rounding, left, right)
        won, lost = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
        nothing = np.zeros(len(left), dtype=bool)
        if self.mode == "anytime":
            shown = _e_values(won, lost) >= np.log(self._n_pairs / ALPHA)
            better, worse = shown & (won > lost), shown & (lost > won)
            return _Look(left, right, differences, better, worse, nothing + np.nan, nothing + 0.0, 0.0)
        level = self._levels.get(scores.shape[1], 0.0)
        if self.median:
            p, ahead = _sign_test(won, lost), np.sign(won - lost)
        else:
            test = paired_tests(scores, rounding, left, right, higher_is_better=self.higher_is_better, median=False)
            p, ahead = two_sided(test.above, test.below), np.sign(test.below - test.above)
        p = np.nan_to_num(p, nan=1.0)
        shown = p < level
        return _Look(left, right, differences, shown & (ahead > 0), shown & (ahead < 0), p, ahead, level)

    def _stops(self, look: _Look, n: int) -> list[RaceStop]:
        left, right, better, worse = look.left, look.right, look.better, look.worse
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

    def _ended(self, scores: Array, look: _Look) -> list[RaceStop]:
        """All but the leader, if every one of them is tied with it or not separable from it; else none."""
        here = sorted(self.running)
        if len(here) < 2:
            return []
        leader = here[int(np.argmax(self._merit(scores[here])))]
        own = ((look.left == leader) | (look.right == leader)) & np.isin(look.left, here) & np.isin(look.right, here)
        delta = self._delta(scores[leader])
        tied = tied_within(look.differences[own], delta, look.level, by_signs=self.median)
        first, second = self._chances(look, own, scores.shape[1])
        closed = tied | (np.fmax(first, second) < FUTILE)
        if not closed.all():
            return []
        others = np.where(look.left[own] == leader, look.right[own], look.left[own]).tolist()
        return [
            self._closed(other, leader, scores.shape[1], delta if by_delta else None)
            for other, by_delta in zip(others, tied.tolist(), strict=True)
        ]

    def _closed_by_placebos(self, scores: Array, look: _Look) -> list[RaceStop]:
        """Explainers that can hardly become better than every placebo, nor worse than one."""
        if not self.running:
            return []
        placebos = np.flatnonzero(self.placebos)
        best = placebos[int(np.argmax(self._merit(scores[placebos])))]
        delta = self._delta(scores[best])
        tied = tied_within(look.differences, delta, look.level, by_signs=self.median) & ~look.better
        up, down = self._chances(look, np.ones(len(look.left), dtype=bool), scores.shape[1])
        found = []
        for explainer in sorted(self.running):
            own = look.left == explainer
            if not (tied[own] | (down[own] < FUTILE)).all():
                continue
            if tied[own].any():
                found.append(self._closed(explainer, int(look.right[own][tied[own]][0]), scores.shape[1], delta))
            elif up[own].min() < FUTILE:
                found.append(self._closed(explainer, int(look.right[own][up[own].argmin()]), scores.shape[1], None))
        return found

    def _closed(self, explainer: int, rival: int, n: int, delta: float | None) -> RaceStop:
        return RaceStop(explainer, "not separable" if delta is None else "tied", int(rival), n, delta)

    def _chances(self, look: _Look, pairs: Array, n: int) -> tuple[Array, Array]:
        """`final_chances` of some pairs; 1 before trends are extrapolated."""
        share = n / self.n_samples
        if share < FROM_SHARE:
            return np.ones(int(pairs.sum())), np.ones(int(pairs.sum()))
        return final_chances(look.p[pairs], look.ahead[pairs], share, self._levels[self.looks[-1]])

    def _merit(self, scores: Array) -> Array:
        """The aggregate of rows, higher is better, and the smallest number where it is undefined."""
        value = median(scores) if self.median else nanmean(scores)
        return np.nan_to_num(value if self.higher_is_better else -value, nan=-np.inf)

    def _delta(self, scores: Array) -> float:
        if self.delta is None or not np.isfinite(scores).any():
            return 0.0
        return self.delta(float(np.nanmean(np.abs(scores))))


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
