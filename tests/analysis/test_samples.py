"""Stacking cells: draws averaged, samples matched by name, undefined scores kept apart."""

from __future__ import annotations

import numpy as np
import pytest

from xaibench.analysis.leaderboard.score_matrix import stack_cells, unique_names

NAN = np.nan


def build(cells: list[tuple[int, int, int, list[float]]], *, n: int = 2, log10: bool = False, names=None):
    """Cells as (problem seed, explainer, repeat, scores)."""
    shared = [tuple(range(len(c[3]))) for c in cells] if names is None else names
    shared = [next(s for s in shared if s == t) for t in shared]
    columns = [np.array([c[i] for c in cells]) for i in range(3)]
    return stack_cells([c[3] for c in cells], shared, columns[1], columns[0], columns[2], n, log10=log10)


def test_draws_are_averaged_where_they_are_defined() -> None:
    s = build([(0, 0, 0, [1, NAN, NAN]), (0, 0, 1, [3, 4, NAN]), (0, 1, 0, [5, 6, 7])])
    np.testing.assert_array_equal(s.scores, [[2, 4, NAN], [5, 6, 7]])
    np.testing.assert_array_equal(s.first, [[1, NAN, NAN], [5, 6, 7]])
    np.testing.assert_array_equal(s.partly, [[False, True, False], [False] * 3])
    assert s.draws.tolist() == [[2], [1]]
    assert s.scored.all()


def test_first_repeat_averages_over_seeds() -> None:
    s = build([(0, 0, 2, [1.0]), (0, 0, 2, [2.0]), (0, 0, 7, [90.0])], n=1)
    assert s.first.tolist() == [[1.5]]


def test_samples_are_matched_by_name() -> None:
    s = build([(0, 0, 0, [1, 2]), (0, 1, 0, [30, 20])], names=[("a", "b"), ("c", "b")])
    np.testing.assert_array_equal(s.scores, [[1, 2, NAN], [NAN, 20, 30]])
    np.testing.assert_array_equal(s.scored, [[True, True, False], [False, True, True]])


def test_heavy_tails_aggregate_as_median_of_log10_with_a_floor() -> None:
    s = build([(0, 0, 0, [1, 100, 0, -3, 1000]), (0, 1, 0, [1e9, NAN, NAN, 10, 10])], log10=True)
    value, _, _ = s.aggregate()
    assert value.tolist() == [0, 1]
    assert s.scores[0].tolist() == [0, 2, -12, -12, 3]


def test_draws_of_heavy_tailed_scores_are_averaged_in_log10() -> None:
    s = build([(0, 0, 0, [1.0]), (0, 0, 1, [1e4])], n=1, log10=True)
    assert s.scores[0, 0] == 2


def test_infinity_is_undefined() -> None:
    assert np.isnan(build([(0, 0, 0, [np.inf, -np.inf])], n=1).scores).all()


def test_problem_seeds_are_clusters() -> None:
    s = build([(0, 0, 0, [0, 2]), (1, 0, 0, [5, 5, 5, 5]), (3, 0, 0, [2.0])], n=1)
    assert s.per_seed(s.scores).tolist() == [[1, 5, 2]]
    value, low, high = s.aggregate()
    assert value[0] == pytest.approx(8 / 3)  # of seeds, not of samples
    assert low[0] < value[0] < high[0]


def test_nothing_scored() -> None:
    s = build([], n=3)
    assert s.scores.shape == (3, 0)
    assert np.isnan(s.aggregate()).all()


def test_unique_names() -> None:
    assert unique_names(["a", "b"], 2) == ("a", "b")
    assert unique_names(["a", "b", "a"], 3) == (("a", 1), ("b", 1), ("a", 2))
    assert unique_names([], 2) == unique_names(None, 2) == (0, 1)
    with pytest.raises(ValueError, match="2 scores and 1 sample"):
        unique_names(["a"], 2)
