"""Tests of the difference of medians: exact parts, what says nothing, and errors under equal medians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats as sps

from xaibench.analysis.statistics.mean_tests import two_sided
from xaibench.analysis.statistics.median_tests import median_tests

LOG2 = np.log(2)  # median of an exponential value


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def p_of(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return two_sided(*median_tests(left, right, np.full(left.shape, 1e-12)))


def reference(x: np.ndarray, y: np.ndarray) -> float:
    """One-sided p of "the median of x is that of y or less", one pair of explainers at a time."""
    if np.median(x) <= np.median(y):
        return 1.0
    n = len(x)
    depth = max(1, round((n + 1) / 2 - n**0.5))
    width = 2 * sps.norm.isf(sps.binom.cdf(depth - 1, n, 0.5))
    errors = [(np.sort(v)[n - depth] - np.sort(v)[depth - 1]) / width for v in (x, y)]
    rho = np.mean(np.sign(x - np.median(x)) * np.sign(y - np.median(y)))
    error = np.sqrt(max(errors[0] ** 2 + errors[1] ** 2 - 2 * rho * errors[0] * errors[1], 0))
    wald = sps.t.sf((np.median(x) - np.median(y)) / error, n - 1) if error else 0.0
    middle = (np.median(x) + np.median(y)) / 2
    turned = np.sign(x - middle) - np.sign(y - middle)
    hits, of = int((turned > 0).sum()), int((turned != 0).sum())
    sign = sps.binomtest(hits, of, 0.5, alternative="greater").pvalue if of else 1.0
    return max(wald, sign)


@pytest.mark.parametrize("n", [2, 5, 6, 10, 47, 48, 200])
def test_p_values_are_those_of_the_scalar_version(n: int) -> None:
    x, y = rng(n).standard_t(2, (30, n)) + 0.5, 2 * rng(n + 1).standard_t(2, (30, n))
    y[:10] += x[:10]
    above, below = median_tests(x, y, np.full(x.shape, 1e-12))
    np.testing.assert_allclose(above, [reference(a, b) for a, b in zip(x, y, strict=True)], rtol=1e-7)
    np.testing.assert_allclose(below, [reference(b, a) for a, b in zip(x, y, strict=True)], rtol=1e-7)


NULLS: dict[str, Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]] = {
    "independent": lambda r, s: (r.normal(size=s), r.normal(size=s)),
    "correlated": lambda r, s: ((z := 3 * r.normal(size=s)) + r.normal(size=s), z + r.normal(size=s)),
    "near copies": lambda r, s: ((z := r.normal(size=s)) + 0.05 * r.normal(size=s), z + 0.05 * r.normal(size=s)),
    "near copies, skewed": lambda r, s: (z := r.normal(size=s), z + 0.05 * (r.exponential(size=s) - LOG2)),
    "other scale": lambda r, s: (r.normal(size=s), 5 * r.normal(size=s)),
    "heavy tails": lambda r, s: (r.standard_t(1, s), r.standard_t(2, s)),
    "mirrored": lambda r, s: (r.exponential(size=s) - LOG2, LOG2 - r.exponential(size=s)),
    "skewed against symmetric": lambda r, s: (r.exponential(size=s) - LOG2, 0.1 * r.normal(size=s)),
    "rounded": lambda r, s: (np.round(2 * r.normal(size=s)), np.round(2 * r.normal(size=s))),
    "a gap at the median": lambda r, s: tuple(  # type: ignore[return-value]
        np.where(r.random(s) < 0.5, 0.0, 1 + np.abs(r.normal(size=s))) for _ in range(2)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 48, 200])
@pytest.mark.parametrize("name", NULLS)
def test_equal_medians_are_seldom_told_apart(name: str, n: int) -> None:
    x, y = NULLS[name](rng(n), (4000, n))
    share = float((p_of(x, y) < 0.05).mean())
    assert share <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / 4000)


def test_a_signed_rank_test_of_equal_medians_fails_where_this_holds() -> None:
    """Equal medians, but the median of the differences is not 0."""
    x, y = NULLS["mirrored"](rng(1), (1000, 48))
    wrong = sps.wilcoxon(x - y, axis=1, method="asymptotic").pvalue < 0.05
    assert wrong.mean() > 0.5
    assert (p_of(x, y) < 0.05).mean() < 0.05


def test_medians_that_differ_are_found() -> None:
    x, y = rng(3).normal(1, 1, (500, 48)), rng(4).normal(0, 1, (500, 48))
    above, below = median_tests(x, y, np.full(x.shape, 1e-12))
    assert (above < 0.025).mean() > 0.85
    assert (below == 1).mean() > 0.99


@pytest.mark.parametrize("n", range(1, 9))
def test_few_pairs_prove_no_more_than_their_sides(n: int) -> None:
    x = np.full((1, n), 5.0)
    above, below = median_tests(x, x - 1, np.full(x.shape, 1e-12))
    assert (above[0], below[0]) == (pytest.approx(0.5**n), 1)
    assert (p_of(x, x - 1)[0] < 0.05) == (n >= 6)


def test_what_says_nothing() -> None:
    x = rng().normal(size=(1, 20))
    assert p_of(x, x) == 1
    assert np.isnan(p_of(x, np.full(x.shape, np.nan))).all()
    assert np.isnan(p_of(np.empty((2, 0)), np.empty((2, 0)))).all()


def test_a_row_depends_neither_on_the_others_nor_on_gaps() -> None:
    x, y = rng().normal(0.4, 1, (9, 31)), rng(1).normal(0, 1, (9, 31))
    x[2, 3:9], y[3, 20:] = np.nan, np.nan
    together = p_of(x, y)
    for i in range(9):
        both = np.isfinite(x[i]) & np.isfinite(y[i])
        assert p_of(x[i : i + 1, both], y[i : i + 1, both])[0] == together[i]


def test_log_scale_and_mirror() -> None:
    x, y = rng().normal(0.3, 1, (20, 30)), rng(1).normal(0, 1, (20, 30))
    np.testing.assert_allclose(p_of(x, y), p_of(-y, -x))
    np.testing.assert_allclose(p_of(x, y), p_of(3 * x - 7, 3 * y - 7))
