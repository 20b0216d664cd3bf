"""The order of explainers, and what the tests against placebos say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import overall
from xaibench.analysis.ranks.standings import COMPARISON, rows_on, standings

LEVELS = {"a": 3.0, "b": 2.0, "c": 1.0}


def cells(levels: dict[str, Any], seed: int = 0, **options: Any) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    values = {k: v if isinstance(v, str) else v + r.normal(0, 0.3, 24) for k, v in levels.items()}
    return make_results(values | {"random": r.normal(0, 0.3, 24)}, **options)


def found(*frames: pd.DataFrame) -> Any:
    return standings(leaderboard(concat(*frames), suite="s"))


def test_order_is_that_of_the_overall_rank_and_not_that_of_tests_won() -> None:
    # b wins four tests of four, a three: it loses one to the placebo, and leads the other explainers in three.
    frames = [cells(LEVELS, i, metric=f"m{i}") for i in range(3)]
    frames.append(cells({"a": -1.0, "b": 2.0, "c": 1.0}, 9, metric="m3"))
    got = found(*frames).explainers
    ranked = got[~got["control"]]
    assert ranked["explainer"].to_list() == ["a", "b", "c"]
    assert ranked["place"].to_list() == [1, 2, 3]
    assert ranked["won"].to_list() == [3, 4, 4]
    assert ranked["lost"].to_list() == [1, 0, 0]
    # Places 1, 1, 1, 3 of three are relative ranks 0, 0, 0, 1.
    assert ranked["relative_rank"].to_list() == pytest.approx([0.25, 0.375, 0.875])
    assert got["explainer"].to_list()[-1] == "random"
    assert np.isnan(got["place"].iloc[-1])


def test_places_are_those_of_one_comparison_of_overall() -> None:
    other = {"a": 2.0, "b": 3.0, "c": 1.0}
    frames = (cells(other if i == 3 else LEVELS, i, dataset=f"d{i}", metric="m") for i in range(4))
    board = leaderboard(concat(*frames), suite="s")
    got = standings(board)
    assert got.ground is not None
    frame = overall(board, missing="drop")
    rows = rows_on(frame, got.ground)
    assert frame.groupby(COMPARISON).ngroups == 1
    ranked = got.explainers[got.explainers["place"].notna()]
    assert ranked["explainer"].to_list() == rows["explainer"].to_list()
    assert ranked["relative_rank"].to_list() == rows["relative_rank"].to_list()
    np.testing.assert_array_equal(ranked["ci_low"], rows["ci_low"])
    assert ranked["ci_low"].notna().any()
    assert (got.ground.n_problems, got.ground.n_datasets, got.ground.n_explainers) == (4, 4, 3)


def test_who_supports_less_comes_after_without_a_place() -> None:
    frames = [cells({**LEVELS, "narrow": 9.0 if i == 0 else "unsupported"}, i, dataset=f"d{i}") for i in range(4)]
    got = found(*frames)
    ranked = got.explainers[~got.explainers["control"]]
    assert ranked["explainer"].to_list() == ["a", "b", "c", "narrow"]
    assert np.isnan(ranked["place"].iloc[-1])
    assert ranked["n_problems"].to_list() == [4, 4, 4, 1]
    assert got.ground.n_explainers == 3
    assert got.ground.n_problems == 4


def test_ties_share_the_better_place() -> None:
    frame = cells(LEVELS)
    scores = frame.loc[frame["explainer"] == "b", "scores"].iloc[0]
    twin = frame[frame["explainer"] == "c"].assign(scores=[scores])
    got = found(frame[frame["explainer"] != "c"], twin).explainers
    assert got[~got["control"]].set_index("explainer")["place"].to_dict() == {"a": 1, "b": 2, "c": 2}


def test_ground_truth_leads_where_every_problem_has_one_and_only_there() -> None:
    truth = {"metric": "relevance_rank", "family": "ground_truth", "truth_kind": "model"}
    reverse = {"a": 1.0, "b": 2.0, "c": 3.0}
    faithful = [cells(LEVELS, i, dataset=d, metric=f"m{k}") for d in "xy" for i, k in ((0, 0), (1, 1))]
    both = found(*faithful, *(cells(reverse, 5, dataset=d, **truth) for d in "xy"))
    assert both.ground.family == "ground_truth"
    assert both.explainers["explainer"].to_list()[:3] == ["c", "b", "a"]
    one = found(*faithful, cells(reverse, 5, dataset="x", **truth))
    assert one.ground.family == "faithfulness"
    assert one.explainers["explainer"].to_list()[:3] == ["a", "b", "c"]


def test_without_a_pair_of_explainers_tests_won_make_the_order() -> None:
    got = found(cells({"alone": 2.0}))
    assert got.ground is None
    assert got.explainers["explainer"].to_list() == ["alone", "random"]
    assert got.explainers["place"].isna().all()


def test_a_failed_score_is_left_out_for_all() -> None:
    got = found(cells(LEVELS, 0, metric="m0"), cells({**LEVELS, "a": "failed"}, 1, metric="m1"))
    assert got.ground.n_dropped == 1
    assert got.explainers["explainer"].to_list()[:3] == ["a", "b", "c"]
