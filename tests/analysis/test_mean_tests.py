"""Tests of means: against a scalar version, the interval that they invert, closed forms, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as sps
from helpers.hall import hall_p
from hypothesis import given, settings
from hypothesis import strategies as st

from xaibench.analysis.statistics.intervals import mean_interval, t_interval
from xaibench.analysis.statistics.mean_tests import mean_tests, two_sided
from xaibench.analysis.statistics.rank_biserial import rank_biserial


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [2, 3, 7, 48, 300])
def test_p_values_are_those_of_the_scalar_version(n: int) -> None:
    d = np.concatenate(
        [rng(n).normal(0.1, 1, (20, n)), 1 - rng(n).exponential(1, (20, n)), rng(n).lognormal(0, 2, (9, n))]
    )
    above, below = mean_tests(d)
    np.testing.assert_allclose(above, [hall_p(row) for row in d], rtol=1e-7)
    np.testing.assert_allclose(below, [hall_p(-row) for row in d], rtol=1e-7)


def test_symmetric_values_have_students_test() -> None:
    half = rng().normal(0, 1, (8, 20))
    centre = rng(1).normal(0, 0.3, (8, 1))
    d = centre + np.concatenate([half, -half], axis=1)
    np.testing.assert_allclose(mean_tests(d)[0], sps.ttest_1samp(d, 0, axis=1, alternative="greater").pvalue, rtol=1e-7)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(8, 80), st.sampled_from(["normal", "exponential", "hits", "two", "t1"]))
def test_five_percent_is_where_both_the_interval_and_students_exclude_zero(seed: int, n: int, shape: str) -> None:
    r = rng(seed)
    d = {
        "normal": lambda: r.normal(0, 1, (40, n)), "exponential": lambda: r.exponential(1, (40, n)) - 1,
        "hits": lambda: (r.random((40, n)) < 0.2) - 0.2, "two": lambda: np.where(r.random((40, n)) < 0.8, 0.1, -0.4),
        "t1": lambda: r.standard_t(1, (40, n)),
    }[shape]() + r.normal(0, 0.1, (40, 1))  # fmt: skip
    low, _ = mean_interval(d)
    found = two_sided(*mean_tests(d)) < 0.05
    spread = np.isfinite(low)
    outside = [(low > 0) | (high < 0) for low, high in (mean_interval(d), t_interval(d))]
    np.testing.assert_array_equal(found[spread], (outside[0] & outside[1])[spread])


@pytest.mark.parametrize("n", range(1, 12))
def test_few_equal_differences_prove_no_more_than_their_signs(n: int) -> None:
    for values in (np.full(n, 0.1), 0.1 + 1e-9 * rng().normal(size=n), np.full(n, 1e-250), np.full(n, 1e200)):
        above, below = (float(p[0]) for p in mean_tests(values[None]))
        assert above == pytest.approx(0.5**n)
        assert below == pytest.approx(1, abs=1e-6)
        assert (two_sided(*mean_tests(values[None]))[0] < 0.05) == (n >= 6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0] * 9, (1.0, 1.0)), ([np.nan] * 4, (np.nan, np.nan)), ([np.nan, 2.0, np.nan], (0.5, 1.0)),
        ([-2.0], (1.0, 0.5)), ([0.0] * 47 + [1.0], (0.5, None)), ([0.0] * 45 + [1.0] * 3, (0.125, None)),
    ],
)  # fmt: skip
def test_what_says_little(values: list[float], expected: tuple[float, float | None]) -> None:
    for p, value in zip(mean_tests(np.array([values])), expected, strict=True):
        if value is not None:
            np.testing.assert_allclose(p[0], value)


def test_nothing_at_all() -> None:
    assert all(np.isnan(p).all() and p.shape == (3,) for p in mean_tests(np.empty((3, 0))))


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1.0, 1e9, 1e200])
def test_the_unit_of_scores_does_not_matter(scale: float) -> None:
    d = 1 - rng().exponential(1, (20, 30))
    np.testing.assert_allclose(mean_tests(scale * d), mean_tests(d), rtol=1e-9)


def test_a_row_does_not_depend_on_the_others_nor_on_gaps_nor_on_the_order() -> None:
    d = rng().lognormal(0.2, 1, (40, 30)) - 1.5
    d[1, :3], d[2, 4:20] = 0, np.nan
    together = np.array(mean_tests(d))
    alone = np.concatenate([np.array(mean_tests(row[None])) for row in d], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    without = np.array(mean_tests(d[2][np.isfinite(d[2])][None]))
    np.testing.assert_allclose(together[:, 2], without[:, 0], rtol=1e-12)
    np.testing.assert_allclose(np.array(mean_tests(d[:, ::-1])), together, rtol=1e-9)
    np.testing.assert_array_equal(np.array(mean_tests(d.copy())), together)


def test_the_mirror_image_is_the_other_tail() -> None:
    d = rng().exponential(1, (50, 12)) - 0.8
    above, below = mean_tests(d)
    np.testing.assert_allclose((below, above), mean_tests(-d), rtol=1e-9)
    assert (above + below >= 1 - 1e-12).all()


def test_effect_is_the_rank_biserial_correlation() -> None:
    d = np.array([[3.0, -1, 2, 0, np.nan], [1, 1, 1, 1, 1], [-1, -2, np.nan, 0, 0], [0, 0, 0, np.nan, np.nan]])
    np.testing.assert_allclose(rank_biserial(d), [(5 - 1) / 6, 1, -1, 0])
    assert np.isnan(rank_biserial(np.full((1, 3), np.nan))).all()
    assert np.isnan(rank_biserial(np.empty((1, 0)))).all()
    d = np.round(rng().normal(0.1, 1, (9, 40)), 1)
    for row, found in zip(d, rank_biserial(d), strict=True):
        ranks = sps.rankdata(np.abs(row[row != 0]))
        signs = np.sign(row[row != 0])
        assert found == pytest.approx((ranks * signs).sum() / ranks.sum())
