"""Discoveries by hand: Benjamini and Hochberg, knockoff+, top lists; faults that must show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_inputs, make_view, mlp
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth
from xaibench.metrics.ground_truth.false_discoveries import symmetric_threshold

FDP, POWER = "false_discovery_proportion", "discovery_power"


def scored(name: str, values: list[list[float]], true: list[list[int]], **params: object) -> float:
    maps, mask = torch.tensor(values), torch.tensor(true, dtype=torch.bool)
    view = make_view(mlp((maps.shape[1],)), make_inputs((maps.shape[1],), len(maps)))
    ev = make_evaluation(view, maps, kind="contribution", truth=Truth("data", mask))
    spec = get("metric", name)
    found: Tensor = score(spec, spec.bind(params), ev).values  # type: ignore[arg-type]
    assert found.shape == (1,)
    return float(found)


P = [[0.001, 0.04, 0.5, 0.011], [0.9, 0.008, 0.03, 0.3]]
TRUE = [[1, 0, 0, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("q", "rejected", "false"),
    # Sorted p: .001 .008 .011 .03 .04 .3 .5 .9; borders k q / 8. At q = .05: .00625 .0125 .01875 .025 .031, so
    # three; at .08: .01 .02 .03 .04 .05 .06, so five, the fifth being false; at .005: .000625, so none.
    [(0.05, 3, 0), (0.08, 5, 1), (0.005, 0, 0)],
)
def test_benjamini_and_hochberg_by_hand(q: float, rejected: int, false: int) -> None:
    evidence = [[1 - p for p in row] for row in P]
    params = {"q": q, "select": "benjamini_hochberg"}
    assert scored(FDP, evidence, TRUE, **params) == pytest.approx(false / max(1, rejected))
    assert scored(POWER, evidence, TRUE, **params) == pytest.approx((rejected - false) / 5)


def test_a_map_of_something_else_has_no_p_values() -> None:
    for values in ([[0.5, 1.1]], [[-0.1, 0.5]]):
        for name in (FDP, POWER):
            assert np.isnan(scored(name, values, [[1, 0]], select="benjamini_hochberg"))


def test_the_symmetric_threshold_by_hand() -> None:
    t = np.array([5.0, 4, 3, 2, 1, -1.5, -0.5, 0])
    # (1 + #{<= -t}) / #{>= t}: t = .5: 3/5; 1: 2/5; 1.5: 2/4; 2: 1/4; 3: 1/3; 4: 1/2; 5: 1.
    assert symmetric_threshold(t, 0.6) == 0.5
    assert symmetric_threshold(t, 0.4) == 1
    assert symmetric_threshold(t, 0.39) == 2
    assert symmetric_threshold(t, 0.25) == 2
    assert symmetric_threshold(t, 0.24) == np.inf
    assert symmetric_threshold(np.zeros(9), 0.9) == np.inf
    assert symmetric_threshold(-np.ones(9), 0.9) == np.inf


def test_discoveries_by_the_symmetric_threshold() -> None:
    values, true = [[5.0, 4, 3, 2], [1, -1.5, -0.5, 0]], [[1, 1, 0, 1], [1, 1, 0, 0]]
    assert scored(FDP, values, true, q=0.25) == pytest.approx(1 / 4)
    assert scored(POWER, values, true, q=0.25) == pytest.approx(3 / 5)
    assert scored(FDP, values, true, q=0.2) == 0
    assert scored(POWER, values, true, q=0.2) == 0


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=30), st.floats(0.05, 0.9))
def test_the_symmetric_threshold_is_the_smallest_that_holds(values: list[int], q: float) -> None:
    t = np.array(values, dtype=float)
    good = [c for c in range(1, 7) if c in np.abs(t) and (1 + (t <= -c).sum()) / max(1, (t >= c).sum()) <= q]
    assert symmetric_threshold(t, q) == min(good, default=np.inf)


def test_a_top_list_is_as_long_as_there_are_true_ones() -> None:
    values, true = [[9.0, -8, 7], [6, 5, 4]], [[1, 0, 1], [0, 1, 0]]
    assert scored(FDP, values, true, select="top") == pytest.approx(1 / 3)
    assert scored(POWER, values, true, select="top") == pytest.approx(2 / 3)


def test_equal_magnitudes_at_the_border_count_in_proportion() -> None:
    # Three are true: 9 is in, and 2 of the four 5s, of which one is true.
    values, true = [[9.0, 5, -5], [5, 5, 1]], [[1, 1, 0], [0, 0, 1]]
    assert scored(FDP, values, true, select="top") == pytest.approx((2 * 3 / 4) / 3)
    assert scored(FDP, [[1.0] * 4], [[1, 0, 0, 0]], select="top") == pytest.approx(3 / 4)


def test_power_at_a_matched_rate_by_hand() -> None:
    values, true = [[9.0, 8, -7, 6], [5, 4, 3, 2]], [[1, 1, 0, 1], [1, 0, 0, 1]]
    # False shares of top lists: 0 0 1/3 1/4 1/5 2/6 3/7 3/8.
    for q, hits in ((0.1, 2), (0.2, 4), (0.25, 4), (0.3749, 4), (0.376, 5)):
        assert scored("power_at_fdr", values, true, q=q) == pytest.approx(hits / 5), q
    assert scored("power_at_fdr", values, true, q=0.1, sign="signed") == pytest.approx(4 / 5)
    assert scored("power_at_fdr", values, true, q=0.29, sign="signed") == 1


def test_equal_numbers_go_into_a_list_together() -> None:
    assert scored("power_at_fdr", [[3.0, 3, 1]], [[1, 0, 1]], q=0.4) == 1
    assert scored("power_at_fdr", [[3.0, 3, 1]], [[1, 0, 1]], q=0.3) == 0
    assert scored("power_at_fdr", [[1.0, 1, 1]], [[1, 0, 0]], q=0.5) == 0


def test_the_oracle_has_all_power_and_no_false_discoveries() -> None:
    true = (np.random.default_rng(0).random((10, 8)) < 0.4).astype(int).tolist()
    values = [[float(t) for t in row] for row in true]
    for select in ("benjamini_hochberg", "symmetric", "top"):
        assert scored(FDP, values, true, select=select) == 0
        assert scored(POWER, values, true, select=select) == 1
    assert scored("power_at_fdr", values, true) == 1


def test_a_map_that_reports_everything_is_found_out() -> None:
    true = [[1, 0, 0, 0, 0]] * 6
    ones = [[1.0] * 5] * 6
    for select in ("benjamini_hochberg", "symmetric"):
        assert scored(POWER, ones, true, select=select) == 1
        assert scored(FDP, ones, true, select=select) == pytest.approx(0.8)
    assert scored("power_at_fdr", ones, true, q=0.2) == 0


def test_planted_p_values_that_are_too_small_break_the_rate() -> None:
    """Half of the null p-values made smaller: the rate doubles and more, as it must not under the null."""
    rng = np.random.default_rng(2)
    true = np.arange(2000).reshape(20, 100) % 10 == 0
    p = np.where(true, 1e-4, rng.random((20, 100)))
    cheated = np.where(~true & (rng.random(p.shape) < 0.5), p**4, p)
    honest, broken = (
        scored(FDP, (1 - x).tolist(), true.astype(int).tolist(), q=0.1, select="benjamini_hochberg")
        for x in (p, cheated)
    )
    assert honest < 0.13 < 0.3 < broken


def test_without_truth_there_is_no_power() -> None:
    values, true = [[1.0, 2.0]], [[0, 0]]
    assert scored(FDP, values, true, q=0.5) == 1
    assert np.isnan(scored(POWER, values, true, q=0.5))
    assert np.isnan(scored(FDP, values, true, select="top"))
    assert np.isnan(scored("power_at_fdr", values, true))
