"""What a leaderboard is made of: gates, extent, supported problems, and who may be ranked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.comparison_groups import sorted_cells
from xaibench.analysis.leaderboard.extent import Extent, extent
from xaibench.analysis.leaderboard.gates import gate_conditions
from xaibench.analysis.leaderboard.ranking_status import Eligibility, ranking_status
from xaibench.analysis.leaderboard.supported_problems import supported_problems
from xaibench.analysis.leaderboard.table import leaderboard

GATES = [
    {"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True},
    {"name": "error", "value": 0.1, "threshold": 0.1, "at_least": False},
]


def board_of(*frames: pd.DataFrame) -> pd.DataFrame:
    return leaderboard(concat(*frames), suite="s")


def test_gates_hold_at_their_threshold() -> None:
    found = gate_conditions(board_of(make_results({"a": [1.0, 2.0], "b": [0.0, 1.0]}, gates=GATES)))
    assert found["name"].to_list() == ["accuracy", "error"], "once per problem, not per explainer"
    assert found["passed"].to_list() == [False, True]
    assert found["at_least"].to_list() == [True, False]
    assert found["problem_seed"].to_list() == [0, 0]
    assert found["limited"].to_list() == [True, True]
    empty = gate_conditions(board_of(make_results({"a": [1.0]}, gates=[])))
    assert empty.empty
    assert "passed" in empty


def test_extent_by_hand() -> None:
    board = board_of(
        make_results({"a": [1.0, 2.0], "b": [1.0, 0.0], "random": np.zeros((3, 2))}),
        make_results({"a": [1.0, 2.0, 3.0], "b": "failed"}, dataset="other", metric="deletion"),
    )
    assert extent(board) == Extent(problems=2, explainers=2, metrics=2, cells=7, least_samples=2, most_samples=3)
    assert extent(board_of(make_results({"a": "failed"}))) == Extent(1, 1, 1, 1, 0, 0)


def test_problems_without_support_are_named() -> None:
    one = make_results({"a": [1.0], "b": "unsupported"}, dataset="one")
    two = make_results({"a": "unsupported", "b": "unsupported"}, dataset="two")
    supported, names = supported_problems(board_of(one, two))
    assert set(supported["dataset"]) == {"one"}
    assert len(supported) == 2
    assert names == ["two/cnn"]
    board = board_of(two)
    supported, names = supported_problems(board)
    assert supported is board
    assert names == []


def test_ranking_status_returns_its_columns_and_leaves_the_board_alone() -> None:
    cells = sorted_cells(make_results({"a": [1.0], "b": [2.0], "c": [3.0], "d": "failed"}, messages={"d": "no"}))
    board = pd.DataFrame(
        {
            **{c: cells[c] for c in ("dataset", "model", "selection", "metric", "params", "asked_output", "scope")},
            "value": [1.0, 2.0, 3.0, np.nan], "higher_is_better": True, "control": False, "truth_kind": None,
            "gate_passed": pd.array([True] * 4, dtype="boolean"), "n": [1, 1, 1, 0], "n_seeds": [1, 1, 1, 0],
            "n_cells": 1, "n_failed": [0, 0, 0, 1], "n_missing": 0, "n_unsupported": 0, "stopped": None,
        }
    )  # fmt: skip
    yes = np.ones(4, dtype=bool)
    eligibility = Eligibility(
        complete=np.array([True, True, True, False]), defined=np.array([True, True, False, True]),
        too_few=np.array([None, None, "defined nowhere", None], dtype=object), mixed=~yes, ranks=yes,
    )  # fmt: skip
    before = board.copy()
    found = ranking_status(board, eligibility, cells, np.arange(4))
    pd.testing.assert_frame_equal(board, before)
    assert found["status"].to_list() == ["ok", "ok", "ok", "failed"]
    np.testing.assert_equal(found["rank"].to_numpy(), [2, 1, np.nan, np.nan])
    assert found["n_ranked"].to_list() == [2, 2, 2, 2]
    assert found["message"].to_list() == [None, None, "defined nowhere", "failed: no"]
    assert found["estimand"].to_list()[:3] == ["conditional on this model"] * 3
    assert pd.isna(found["estimand"].iloc[3])
    mixed = ranking_status(board, Eligibility(yes, yes, eligibility.too_few, yes, yes), cells, np.arange(4))
    assert mixed["rank"].isna().all()
    assert mixed["message"].str.contains("different trainings").sum() == 3
