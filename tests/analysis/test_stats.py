"""Intervals and tests against SciPy, closed forms, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as sps
from hypothesis import given
from hypothesis import strategies as st

from xaibench.analysis.statistics import intervals


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_mean_and_median_leave_nan_out_and_agree_with_numpy() -> None:
    x = rng().normal(size=(7, 11))
    x[rng(1).random(x.shape) < 0.3] = np.nan
    np.testing.assert_allclose(intervals.nanmean(x), np.nanmean(x, axis=1))
    np.testing.assert_allclose(intervals.median(x), np.nanmedian(x, axis=1))
    assert np.isnan(intervals.nanmean(np.full((2, 3), np.nan))).all()
    assert np.isnan(intervals.median(np.full((2, 3), np.nan))).all()
    assert np.isnan(intervals.median(np.empty((2, 0)))).all()


def test_t_interval_is_scipys() -> None:
    x = rng().normal(size=(5, 9))
    low, high = intervals.t_interval(x, 0.9)
    expected = sps.ttest_1samp(x, 0, axis=1).confidence_interval(0.9)
    np.testing.assert_allclose([low, high], [expected.low, expected.high])


def test_t_interval_leaves_nan_out() -> None:
    x = rng().normal(size=9)
    with_gaps = np.insert(x, [2, 5, 9], np.nan)
    np.testing.assert_allclose(intervals.t_interval(with_gaps[None]), intervals.t_interval(x[None]))


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 1.0], [0.1] * 7, [np.nan, np.nan]])
def test_t_interval_is_nan_where_no_spread_was_seen(values: list[float]) -> None:
    assert np.isnan(intervals.t_interval(np.array([values], dtype=float))).all()


def test_t_interval_covers_the_mean_in_95_percent_of_normal_samples() -> None:
    for n in (3, 10, 40):
        low, high = intervals.t_interval(rng(n).normal(2, 3, size=(20_000, n)))
        assert ((low < 2) & (high > 2)).mean() == pytest.approx(0.95, abs=0.006)


@pytest.mark.parametrize("n", [3, 7, 40])
def test_mean_interval_solves_halls_equation(n: int) -> None:
    x = rng(n).gamma(4, size=n)
    low, high = intervals.mean_interval(x[None], 0.9)
    error, skew = x.std(ddof=1) / np.sqrt(n), sps.skew(x)

    def hall(mean: float) -> float:
        t = (x.mean() - mean) / error
        a, b = skew / 3 / np.sqrt(n), skew / 6 / np.sqrt(n)
        return float(t + a * t**2 + a**2 * t**3 / 3 + b)

    bound = sps.t.ppf(0.95, n - 1)
    np.testing.assert_allclose([hall(low[0]), hall(high[0])], [bound, -bound])
    assert low[0] < x.mean() < high[0]


def test_mean_interval_of_symmetric_values_is_students() -> None:
    x = np.array([[-3.0, -1, 0, 1, 3], [2, 4, np.nan, 6, np.nan], [1, 2, np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(intervals.mean_interval(x), intervals.t_interval(x), rtol=1e-12)


@pytest.mark.parametrize("values", [[0.0] * 8 + [1.0] * 2, [0.0, 0, 1], [1.0, 1, 1, 9], [0.0] * 19 + [1.0]])
def test_mean_interval_stays_near_students_for_few_or_discrete_values(values: list[float]) -> None:
    x = np.array(values)
    centre, half = x.mean(), np.ptp(intervals.t_interval(x)) / 2
    low, high = intervals.mean_interval(x)
    assert half / 2 <= centre - low < half
    assert high - centre == pytest.approx(2 * half)
    np.testing.assert_allclose(intervals.mean_interval(-x), [-high, -low])


@pytest.mark.parametrize("n", [5, 10, 30])
def test_mean_interval_covers_skewed_values_more_often_than_students(n: int) -> None:
    r = rng(n)
    for x, truth in ((r.exponential(size=(4000, n)), 1.0), (r.lognormal(size=(4000, n)), np.exp(0.5))):
        shares = [
            ((low <= truth) & (truth <= high)).mean()
            for low, high in (intervals.mean_interval(x), intervals.t_interval(x))
        ]
        assert shares[1] + 0.01 < shares[0] < 0.96


def test_mean_interval_moves_and_turns_with_the_values() -> None:
    x = rng().exponential(size=(4, 12))
    low, high = intervals.mean_interval(x)
    np.testing.assert_allclose(intervals.mean_interval(5 + 2 * x), [5 + 2 * low, 5 + 2 * high])
    np.testing.assert_allclose(intervals.mean_interval(-x), [-high, -low])
    with_gaps = np.insert(x, [2, 5], np.nan, axis=1)
    np.testing.assert_allclose(intervals.mean_interval(with_gaps), [low, high])


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 1.0], [0.1] * 7, [np.nan, np.nan]])
def test_mean_interval_is_nan_where_no_spread_was_seen(values: list[float]) -> None:
    assert np.isnan(intervals.mean_interval(np.array([values], dtype=float))).all()


def test_median_interval_lies_between_order_statistics() -> None:
    """Ten values: 2nd and 9th enclose the median in 97.85 %, 3rd and 8th in 89.06 %; interpolated by hand."""
    near = (1002 / 1024 - 0.95) / (1002 / 1024 - 912 / 1024)
    share = 8 * near / (2 + 6 * near)
    x = np.sort(rng().standard_cauchy(size=10))
    expected = [(1 - share) * x[1] + share * x[2], (1 - share) * x[8] + share * x[7]]
    np.testing.assert_allclose(np.ravel(intervals.median_interval(rng(1).permutation(x)[None])), expected)
    for n in (6, 7, 20, 63):
        x = rng(n).standard_cauchy(size=n)
        outer = sps.quantile_test(x, q=0, p=0.5).confidence_interval(0.95)
        low, high = intervals.median_interval(x[None])
        assert outer.low <= low[0] < np.median(x) < high[0] <= outer.high


def test_median_interval_needs_six_values() -> None:
    assert np.isnan(intervals.median_interval(np.arange(5.0)[None])).all()
    low, high = intervals.median_interval(np.array([[5.0, 1, 2, np.nan, 3, 4, 6]]))
    assert 1 < low[0] < 2
    assert low[0] + high[0] == pytest.approx(7)


@pytest.mark.parametrize("n", [7, 10, 25])
def test_median_interval_covers_95_percent_with_heavy_tails_and_skew(n: int) -> None:
    for x in (rng(4).standard_cauchy(size=(8000, n)), rng(4).lognormal(0, 2, size=(8000, n)) - 1):
        low, high = intervals.median_interval(x)
        assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.95, abs=0.012)


def test_last_digit_and_significant() -> None:
    values = np.array([0.3, -123456.7, 1.0, 0.99999951, 0.0, np.nan])
    np.testing.assert_allclose(intervals.last_digit(values), [1e-6, 1, 1e-5, 1e-6, 0, np.nan], rtol=1e-12)
    np.testing.assert_array_equal(intervals.significant(values), [0.3, -123457, 1, 1, 0, np.nan])
    small = intervals.significant(np.array([1e-305, -5e-324, 1.23456789e-280]))
    np.testing.assert_allclose(small, [0, 0, 1.23457e-280], rtol=1e-12)


def test_holm_on_a_worked_example() -> None:
    # Holm (1979): 4 x .005, 3 x .01, then the running maximum of 2 x .03 and 1 x .04.
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    np.testing.assert_allclose(intervals.holm(p), [0.03, 0.06, np.nan, 0.06, 0.02])
    assert intervals.holm(np.array([0.9, 0.8])).tolist() == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(raw: list[float]) -> None:
    p = np.array(raw)
    adjusted = intervals.holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(p * len(p), 1) + 1e-15).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_bootstrap_weights_are_resamples() -> None:
    w = intervals.bootstrap_weights(10, 4000, seed=3)
    assert (w.sum(axis=1) == 10).all()
    assert w.var() == pytest.approx(10 * 0.1 * 0.9, rel=0.02)  # multinomial
    np.testing.assert_array_equal(w, intervals.bootstrap_weights(10, 4000, seed=3))
    assert (w != intervals.bootstrap_weights(10, 4000, seed=4)).any()


def test_ratio_interval_of_a_constant_denominator_is_that_of_the_mean() -> None:
    above = rng().normal(size=(3, 5))
    ratio, low, high = intervals.ratio_interval(above, np.full((3, 5), 2.0))
    np.testing.assert_allclose(ratio, above.mean(axis=1) / 2)
    np.testing.assert_allclose([low, high], intervals.mean_interval(above / 2))


@pytest.mark.parametrize("n", [4, 30])
def test_ratio_interval_covers(n: int) -> None:
    r = rng(5)
    shift = r.normal(0, 0.3, size=(6000, n))
    below = 4 + shift + r.normal(0, 0.2, size=shift.shape)
    above = 2 + 0.5 * shift + r.normal(0, 0.2, size=shift.shape)
    _, low, high = intervals.ratio_interval(above, below)
    assert ((low < 0.5) & (high > 0.5)).mean() == pytest.approx(0.95, abs=0.01)


def test_benjamini_hochberg_leaves_nan_out() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, np.nan, 0.5])
    known = np.isfinite(p)
    adjusted = intervals.benjamini_hochberg(p)
    np.testing.assert_allclose(adjusted[known], [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert np.isnan(adjusted[~known]).all()
    assert np.isnan(intervals.benjamini_hochberg(np.full(2, np.nan))).all()
