"""The numbers of the audit against published tables, other libraries, closed forms and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from xaibench.analysis.audit.convergence import coupling, distance_to_largest
from xaibench.analysis.audit.dependence import (
    confidence_dependence,
    masker_dependence,
    mean_over_seeds,
    resampled_agreement,
)
from xaibench.analysis.audit.reliability import icc, jackknife, mean_squares, reliability, repeatability
from xaibench.analysis.audit.separation import auroc, trend
from xaibench.analysis.statistics.kendall import kendall
from xaibench.analysis.statistics.resampling import Resampled

RNG = np.random.default_rng
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]])
"""Shrout & Fleiss (1979), table 2: six targets, four judges."""


def test_icc_of_shrout_and_fleiss():
    """Their table 3 has these mean squares, their table 4 ICC(2,1) = .29."""
    assert mean_squares(SHROUT_FLEISS) == pytest.approx((11.24, 32.49, 1.02), abs=5e-3)
    assert icc(SHROUT_FLEISS) == pytest.approx(0.29, abs=5e-3)


def test_icc_of_known_variances():
    rng = RNG(0)
    n, k = 4000, 3
    table = 2 * rng.standard_normal((n, 1)) + rng.standard_normal((n, k))
    assert icc(table) == pytest.approx(0.8, abs=0.02)
    assert repeatability(table) == pytest.approx(1.96 * np.sqrt(2), rel=0.03)
    # A rater who is always higher costs agreement, unlike in ICC(3,1).
    assert icc(table + np.array([0.0, 5.0, 10.0])) < 0.3


def test_icc_of_scores_that_do_not_vary_is_no_number():
    assert np.isnan(icc(np.full((5, 3), 0.7)))
    found, coefficient = reliability(np.full((2, 3, 10), 0.7))
    assert np.isnan(found.value)
    assert coefficient.value == pytest.approx(0, abs=1e-12)
    assert all(np.isnan(e.value) for e in reliability(RNG(0).random((2, 1, 10)))), "one seed"


def test_reliability_of_a_deterministic_metric_is_one():
    scores = np.repeat(RNG(0).random((4, 1, 12)), 3, axis=1)
    found, coefficient = reliability(scores)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert coefficient.value == pytest.approx(0, abs=1e-12)


def test_reliability_leaves_out_what_is_undefined():
    scores = RNG(0).random((3, 2, 10))
    gap = scores.copy()
    gap[1, 0, 3] = np.nan
    kept = scores.transpose(0, 2, 1).reshape(-1, 2)
    assert reliability(gap)[0].value == pytest.approx(icc(np.delete(kept, 13, axis=0)))


@pytest.mark.slow
def test_jackknife_covers():
    """ICC .8, 40 samples under 3 explainers that share the sample's part: the interval covers about 95 %."""
    rng, hits = RNG(1), 0
    for _ in range(200):
        sample = np.sqrt(2) * rng.standard_normal((1, 1, 40))
        explainer = np.sqrt(2) * rng.standard_normal((3, 1, 40))
        found, _ = reliability(sample + explainer + rng.standard_normal((3, 3, 40)))
        hits += found.low <= 0.8 <= found.high
    assert 0.9 <= hits / 200 <= 0.99


def test_jackknife_of_a_mean_is_students_interval():
    values = RNG(2).random(15)
    found = jackknife(lambda x: float(x.mean()), values)
    low, high = stats.t.interval(0.95, 14, values.mean(), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_jackknife_of_many_samples_goes_by_groups():
    values = RNG(2).random(5000)
    found = jackknife(lambda x: float(x.mean()), values)
    low, high = stats.t.interval(0.95, 4999, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)
    assert found.n == 5000


def test_auroc_is_that_of_scikit_learn():
    """Of every good score among the bad ones of other samples."""
    rng = RNG(3)
    good, bad = rng.integers(6, size=(2, 3, 20)) + np.array([[[2]], [[0]]])
    wanted = [
        roc_auc_score([1] + [0] * 19, [g[i], *np.delete(b, i)])
        for g, b in zip(good, bad, strict=True)
        for i in range(20)
    ]
    found = auroc(good.astype(float), bad.astype(float))
    assert found.value == pytest.approx(np.mean(wanted))
    assert found.low < found.value < found.high


def test_auroc_covers_where_good_and_bad_are_of_the_same_samples():
    """Normal scores, correlated by sample: the true area is Phi(shift / sqrt 2)."""
    rng, shift, hits = RNG(4), 1.0, 0
    area = stats.norm.cdf(shift / np.sqrt(2))
    for _ in range(400):
        both = 0.8 * rng.standard_normal((1, 40)) + 0.6 * rng.standard_normal((2, 40))
        found = auroc(both[:1] + shift, both[1:])
        hits += found.low <= area <= found.high
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize(("shift", "noise"), [(0.0, 0.0), (0.0, 0.01), (0.01, 0.0005), (0.5, 0.01)])
def test_auroc_covers_where_samples_are_all_that_differs(shift: float, noise: float) -> None:
    """Good and bad scores of one sample are almost the same: between samples the area is Phi(shift / sqrt 2)."""
    rng, area, hits = RNG(5), stats.norm.cdf(shift / np.sqrt(2 + noise**2)), 0
    for _ in range(200):
        bad = rng.standard_normal((1, 48))
        found = auroc(bad + 1e-9 + shift + noise * rng.standard_normal((1, 48)), bad)
        hits += found.low <= area <= found.high
    assert hits / 200 >= 0.9


def test_an_area_without_spread_has_an_interval():
    copy = auroc(np.arange(48.0)[None] + 1e-9, np.arange(48.0)[None])
    assert (copy.value, copy.high - copy.low) == (0.5, pytest.approx(2 * (1 - 0.025 ** (1 / 48))))
    good = np.array([[1.0], [1.0], [-1.0]]) * np.ones(20)
    found = auroc(good, np.zeros((3, 20)))
    assert found.value == pytest.approx(2 / 3)
    assert found.low < 2 / 3 < found.high


def test_auroc_at_the_end_of_its_scale():
    perfect = auroc(np.arange(20.0)[None] + 100, np.arange(20.0)[None])
    assert perfect.value == perfect.high == 1
    assert perfect.low == pytest.approx(stats.beta.ppf(0.025, 20, 1)), "Clopper-Pearson for 20 of 20"
    flipped = auroc(np.arange(20.0)[None], np.arange(20.0)[None] + 100)
    assert (flipped.value, flipped.low) == (0, 0)
    assert flipped.high == pytest.approx(1 - perfect.low)
    equal = auroc(np.ones((1, 20)), np.ones((1, 20)))
    assert equal.value == 0.5
    assert equal.low < 0.5 < equal.high
    assert np.isnan(auroc(np.ones((1, 5)), np.zeros((1, 5))).value), "five samples say nothing"


@pytest.mark.parametrize("levels", [3, 6])
def test_trend_is_pages_test(levels):
    rng = RNG(5)
    scores = rng.standard_normal((levels, 25)) - 0.3 * np.arange(levels)[:, None]
    found = trend(scores)
    page = stats.page_trend_test(scores.T[:, ::-1], method="asymptotic")
    assert found.p == pytest.approx(page.pvalue)
    each = [stats.spearmanr(-np.arange(levels), column).statistic for column in scores.T]
    assert found.rho.value == pytest.approx(np.mean(each))
    assert (found.rho.low, found.rho.high) == pytest.approx(stats.t.interval(0.95, 24, np.mean(each), stats.sem(each)))


def test_trend_of_ties_gaps_and_ends():
    flat = trend(np.ones((4, 20)))
    assert (flat.rho.value, flat.p) == (0, 1)
    falling = trend(np.arange(4.0)[::-1, None] + np.zeros(20))
    assert falling.rho.value == falling.rho.high == 1
    assert 0.5 < falling.rho.low < 1, "20 samples without an exception are no certainty"
    rising = trend(np.arange(4.0)[:, None] + np.zeros(20))
    assert rising.rho.value == rising.rho.low == -1
    assert rising.p > 0.99
    gap = np.arange(4.0)[::-1, None] + np.zeros(20)
    gap[0, :15] = np.nan
    assert np.isnan(trend(gap).rho.value), "five samples are left"


def test_trend_without_one_is_rarely_significant():
    rng = RNG(6)
    p = np.array([trend(rng.standard_normal((5, 12))).p for _ in range(1000)])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("ties", [False, True])
def test_kendall_is_that_of_scipy(ties):
    rng = RNG(7)
    draw = (lambda shape: rng.integers(4, size=shape).astype(float)) if ties else rng.standard_normal
    a, b = draw((3, 9)), draw((2, 9))
    b[1, 4] = np.nan
    for i, j in np.ndindex(3, 2):
        known = np.isfinite(b[j])
        assert kendall(a, b, min_common=3)[i, j] == pytest.approx(stats.kendalltau(a[i][known], b[j][known]).statistic)
    assert np.isnan(kendall(np.ones((1, 9)), a, min_common=3)).all(), "a row of ties has no order"
    assert np.isnan(kendall(a[:, :2], b[:, :2], min_common=3)).all()


def test_kendall_takes_no_order_from_rounding():
    exact = np.array([[1.0, 1.0, 2.0, 3.0]])
    assert kendall(exact + 1e-9 * np.array([0, 1, 0, 0]), exact, min_common=3).item() == 1


def test_metric_agreement_finds_copies_and_opposites():
    merits = RNG(8).random((1, 6, 30)) + np.arange(6)[:, None]
    found = resampled_agreement(np.concatenate([merits, 2 * merits + 1, -merits]), seed=0)
    assert np.array_equal(found.tau, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
    mean = found.mean_with(0, [1, 2])
    assert mean.value == 0
    assert found.n_explainers(0, 1) == 6


def test_resampled_intervals_of_means_are_about_students():
    scores = RNG(9).standard_normal((1, 1, 200))
    low, high = Resampled.of(scores, 0).ends(Resampled.of(scores, 0).resampled)
    assert (low.item(), high.item()) == pytest.approx(
        stats.t.interval(0.95, 199, scores.mean(), stats.sem(scores.ravel())), abs=0.03
    )


def test_maskers_that_only_shift_change_no_rank():
    explainers = np.arange(5.0)[:, None] + 0.01 * RNG(10).random((5, 20))
    found = masker_dependence(np.stack([explainers, explainers + 10]), seed=0)
    assert [e.value for e in found.tau] == [1, 1]
    assert found.interaction.value == pytest.approx(0, abs=1e-12)
    # Ten values 5 from their mean by masker, besides the explainers' own spread in both rows.
    between, total = 5 * 2 * 5.0**2, 5 * 2 * 5.0**2 + 2 * 5 * np.var(explainers.mean(axis=1))
    assert found.main.value == pytest.approx(between / total)


def test_maskers_that_turn_the_order_round():
    explainers = np.arange(5.0)[:, None] + np.zeros(20)
    found = masker_dependence(np.stack([explainers, -explainers, explainers]), seed=0)
    assert [e.value for e in found.tau] == [0, -1, 0]
    # What rows and columns leave: (j - 2) times the signs 1, -1, 1 about their mean, 10 * (4 + 16 + 4) / 9 in all.
    table = np.stack([np.arange(5.0), -np.arange(5.0), np.arange(5.0)])
    total = ((table - table.mean()) ** 2).sum()
    assert found.main.value == pytest.approx(5 * ((np.array([2, -2, 2]) - 2 / 3) ** 2).sum() / total)
    assert found.interaction.value == pytest.approx((80 / 3) / total)


def test_confidence_is_found_out():
    rng = RNG(11)
    confidence = rng.random(30)
    follows = confidence_dependence(np.stack([confidence**2, np.exp(confidence)]), confidence)
    assert (follows.value, follows.low) == pytest.approx((1, 1))
    apart = confidence_dependence(rng.random((4, 30)), confidence)
    assert apart.low < 0 < apart.high
    assert np.isnan(confidence_dependence(np.ones((2, 30)), confidence).value)


def test_distance_falls_with_the_root_of_the_budget():
    """Noise of variance 1 / budget around scores of variance 1: the distance is about budget^-1/2."""
    rng = RNG(12)
    truth = rng.standard_normal((6, 1, 200))

    def measured(budget: int) -> np.ndarray:
        return truth + rng.standard_normal((6, 3, 200)) / np.sqrt(budget)

    largest = measured(10_000)
    for budget in (4, 16, 64):
        assert distance_to_largest(measured(budget), largest).value == pytest.approx(budget**-0.5, rel=0.05)
    assert distance_to_largest(largest, largest).value < 0.02


def test_coupling_is_about_scores_of_the_same_maps():
    rng = RNG(13)
    many = rng.random((4, 2, 10))
    alike = np.ones((4, 2), dtype=bool)
    assert coupling(many, many, alike).share.value == 0
    assert coupling(many * (1 + 5e-5), many, alike).share.value == 0, "rounding"
    scaled = coupling(many / 1.2, many, alike)
    assert (scaled.share.value, scaled.share.n, scaled.n_maps) == (1, 10, 8)
    one = many.copy()
    one[0] += 1
    assert coupling(one, many, alike).share.value == pytest.approx(0.25)
    alike[0] = False
    assert coupling(one, many, alike).share.value == 0, "that explainer's own maps changed"
    gone = many.copy()
    gone[1, 0, :5] = np.nan
    assert coupling(gone, many, alike).share.value == pytest.approx(5 / 60), "undefined in one of them is a change"
    assert np.isnan(coupling(many, many, np.zeros((4, 2), dtype=bool)).share.value)


def test_coupling_of_tiny_scores_is_seen():
    many = 1e-9 * RNG(14).random((2, 1, 10))
    assert coupling(1.1 * many, many, np.ones((2, 1), dtype=bool)).share.value == 1


def test_mean_over_seeds_ignores_gaps():
    merit = np.array([[[1.0, np.nan], [3.0, np.nan]]])
    assert np.array_equal(mean_over_seeds(merit), [[2.0, np.nan]], equal_nan=True)
