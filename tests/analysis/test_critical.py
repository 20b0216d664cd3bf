"""Friedman and the critical difference: published tables, simulation, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats as sps
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.critical_differences import critical_differences, tied_sets
from xaibench.analysis.statistics.friedman import critical_difference, nemenyi
from xaibench.core.errors import NothingToDoError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (7, 2.949), (10, 3.164)])
def test_nemenyi_is_demsars_table(k: int, q: float) -> None:
    """Demsar 2006, table 5 a."""
    assert nemenyi(k, 14) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 14)), abs=1e-3)


@pytest.mark.parametrize("digits", [6, 0])
def test_friedman_is_scipys_in_iman_and_davenports_form(digits: int) -> None:
    costs = np.round(rng().normal(size=(14, 4)) + np.array([0, 0, 0.5, 1]), digits)
    chi, _ = sps.friedmanchisquare(*costs.T)
    found = critical_difference(costs)
    assert found.p == pytest.approx(sps.f.sf(13 * chi / (14 * 3 - chi), 3, 39))
    np.testing.assert_allclose(found.mean_rank, sps.rankdata(costs, axis=1).mean(axis=0))


def test_letters_follow_the_critical_difference() -> None:
    found = critical_difference(rng(2).normal(size=(20, 6)) + np.arange(6) * 0.7)
    assert found.p < 0.05
    for i in range(6):
        for j in range(i):
            near = abs(found.mean_rank[i] - found.mean_rank[j]) <= found.difference
            assert bool(set(found.groups[i]) & set(found.groups[j])) == near


def test_false_alarms_under_no_difference() -> None:
    r = rng(1)
    found = [critical_difference(r.exponential(size=(12, 5))) for _ in range(1500)]
    assert np.mean([f.p < 0.05 for f in found]) == pytest.approx(0.05, abs=0.017)
    assert np.mean([len(set(f.groups)) > 1 for f in found]) < 0.05


def test_the_test_is_refused_below_ten_problems_and_three_explainers() -> None:
    with pytest.raises(NothingToDoError, match="9 data sets: it takes 10 independent"):
        critical_difference(rng().normal(size=(9, 5)))
    with pytest.raises(NothingToDoError, match="among 2 explainers"):
        critical_difference(rng().normal(size=(10, 2)))


def test_problems_without_any_difference_have_none() -> None:
    found = critical_difference(np.ones((10, 4)))
    assert found.p == 1
    assert found.groups == ["a"] * 4


def test_total_agreement_of_all_problems() -> None:
    found = critical_difference(np.tile(np.arange(4.0), (10, 1)))
    assert found.p == 0
    assert found.mean_rank.tolist() == [1, 2, 3, 4]
    assert not set(found.groups[0]) & set(found.groups[3])


def results(values: dict[str, float | str], **options: Any) -> pd.DataFrame:
    level = np.linspace(-0.1, 0.1, 8) ** 3
    return make_results({k: v if isinstance(v, str) else v + level for k, v in values.items()}, **options)


def board_of(n: int, models: int = 1, metrics: int = 1, seeds: int = 1, **last: Any) -> pd.DataFrame:
    r = rng(n)
    frames = [
        results(
            {"a": 3 + r.random(), "b": 2 + r.random(), "c": r.random(), "random": 0} | (last if i == n - 1 else {}),
            dataset=f"d{i}", model=f"m{j}", metric=f"metric{k}", problem_seed=s,
        )
        for i in range(n) for j in range(models) for k in range(metrics) for s in range(seeds)
    ]  # fmt: skip
    return leaderboard(concat(*frames), suite="s")


def test_frames_of_metrics_and_of_a_family() -> None:
    table = critical_differences(board_of(10, metrics=2))
    assert sorted(table["metric"].unique()) == ["", "metric0", "metric1"]
    assert (table["n_datasets"] == 10).all()
    assert table["reason"].isna().all()
    best = table[table["explainer"] == "a"]
    assert (best["mean_rank"] == 1).all()
    assert (best["tie_group"] == "a").all()
    assert (table[table["explainer"] == "c"]["tie_group"] == "b").all()
    assert not table["explainer"].eq("random").any()


def test_models_seeds_and_metrics_are_no_independent_problems() -> None:
    table = critical_differences(board_of(5, models=2, metrics=2, seeds=2))
    assert (table["n_datasets"] == 5).all()
    assert table["reason"].str.contains("over 5 data sets").all()
    assert table["critical_difference"].isna().all()
    assert table["tie_group"].isna().all()


def test_explainers_that_are_not_ranked_everywhere_are_left_out() -> None:
    table = critical_differences(board_of(10, metrics=2, d=9.0))
    assert not table["explainer"].eq("d").any()
    table = critical_differences(board_of(10, c="failed"))
    assert table["explainer"].unique().tolist() == ["a", "b"]
    assert table["reason"].str.contains("among 2 explainers").all()


def test_an_empty_board_has_no_critical_difference() -> None:
    assert critical_differences(board_of(10).iloc[:0]).empty


def test_tied_sets_are_groups_of_two_and_more_by_letter() -> None:
    rows = pd.DataFrame({"tie_group": ["a", "ab", "b", "c", "b"]})
    assert tied_sets(rows) == [[0, 1], [1, 2, 4]]
    assert tied_sets(rows.iloc[[0, 2, 3]]) == []
