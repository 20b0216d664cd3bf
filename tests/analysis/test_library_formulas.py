"""Statistics that scipy computes are those of the formulas that they have replaced, written out here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import bdtr, bdtrc, betaincinv, fdtrc, stdtr, stdtrit
from scipy.stats import rankdata

from xaibench.analysis.statistics.evidence import of_groups, of_share
from xaibench.analysis.statistics.friedman import critical_difference
from xaibench.core.types import Array

TIMES = 1000
ALPHA = 0.025


def share(values: Array, number: float) -> tuple[float, ...]:
    """Bounds of Clopper and Pearson less the number, and one-sided binomial p-values."""
    n, hits = len(values), int(values.sum())
    low = float(betaincinv(hits, n - hits + 1, ALPHA)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - ALPHA)) if hits < n else 1.0
    above = float(bdtrc(hits - 1, n, number)) if hits else 1.0
    return low - number, high - number, above, float(bdtr(hits, n, number))


def groups(a: Array, b: Array, shift: float) -> tuple[float, ...]:
    """Welch's interval and one-sided p-value, with Satterthwaite's degrees of freedom."""
    centre = a.mean() - b.mean() - shift
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    error = np.sqrt(parts.sum())
    freedom = parts.sum() ** 2 / (parts**2 / [len(a) - 1, len(b) - 1]).sum()
    half = stdtrit(freedom, 1 - ALPHA) * error
    above = stdtr(freedom, -centre / error)
    return centre - half, centre + half, above, 1 - above


def friedman(costs: Array) -> float:
    """Iman and Davenport's p from ranks, corrected for ties."""
    ranks = rankdata(costs, axis=1)
    n, k = ranks.shape
    between = n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    within = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))
    if within == 0:
        return 1.0
    chi = between / within
    if chi >= n * (k - 1) * (1 - 1e-12):
        return 0.0
    return float(fdtrc(k - 1, (k - 1) * (n - 1), (n - 1) * chi / (n * (k - 1) - chi)))


def test_shares() -> None:
    rng = np.random.default_rng(0)
    for _ in range(TIMES):
        values = (rng.random(rng.integers(1, 200)) < rng.choice([0, 1, rng.random()])).astype(float)
        number = float(rng.choice([rng.random(), 0.0, 1.0, 0.5], p=[0.85, 0.05, 0.05, 0.05]))
        found = of_share(values, number)
        assert (found.low, found.high, found.p_above, found.p_below) == pytest.approx(
            share(values, number), rel=0, abs=1e-12
        )


def test_groups() -> None:
    rng = np.random.default_rng(1)
    for _ in range(TIMES):
        a = rng.normal(rng.normal(), 5 * rng.random() + 0.01, rng.integers(2, 40))
        b = rng.normal(size=rng.integers(2, 40))
        shift = float(rng.choice([0.0, rng.normal()]))
        found = of_groups(a, b, shift)
        expected = groups(a, b, shift)
        assert (found.low, found.high, found.p_above, found.p_below) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("a", "b", "p_above"), [(1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.3, 0.3, 1.0)])
def test_groups_without_spread_decide_nothing(a: float, b: float, p_above: float) -> None:
    found = of_groups(np.full(4, a), np.full(3, b))
    assert (found.low, found.high, found.p_above, found.decidable) == (a - b, a - b, p_above, False)
    nearly = of_groups(np.array([1.0, 1.0 + 1e-15]), np.array([1.0, 1.0]))
    assert nearly.mean == pytest.approx(0, abs=1e-14)


def test_mean_ranks() -> None:
    rng = np.random.default_rng(2)
    for _ in range(TIMES):
        n, k = int(rng.integers(10, 30)), int(rng.integers(3, 9))
        costs = rng.integers(0, rng.choice([1, 2, 4, 100]), size=(n, k)).astype(float)
        costs += rng.choice([0.0, 0.3]) * np.arange(k)
        assert critical_difference(costs).p == pytest.approx(friedman(costs), rel=0, abs=1e-12)
